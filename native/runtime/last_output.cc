#include "last_output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "fd.h"

namespace stack {

namespace {

constexpr int kHighest =
    256;  // init holds two FIFOs for each process, below the first few descriptors
constexpr int64_t kFirstPause = 50'000, kLongestPause = 50'000'000, kPatience = 60'000'000'000;  // ns

bool is_reader(int fd) {
  struct stat status {};
  int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) == O_RDONLY && ::fstat(fd, &status) == 0 &&
         S_ISFIFO(status.st_mode);
}

// A line that has not ended may stay behind: nobody takes it out before the container has gone.
bool holds_line(int fifo, const FdPair& scratch) {
  ssize_t held = ::tee(fifo, scratch.second.get(), 65536, SPLICE_F_NONBLOCK);
  bool found = false;
  for (char part[512]; held > 0;) {
    ssize_t got = ::read(scratch.first.get(), part, sizeof part);
    if (got <= 0) break;
    held -= got;
    found = found || ::memchr(part, '\n', static_cast<size_t>(got)) != nullptr;
  }
  return found;
}

bool any_line(const FdPair& scratch) {
  for (int fd = 3; fd < kHighest; ++fd)
    if (fd != scratch.first.get() && is_reader(fd) && holds_line(fd, scratch)) return true;
  return false;
}

}  // namespace

void await_log() {
  // Not by make_pipe: our init has given its heap back, and a failure would need it.
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
  FdPair scratch{UniqueFd(ends[0]), UniqueFd(ends[1])};
  // Nothing tells when a FIFO is empty. A monitor that lives takes microseconds.
  int64_t waited = 0;
  for (int64_t pause = kFirstPause; waited < kPatience && any_line(scratch);
       pause = std::min(2 * pause, kLongestPause)) {
    timespec time{0, pause};
    ::nanosleep(&time, nullptr);
    waited += pause;
  }
}

}  // namespace stack
