#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "result.h"

namespace stack {

/** Owns a descriptor. Everything here makes descriptors close-on-exec from birth. */
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    // close() of a bad descriptor is not our caller's failure; errno stays what it was.
    if (fd_ >= 0) {
      int saved = errno;
      ::close(fd_);
      errno = saved;
    }
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

struct FdPair {
  UniqueFd first;   // read end, or one side
  UniqueFd second;  // write end, or the other side
};

/** pipe2(O_CLOEXEC | flags). */
Result<FdPair> make_pipe(int flags = 0);
/** socketpair(AF_UNIX, type | SOCK_CLOEXEC). */
Result<FdPair> make_socketpair(int type);
/** A duplicate, close-on-exec, at `at_least` or above. */
Result<UniqueFd> duplicate(int fd, int at_least = 3);
Status set_nonblocking(int fd, bool on);
Status set_cloexec(int fd, bool on);

/** Reads to the end of file, at most `limit` bytes (more is a failure, EFBIG). */
Result<std::string> read_all(int fd, size_t limit = 64u << 20);
/** Writes everything, through EINTR and short writes. For blocking descriptors. */
Status write_all(int fd, std::string_view data);

/** One message with descriptors (SCM_RIGHTS), at least one byte of data; at most 16 descriptors. */
Status send_fds(int socket, std::string_view data, const int* fds, size_t count);

struct Received {
  std::string data;  // empty = end of file
  std::vector<UniqueFd> fds;
};
/** One recvmsg of at most `limit` bytes; descriptors arrive close-on-exec. */
Result<Received> recv_fds(int socket, size_t limit = 65536);

/** pidfd_open(2). ESRCH: gone already. */
Result<UniqueFd> open_pidfd(pid_t pid);
/** pidfd_send_signal(2). */
Status signal_pidfd(int pidfd, int signal);
/** Field 22 of /proc/PID/stat: with the pid it names one process for ever. */
Result<uint64_t> process_start_time(pid_t pid);

}  // namespace stack
