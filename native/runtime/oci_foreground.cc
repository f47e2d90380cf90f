#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include <cstring>

#include "fs.h"
#include "oci_verbs.h"
#include "proc.h"

namespace stack {

namespace {

/** Our own terminal in raw mode for as long as it lives. */
class RawTerminal {
 public:
  explicit RawTerminal(bool wanted) {
    active_ = wanted && ::isatty(0) == 1 && ::tcgetattr(0, &before_) == 0;
    if (!active_) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    raw.c_oflag |= OPOST;  // the container's terminal leaves line ends to this one
    ::tcsetattr(0, TCSANOW, &raw);
  }
  ~RawTerminal() {
    if (active_) ::tcsetattr(0, TCSANOW, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_{};
  bool active_ = false;
};

/** One read and its writes; false at the end of the stream. */
bool pump(int from, int to) {
  char buffer[8192];
  ssize_t n = ::read(from, buffer, sizeof buffer);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (n <= 0) return false;
  return write_all(to, std::string_view(buffer, static_cast<size_t>(n))).ok();
}

void copy_window_size(int master) {
  winsize size{};
  if (::ioctl(0, TIOCGWINSZ, &size) == 0) ::ioctl(master, TIOCSWINSZ, &size);
}

void pass_signal_on(int signals, int pidfd, int master) {
  signalfd_siginfo info{};
  if (::read(signals, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
  int signal = static_cast<int>(info.ssi_signo);
  if (signal == SIGCHLD || signal == SIGPIPE) return;
  if (signal == SIGWINCH) {
    if (master >= 0) copy_window_size(master);
    return;
  }
  (void)signal_pidfd(pidfd, signal).ok();
}

}  // namespace

void hold_signals() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
}

Result<int> attend_process(int pidfd, UniqueFd master) {
  sigset_t all;
  ::sigfillset(&all);
  UniqueFd signals(::signalfd(-1, &all, SFD_CLOEXEC));
  if (!signals) return sys_fail("run", "signalfd");
  RawTerminal raw(master.valid());
  if (master) copy_window_size(master.get());
  bool input_open = master.valid();
  for (;;) {
    pollfd waits[4] = {{pidfd, POLLIN, 0},
                       {signals.get(), POLLIN, 0},
                       {master.get(), POLLIN, 0},
                       {input_open ? 0 : -1, POLLIN, 0}};
    if (::poll(waits, 4, -1) < 0 && errno != EINTR) return sys_fail("run", "poll");
    if (waits[2].revents != 0 && !pump(master.get(), 1)) master.reset();
    if (waits[3].revents != 0 && master && !pump(0, master.get())) input_open = false;
    if (waits[1].revents != 0) pass_signal_on(signals.get(), pidfd, master.get());
    if (waits[0].revents != 0) break;
  }
  // What it wrote last; the slave is closed by now unless a child of it lives on.
  while (master) {
    pollfd wait{master.get(), POLLIN, 0};
    if (::poll(&wait, 1, 0) <= 0 || !pump(master.get(), 1)) master.reset();
  }
  return TRY(wait_pidfd(pidfd)).code;
}

Result<UniqueFd> connect_console_socket(const std::string& path, bool terminal, bool detached) {
  if (path.empty()) {
    if (terminal && detached) {
      return fail("arguments", "process.terminal needs --console-socket when nobody stays", EINVAL);
    }
    return UniqueFd();
  }
  if (!terminal)
    return fail("arguments", "--console-socket without process.terminal", EINVAL, path);
  return connect_unix(path, "terminal");
}

Result<UniqueFd> connect_unix(const std::string& path, const char* stage) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return sys_fail(stage, "connect", path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return sys_fail(stage, "socket");
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return sys_fail(stage, "connect", path);
  }
  return socket;
}

Status send_pidfd(const UniqueFd& socket, const UniqueFd& pidfd) {
  if (!socket) return ok();
  int fd = pidfd.get();
  return send_fds(socket.get(), "pidfd", &fd, 1);
}

winsize terminal_size(const OciProcess& process) {
  winsize size{};
  if (process.rows != 0 || process.columns != 0) {
    size.ws_row = process.rows;
    size.ws_col = process.columns;
  }
  return size;
}

Status write_pid_file(const std::string& path, pid_t pid) {
  if (path.empty()) return ok();
  return replace_file(path, std::to_string(pid), 0644);
}

Result<int> parse_preserve_fds(const OciArgs& args) {
  std::string text = args.get("preserve-fds", "0");
  char* end = nullptr;
  long count = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != 0 || count < 0 || count > 4096) {
    return fail("arguments", "--preserve-fds must be a number", EINVAL, text);
  }
  for (int fd = 3; fd < 3 + count; fd++) {
    if (::fcntl(fd, F_GETFD) < 0) {
      return fail("arguments",
                  "--preserve-fds " + text + ": descriptor " + std::to_string(fd) + " is not open",
                  EBADF, text);
    }
  }
  return static_cast<int>(count);
}

}  // namespace stack
