#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>

#include "container.h"
#include "container_launch.h"
#include "fs.h"
#include "proc.h"

// config.md "POSIX-platform Hooks": programs at points of the life cycle, the state on their
// standard input.

namespace stack {

namespace {

constexpr size_t kMaxOutput = 4096;  // of what a failed hook wrote: enough to say why

[[noreturn]] void run_hook_child(const OciHook& hook, const HookPlace& place, int input,
                                 int output) {
  ::dup2(input, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  if (place.enter) {
    Status entered = place.enter();
    if (!entered.ok()) {
      (void)write_all(2, entered.failure().text()).ok();
      ::_exit(126);
    }
  }
  if (!close_all_except({}).ok()) ::_exit(126);
  reset_signals();
  std::vector<char*> args, env;
  for (const std::string& word : hook.args) args.push_back(const_cast<char*>(word.c_str()));
  if (args.empty()) args.push_back(const_cast<char*>(hook.path.c_str()));
  args.push_back(nullptr);
  const std::vector<std::string>& words = hook.env.empty() ? place.env : hook.env;
  for (const std::string& word : words) env.push_back(const_cast<char*>(word.c_str()));
  env.push_back(nullptr);
  ::execve(hook.path.c_str(), args.data(), env.data());
  (void)write_all(2, std::string("execve: ") + error_text(errno)).ok();
  ::_exit(errno == ENOENT ? 127 : 126);
}

/** Reads what there is; false at the end of the stream. */
bool take_output(int fd, std::string& output) {
  char buffer[4096];
  ssize_t n = ::read(fd, buffer, sizeof buffer);
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  output.append(buffer, std::min(static_cast<size_t>(n), kMaxOutput - output.size()));
  return n > 0;
}

/** Until the hook has ended; what it left running in the background is not waited for. False: the
    time is up. */
bool attend_hook(int pidfd, const UniqueFd& output, int timeout_ms, std::string& text) {
  timespec start{};
  ::clock_gettime(CLOCK_MONOTONIC, &start);
  bool open = true;
  for (;;) {
    int left = -1;
    if (timeout_ms > 0) {
      timespec now{};
      ::clock_gettime(CLOCK_MONOTONIC, &now);
      long passed = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
      if (passed >= timeout_ms) return false;
      left = static_cast<int>(timeout_ms - passed);
    }
    pollfd waits[2] = {{pidfd, POLLIN, 0}, {open ? output.get() : -1, POLLIN, 0}};
    if (::poll(waits, 2, left) < 0 && errno != EINTR) return true;
    if (waits[1].revents != 0) {
      open = take_output(output.get(), text);
    } else if (waits[0].revents != 0) {
      return true;
    }
  }
}

Status run_hook(const OciHook& hook, const std::string& name, const std::string& state_json,
                const HookPlace& place) {
  std::string stage = "error running " + name;
  // A socket, because a hook that does not read must not give us SIGPIPE.
  FdPair input = TRY(make_socketpair(SOCK_STREAM));
  FdPair output = TRY(make_pipe());
  ::fcntl(output.first.get(), F_SETFL, O_NONBLOCK);
  Cloned child;
  {
    SignalsBlocked blocked;
    child = TRY(clone_process(0));
    if (child.pid == 0) run_hook_child(hook, place, input.first.get(), output.second.get());
  }
  input.first.reset();
  output.second.reset();
  (void)!::send(input.second.get(), state_json.data(), state_json.size(), MSG_NOSIGNAL);
  ::shutdown(input.second.get(), SHUT_WR);
  std::string text;
  if (!attend_hook(child.pidfd.get(), output.first, hook.timeout * 1000, text)) {
    (void)signal_pidfd(child.pidfd.get(), SIGKILL).ok();
    (void)wait_pidfd(child.pidfd.get()).ok();
    return fail(stage, hook.path + " did not end within " + std::to_string(hook.timeout) + " s",
                ETIMEDOUT, hook.path);
  }
  Ended ended = TRY(wait_pidfd(child.pidfd.get()));
  if (ended.code == 0) return ok();
  std::string how = ended.signal != 0 ? "was killed by signal " + std::to_string(ended.signal)
                                      : "ended with status " + std::to_string(ended.code);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (!text.empty()) how += ", and wrote: " + text;
  return fail(stage, hook.path + " " + how, EIO, hook.path);
}

}  // namespace

Status run_hooks(const std::vector<OciHook>& hooks, std::string_view kind,
                 const std::string& state_json, const HookPlace& place) {
  size_t number = 0;
  for (const OciHook& hook : hooks) {
    std::string name = std::string(kind) + " hook #" + std::to_string(number++);
    TRY(run_hook(hook, name, state_json, place));
  }
  return ok();
}

}  // namespace stack
