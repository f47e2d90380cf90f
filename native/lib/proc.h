#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "fd.h"
#include "result.h"

namespace stack {

struct Cloned {
  pid_t pid = 0;  // 0 in the child
  UniqueFd pidfd;
};

/** clone3(2) as fork with namespaces: handlers reset (CLONE_CLEAR_SIGHAND), SIGCHLD at the end.
   `cgroup`: with CLONE_INTO_CGROUP, else -1. */
Result<Cloned> clone_process(uint64_t flags, int cgroup = -1);

/** How a child ended, from waitid on its pidfd; blocks. */
struct Ended {
  int code = 0;    // exit status, or 128+signal
  int signal = 0;  // 0: it exited
};
Result<Ended> wait_pidfd(int pidfd);

/** Closes every descriptor from 3 on but those of `keep`. */
Status close_all_except(std::vector<int> keep);
/** Unblocks all signals and sets each to its default. */
void reset_signals();
/** Is 0, 1 or 2 closed? Then opens /dev/null there, so that nothing of ours gets these numbers. */
void ensure_standard_fds();

}  // namespace stack
