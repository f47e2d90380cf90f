#pragma once

#include "result.h"

namespace stack {

/**
 * A mount namespace of this process's own, for what has to be attached somewhere to be used.
 * Unmounts of the host still reach it, so that it pins nothing of the host's. Once; again it does
 * nothing.
 */
Status leave_host_mounts();
/** Back, in a child that is about to execute a program of the host's. Nothing to do if
 * leave_host_mounts was never called. */
Status enter_host_mounts();

}  // namespace stack
