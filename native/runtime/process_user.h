#pragma once

#include <string>

#include "oci_config.h"
#include "result.h"

namespace stack {

/**
 * As for the container's own user, and as Docker: root gets what the container may have, everybody
 * else nothing beyond what a program's file grants. `privileged`: all that there is.
 */
void set_capabilities(OciProcess& process, bool privileged);

/** Lets a process be `user` (name or number, with or without group) of the root at `root`: its
 * groups, its rights, and HOME unless that is given. */
Status take_user(OciProcess& process, int root, const std::string& user);

}  // namespace stack
