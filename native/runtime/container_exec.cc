#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "container_launch.h"
#include "container_state.h"
#include "fs.h"
#include "mount.h"
#include "proc.h"

// exec_in: another process in a living container.
//
//   caller ──fork──▶ stage: joins cgroup and namespaces ──clone(CLONE_PARENT)──▶ the process, which
//   is the caller's child and inside of the pid namespace ──▶ terminal, rights, execve

namespace stack {

namespace {

struct NamespaceFile {
  const char* name;
  int flag;
};
constexpr NamespaceFile kNamespaces[] = {{"mnt", CLONE_NEWNS},    {"pid", CLONE_NEWPID},
                                         {"net", CLONE_NEWNET},   {"ipc", CLONE_NEWIPC},
                                         {"uts", CLONE_NEWUTS},   {"cgroup", CLONE_NEWCGROUP},
                                         {"time", CLONE_NEWTIME}, {"user", CLONE_NEWUSER}};

/** In which namespaces that process differs from us: exactly these have to be joined. */
Result<int> different_namespaces(pid_t pid) {
  int flags = 0;
  for (const NamespaceFile& file : kNamespaces) {
    std::string theirs = "/proc/" + std::to_string(pid) + "/ns/" + file.name;
    std::string ours = std::string("/proc/self/ns/") + file.name;
    struct stat a {
    }, b{};
    if (::stat(ours.c_str(), &b) != 0 && errno == ENOENT) continue;  // a kernel without it
    if (b.st_ino == 0) return sys_fail("join namespaces", "stat", ours);
    if (::stat(theirs.c_str(), &a) != 0) return sys_fail("join namespaces", "stat", theirs);
    if (a.st_ino != b.st_ino || a.st_dev != b.st_dev) flags |= file.flag;
  }
  return flags;
}

Status join_all(int pidfd, int flags, ChildState& state, bool labels) {
  int others = flags & ~CLONE_NEWUSER;
  if (others != 0 && ::setns(pidfd, others) != 0) {
    // Without privilege of our own only the container's user namespace gives the right to the
    // others.
    if (errno != EPERM || others == flags) return sys_fail("join namespaces", "setns");
    if (::setns(pidfd, flags) != 0) return sys_fail("join namespaces", "setns");
    flags = 0;
  }
  if (labels) TRY(private_proc(state));
  if ((flags & CLONE_NEWUSER) != 0) {
    TRY(set_rlimits(*state.process, 0));
    state.apply_rlimits_in_child = false;
    if (::setns(pidfd, CLONE_NEWUSER) != 0) return sys_fail("join user namespace", "setns");
  }
  return become_root_of_userns(state);
}

[[noreturn]] void run_exec_child(ChildState& state) {
  auto step = [&](const Status& status) {
    if (!status.ok()) die(state, status.failure());
  };
  step(forbid_tracing());
  step(begin_session());
  Console console;
  if (state.process->terminal) {
    UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    auto opened = open_console(root.get(), *state.options);
    if (!opened.ok()) die(state, opened.failure());
    console = std::move(opened).take();
  }
  step(find_executable(state));
  step(take_stdio(state, console.slave ? &console : nullptr));
  std::vector<int> keep = {state.sync.get()};
  if (state.private_proc) keep.push_back(state.private_proc.get());
  if (console.master) keep.push_back(console.master.get());
  if (state.listener_socket) keep.push_back(state.listener_socket.get());
  for (int i = 0; i < state.preserve_fds; i++) keep.push_back(3 + i);
  step(close_all_except(keep));
  int master = console.master.get();
  step(send_fds(state.sync.get(), std::string_view(&sync_message::kReady, 1), &master,
                console.master ? 1 : 0));
  console.master.reset();
  // Nothing is executed that the caller does not know, and could not end. It tells our pid as the
  // host sees it, for a seccomp listener's message.
  char answer[32] = {};
  ssize_t n;
  do {
    n = ::recv(state.sync.get(), answer, sizeof answer - 1, 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0) die(state, *sys_fail("exec", "recv"));
  if (n == 0) ::_exit(1);
  state.host_pid = std::atoi(answer + 1);
  become_user_process(state, state.sync.get(), state.process->terminal);
}

[[noreturn]] void run_exec_stage(ChildState& state, int pidfd, int flags) {
  auto step = [&](const Status& status) {
    if (!status.ok()) die(state, status.failure());
  };
  ::umask(0);
  step(forbid_tracing());
  step(set_initial_affinity(*state.process));
  step(enter_cgroup(state));
  step(set_final_affinity(*state.process));
  auto adjusted = set_oom_score_adj(*state.process, "/proc/self");
  if (!adjusted.ok()) warn(state, adjusted.failure().text());
  warn_about_capabilities(state);
  bool labels = !state.privileged &&
                (!state.process->apparmor_profile.empty() || !state.process->selinux_label.empty());
  step(join_all(pidfd, flags, state, labels));
  if (state.rootfs) step(enter_shared_rootfs(state));
  step(forbid_tracing());
  auto cloned = clone_process(CLONE_PARENT);
  if (!cloned.ok()) die(state, cloned.failure());
  if (cloned->pid == 0) run_exec_child(state);
  std::string message(1, sync_message::kPid);
  message += std::to_string(cloned->pid);
  int child = cloned->pidfd.get();
  if (auto sent = send_fds(state.sync.get(), message, &child, 1); !sent.ok()) {
    // It would wait for its caller's answer, and that one for its end.
    (void)signal_pidfd(child, SIGKILL);
    die(state, sent.failure());
  }
  ::_exit(0);
}

/** The caller's half: collects the child, its terminal, and whether execve succeeded. */
class ExecParent {
 public:
  ExecParent(const ExecOptions& options, UniqueFd sync, Cloned stage)
      : options_(options), sync_(std::move(sync)), stage_(std::move(stage)) {}

  Result<ExecChild> run() {
    auto outcome = converse();
    sync_.reset();  // who still waits for an answer ends
    if (stage_.pidfd) (void)wait_pidfd(stage_.pidfd.get()).ok();
    if (!outcome.ok()) {
      if (out_.pidfd) {
        (void)signal_pidfd(out_.pidfd.get(), SIGKILL).ok();
        (void)wait_pidfd(out_.pidfd.get()).ok();
      }
      return std::move(outcome).failure();
    }
    return std::move(out_);
  }

 private:
  Status converse() {
    bool ready = false, told = false, about_to_exec = false, reset = false;
    Failure failure;
    for (;;) {
      // The stage's message and the process's come in any order.
      if (ready && out_.pidfd && !told) {
        told = true;
        std::string answer = sync_message::kGo + std::to_string(out_.pid);
        if (::send(sync_.get(), answer.data(), answer.size(), MSG_NOSIGNAL) < 1 && errno != EPIPE)
          return sys_fail("exec", "send");
      }
      auto received = recv_fds(sync_.get());
      // Who has died without reading our answer leaves this once, before its last words (unix(7)).
      if (!received.ok() && received.failure().err == ECONNRESET && told && !reset) {
        reset = true;
        continue;
      }
      Received message = TRY(std::move(received));
      if (message.data.empty()) break;
      switch (message.data[0]) {
        case sync_message::kPid:
          out_.pid = std::atoi(message.data.c_str() + 1);
          if (message.fds.size() == 1) out_.pidfd = std::move(message.fds[0]);
          break;
        case sync_message::kWarning:
          out_.warnings.push_back(message.data.substr(1));
          break;
        case sync_message::kReady:
          if (!message.fds.empty()) TRY(take_master(std::move(message.fds[0])));
          ready = true;
          break;
        case sync_message::kExec:
          about_to_exec = true;
          break;
        case sync_message::kFailure: {
          // The pid may still be on its way: its process is reaped only when it is known.
          auto json = Json::parse(std::string_view(message.data).substr(1));
          failure = json.ok() ? Failed(failure_from_json(*json))
                              : fail("exec", "unreadable failure", EPROTO);
          break;
        }
        default:
          return fail("exec", "unexpected message", EPROTO);
      }
    }
    if (!failure.message.empty()) return failure;
    if (about_to_exec && out_.pid > 0 && out_.pidfd) return ok();
    return fail("exec", "the process ended before it executed anything", ECHILD);
  }

  Status take_master(UniqueFd master) {
    if (options_.console_socket < 0) {
      out_.console_master = std::move(master);
      return ok();
    }
    int fd = master.get();
    return send_fds(options_.console_socket, "/dev/ptmx", &fd, 1);
  }

  const ExecOptions& options_;
  UniqueFd sync_;
  Cloned stage_;
  ExecChild out_;
};

Result<UniqueFd> open_container(const ExecOptions& options) {
  UniqueFd pidfd = TRY(open_pidfd(options.pid));
  if (options.start_time != 0) {
    auto started = process_start_time(options.pid);
    bool gone = !started.ok() && (started.failure().err == ENOENT || started.failure().err == ESRCH);
    if (!started.ok() && !gone) return std::move(started).failure();
    if (gone || *started != options.start_time) {
      return fail("exec", "the container is not running any more", ESRCH);
    }
  }
  if (options.cgroup != nullptr && !options.ignore_paused && TRY(options.cgroup->frozen())) {
    return fail("exec", "cannot exec in a paused container: unpause it first", EBUSY);
  }
  return pidfd;
}

}  // namespace

Result<ExecChild> exec_in(const ExecOptions& options) {
  UniqueFd pidfd = TRY(open_container(options));
  int flags = TRY(different_namespaces(options.pid));
  LaunchOptions stdio;
  stdio.stdin_fd = options.stdin_fd;
  stdio.stdout_fd = options.stdout_fd;
  stdio.stderr_fd = options.stderr_fd;
  stdio.window = options.window;
  stdio.plain_line_ends = options.plain_line_ends;
  stdio.id = options.id;
  stdio.bundle = options.bundle;
  ChildState state;
  state.config = options.config;
  state.process = options.process;
  state.options = &stdio;
  state.privileged = options.privileged;
  state.preserve_fds = options.preserve_fds;
  state.no_new_keyring = options.no_new_keyring;
  state.in_userns = (flags & CLONE_NEWUSER) != 0;
  if (!options.privileged) {
    if (options.seccomp != nullptr)
      state.seccomp = *options.seccomp;
    else
      state.seccomp = TRY(compile_seccomp(options.config->seccomp, options.seccomp_cache_dir));
    TRY(connect_listener(state));
    state.listener_status = "running";
    state.init_pid = options.pid;
  }
  if (shares_mounts(*options.config)) {
    std::string root = "/proc/" + std::to_string(options.pid) + "/root";
    state.rootfs.reset(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!state.rootfs) return sys_fail("exec", "open", root);
  }
  if (options.cgroup != nullptr) state.cgroup = TRY(options.cgroup->entry("exec", options.group));
  state.null_file = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!state.null_file) return sys_fail("exec", "open", "/dev/null");
  FdPair sync = TRY(make_socketpair(SOCK_SEQPACKET));
  state.sync = std::move(sync.second);
  Cloned stage;
  {
    SignalsBlocked blocked;
    stage = TRY(clone_process(0));
    if (stage.pid == 0) run_exec_stage(state, pidfd.get(), flags);
  }
  state.sync.reset();
  state.listener_socket.reset();
  return ExecParent(options, std::move(sync.first), std::move(stage)).run();
}

}  // namespace stack
