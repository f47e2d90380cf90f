// From PID 1 to a supervised process: the same confinement as the container's main process has.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>

#include "container_state.h"
#include "proc.h"
#include "process_user.h"
#include "supervisor.h"

namespace stack {

namespace {

[[noreturn]] void give_up(int sync, const Failure& failure, int code) {
  std::string message(1, sync_message::kFailure);
  message += failure_to_json(failure).dump();
  (void)!::send(sync, message.data(), message.size(), MSG_NOSIGNAL);
  ::_exit(code);
}

Status take_user(OciProcess& process, const std::string& user) {
  UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return sys_fail("user", "open", "/");
  return take_user(process, root.get(), user);
}

// Not by clone3 where the container's cgroup namespace hides its own neighbour (nsdelegate).
void enter_own_cgroup(const ProcessFds& fds, bool there) {
  if (fds.cgroup_procs < 0) return;
  if (!there && ::write(fds.cgroup_procs, "0", 1) != 1) return;
  // It is to see its own cgroup as "/", as the main process does.
  (void)::unshare(CLONE_NEWCGROUP);
}

[[noreturn]] void run_child(const InitPlan& plan, const InitData& data, size_t index,
                            const std::vector<std::string>* args, int sync, bool in_cgroup) {
  const ProcessSpec& spec = data.supervision->processes[index];
  const ProcessFds& fds = data.processes[index];
  // PID 1 holds them permitted only.
  if (auto raised = raise_kept_rights(); !raised) give_up(sync, raised.failure(), 128);
  enter_own_cgroup(fds, in_cgroup);
  if (auto begun = begin_session(); !begun) give_up(sync, begun.failure(), 128);
  InitPlan own = plan;
  own.start_fd = sync;
  if (spec.main && args == nullptr) exec_main(own);
  // A copy of PID 1's memory: nobody else sees these changes.
  ChildState& state = *const_cast<ChildState*>(plan.state);
  OciProcess process = *state.process;
  process.terminal = false;
  process.args = args != nullptr ? *args : spec.args;
  if (!spec.cwd.empty()) process.cwd = spec.cwd;
  apply_environment(process.env, spec);
  if (!spec.user.empty())
    if (auto taken = take_user(process, spec.user); !taken) give_up(sync, taken.failure(), 126);
  state.process = &process;
  int out = args != nullptr ? data.null_fd : fds.output;
  int error = args != nullptr ? data.null_fd : fds.error;
  if (auto taken = take_streams({data.null_fd, out, error}); !taken)
    give_up(sync, taken.failure(), 128);
  if (auto found = find_executable(state); !found)
    give_up(sync, found.failure(), start_exit_code(found.failure()));
  become_user_process(state, sync, false);
}

}  // namespace

Result<pid_t> spawn_process(const InitPlan& plan, const InitData& data, size_t process,
                            const std::vector<std::string>* args, UniqueFd& sync) {
  FdPair pair = TRY(make_socketpair(SOCK_SEQPACKET));
  const ProcessFds& fds = data.processes[process];
  bool into = fds.cgroup_dir >= 0;
  auto cloned = clone_process(0, fds.cgroup_dir);
  if (!cloned && into) {
    into = false;
    cloned = clone_process(0);
  }
  pid_t pid = 0;
  if (cloned) {
    pid = cloned->pid;
  } else if (cloned.failure().err == ENOSYS) {  // under the container's own filter
    pid = ::fork();
    if (pid < 0) return sys_fail("create process", "fork");
  } else {
    return std::move(cloned).failure();
  }
  if (pid == 0) run_child(plan, data, process, args, pair.second.get(), into);
  sync = std::move(pair.first);
  return pid;
}

std::vector<pid_t> left_in_cgroup(const ProcessFds& fds) {
  std::vector<pid_t> out;
  if (fds.cgroup_list < 0) return out;
  std::string text;
  char buffer[4096];
  off_t at = 0;
  for (ssize_t n; (n = ::pread(fds.cgroup_list, buffer, sizeof buffer, at)) > 0; at += n)
    text.append(buffer, static_cast<size_t>(n));
  for (size_t start = 0; start < text.size();) {
    size_t end = std::min(text.find('\n', start), text.size());
    pid_t pid = ::atoi(text.substr(start, end - start).c_str());
    if (pid > 1) out.push_back(pid);
    start = end + 1;
  }
  return out;
}

// Not by cgroup.kill, after which nobody could be cloned into it (see Cgroup::Entry). Frozen, it
// cannot fork away from us; SIGKILL reaches what is frozen.
void kill_cgroup(const ProcessFds& fds) {
  if (fds.cgroup_list < 0) return;
  if (fds.cgroup_freeze >= 0) (void)!::write(fds.cgroup_freeze, "1", 1);
  for (pid_t pid : left_in_cgroup(fds)) ::kill(pid, SIGKILL);
  if (fds.cgroup_freeze >= 0) (void)!::write(fds.cgroup_freeze, "0", 1);
}

}  // namespace stack
