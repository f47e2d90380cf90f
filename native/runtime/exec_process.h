#pragma once

#include "container.h"
#include "json.h"
#include "oci_config.h"
#include "result.h"
#include "supervision.h"

namespace stack {

/**
 * The process that a request `exec` asks for: the container's own (environment, directory, rights,
 * limits) with what the request says put over it. The user is looked up in the living container.
 * `like`: in the place of this supervised process instead (user, environment, directory).
 */
Result<OciProcess> exec_process(const OciConfig& config, const Json& request, pid_t container,
                                const ProcessSpec* like = nullptr);

/** `added` over `base`: a variable that is there already is replaced in place. */
std::vector<std::string> merge_environment(std::vector<std::string> base,
                                           const std::vector<std::string>& added);

}  // namespace stack
