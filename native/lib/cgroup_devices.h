#pragma once

#include <linux/bpf.h>

#include <vector>

#include "json.h"
#include "result.h"

namespace stack {

/**
 * What decides on the unified hierarchy: the program for linux.resources.devices (`list`) and the
 * devices that every container has. It returns 1 to allow and 0 to deny, as the devices controller
 * of v1 would.
 */
Result<std::vector<bpf_insn>> compile_device_rules(const Json& list);

}  // namespace stack
