#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "container.h"
#include "container_launch.h"
#include "proc.h"

// config.md "POSIX-platform Hooks": programs at points of the life cycle, the state on their
// standard input.

namespace stack {

namespace {

[[noreturn]] void run_hook_child(const OciHook& hook, int input) {
  ::dup2(input, 0);
  close_all_except({});
  reset_signals();
  std::vector<char*> args, env;
  for (const std::string& word : hook.args) args.push_back(const_cast<char*>(word.c_str()));
  if (args.empty()) args.push_back(const_cast<char*>(hook.path.c_str()));
  args.push_back(nullptr);
  for (const std::string& word : hook.env) env.push_back(const_cast<char*>(word.c_str()));
  env.push_back(nullptr);
  ::execve(hook.path.c_str(), args.data(), env.data());
  // Nothing of ours is open any more to say more than this.
  ::_exit(errno == ENOENT ? 127 : 126);
}

Status run_hook(const OciHook& hook, const std::string& stage, const std::string& state_json) {
  // A socket, because a hook that does not read must not give us SIGPIPE.
  FdPair input = TRY(make_socketpair(SOCK_STREAM));
  Cloned child;
  {
    SignalsBlocked blocked;
    child = TRY(clone_process(0));
    if (child.pid == 0) run_hook_child(hook, input.first.get());
  }
  input.first.reset();
  (void)!::send(input.second.get(), state_json.data(), state_json.size(), MSG_NOSIGNAL);
  ::shutdown(input.second.get(), SHUT_WR);
  pollfd wait{child.pidfd.get(), POLLIN, 0};
  int timeout = hook.timeout > 0 ? hook.timeout * 1000 : -1;
  int ready;
  do {
    ready = ::poll(&wait, 1, timeout);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    (void)signal_pidfd(child.pidfd.get(), SIGKILL).ok();
    (void)wait_pidfd(child.pidfd.get()).ok();
    return fail(stage,
                "hook " + hook.path + " did not end within " + std::to_string(hook.timeout) + " s",
                ETIMEDOUT, hook.path);
  }
  Ended ended = TRY(wait_pidfd(child.pidfd.get()));
  if (ended.code == 0) return ok();
  std::string how = ended.signal != 0 ? "was killed by signal " + std::to_string(ended.signal)
                                      : "ended with status " + std::to_string(ended.code);
  return fail(stage, "hook " + hook.path + " " + how, EIO, hook.path);
}

}  // namespace

Status run_hooks(const std::vector<OciHook>& hooks, std::string_view kind,
                 const std::string& state_json) {
  for (const OciHook& hook : hooks) {
    TRY(run_hook(hook, std::string(kind) + " hook", state_json));
  }
  return ok();
}

}  // namespace stack
