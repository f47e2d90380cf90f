#include "fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <charconv>
#include <cstring>

namespace stack {

Result<FdPair> make_pipe(int flags) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | flags) != 0) return sys_fail("pipe", "pipe2");
  return FdPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<FdPair> make_socketpair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) {
    return sys_fail("socketpair", "socketpair");
  }
  return FdPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<UniqueFd> duplicate(int fd, int at_least) {
  int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, at_least);
  if (copy < 0) return sys_fail("duplicate descriptor", "fcntl");
  return UniqueFd(copy);
}

Status set_nonblocking(int fd, bool on) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return sys_fail("descriptor flags", "fcntl");
  int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags && ::fcntl(fd, F_SETFL, wanted) != 0) {
    return sys_fail("descriptor flags", "fcntl");
  }
  return ok();
}

Status set_cloexec(int fd, bool on) {
  if (::fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) != 0) return sys_fail("descriptor flags", "fcntl");
  return ok();
}

Result<std::string> read_all(int fd, size_t limit) {
  std::string out;
  char buffer[16384];
  for (;;) {
    ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0) {
      if (errno == EINTR) continue;
      return sys_fail("read", "read");
    }
    if (n == 0) return out;
    if (out.size() + static_cast<size_t>(n) > limit) return sys_fail("read", "read", "", EFBIG);
    out.append(buffer, static_cast<size_t>(n));
  }
}

Status write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return sys_fail("write", "write");
    }
    data.remove_prefix(static_cast<size_t>(n));
  }
  return ok();
}

namespace {
constexpr size_t kMaxFds = 16;
}

Status send_fds(int socket, std::string_view data, const int* fds, size_t count) {
  if (count > kMaxFds || data.empty()) return sys_fail("send descriptors", "sendmsg", "", EINVAL);
  iovec part{const_cast<char*>(data.data()), data.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    std::memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
  }
  ssize_t n;
  do {
    n = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return sys_fail("send descriptors", "sendmsg");
  // The descriptors went with the first byte; on a stream the rest may need more calls.
  data.remove_prefix(static_cast<size_t>(n));
  while (!data.empty()) {
    n = ::send(socket, data.data(), data.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_fail("send descriptors", "send");
    data.remove_prefix(static_cast<size_t>(n));
  }
  return ok();
}

Result<Received> recv_fds(int socket, size_t limit) {
  Received out;
  out.data.resize(limit);
  iovec part{out.data.data(), out.data.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do {
    n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return sys_fail("receive descriptors", "recvmsg");
  out.data.resize(static_cast<size_t>(n));
  for (cmsghdr* h = CMSG_FIRSTHDR(&message); h != nullptr; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
      out.fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0) {
    return sys_fail("receive descriptors", "recvmsg", "", EMSGSIZE);
  }
  return out;
}

Result<UniqueFd> open_pidfd(pid_t pid) {
  int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return sys_fail("find process", "pidfd_open", std::to_string(pid));
  return UniqueFd(fd);
}

Status signal_pidfd(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0) {
    return sys_fail("signal process", "pidfd_send_signal");
  }
  return ok();
}

Result<uint64_t> process_start_time(pid_t pid) {
  std::string path = "/proc/" + std::to_string(pid) + "/stat";
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_fail("find process", "open", path);
  std::string text = TRY(read_all(fd.get(), 8192));
  // The command name may contain anything, also ")": fields are counted from its last one.
  size_t position = text.rfind(')');
  if (position == std::string::npos)
    return fail("find process", "cannot read " + path, EINVAL, path);
  for (int field = 2; field < 22; field++) {
    position = text.find(' ', position + 1);
    if (position == std::string::npos)
      return fail("find process", "cannot read " + path, EINVAL, path);
  }
  uint64_t value = 0;
  std::from_chars(text.data() + position + 1, text.data() + text.size(), value);
  return value;
}

}  // namespace stack
