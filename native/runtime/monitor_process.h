#pragma once

#include <string>

#include "fd.h"

namespace stack {

/** What ps shows of a monitor, and of what it has forked until that executes something. */
inline constexpr const char* kMonitorName = "stack-monitor";

/** `monitor --dir DIR [--adopt]`. */
struct MonitorOptions {
  std::string directory;
  bool adopt = false;
};

/** Absolute, without a slash at its end. */
bool accept_directory(std::string& directory);

/** Who calls is the starter's own child, or a fork that nobody waits for. */
enum class Waited { yes, no };

/**
 * Leaves the caller's session and is a monitor until its container has ended for good. The program
 * is protected and its title remembered by then. `status` gets the one line (native/PROTOCOL.md).
 * Returns the exit status.
 */
int run_monitor(const MonitorOptions& options, UniqueFd status, Waited waited);

}  // namespace stack
