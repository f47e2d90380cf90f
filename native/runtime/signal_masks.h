#pragma once

#include <sys/types.h>

#include <string_view>

namespace stack {

/**
 * Does any thread of the process catch or block this signal? PID 1 of a pid namespace gets no
 * default actions (pid_namespaces(7)): a signal that it neither catches nor blocks is dropped by
 * the kernel, and waiting for its effect is in vain. True also when it cannot be known.
 */
bool signal_is_seen(pid_t pid, int signal);

/** The same on the text of /proc/PID/task/TID/status. */
bool status_sees_signal(std::string_view status, int signal);

}  // namespace stack
