#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "container_launch.h"
#include "container_state.h"
#include "fs.h"
#include "mount.h"
#include "proc.h"

// The child's side of launch(): from clone3 to the point where it waits for its start.

#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif

namespace stack {

namespace {

void send_text(int socket, char kind, const std::string& text) {
  std::string message(1, kind);
  message += text;
  (void)!::send(socket, message.data(), message.size(), MSG_NOSIGNAL);
}

void must(ChildState& state, Status status) {
  if (!status.ok()) die(state, status.failure());
}

template <class T>
T must(ChildState& state, Result<T> result) {
  if (!result.ok()) die(state, result.failure());
  return std::move(result).take();
}

Status switch_root(const ChildState& state) {
  if (shares_mounts(*state.config)) return enter_shared_rootfs(state);
  if (::fchdir(state.rootfs.get()) != 0) return sys_fail("switch root", "fchdir");
  if (state.options->no_pivot) {
    // For hosts that run from an initramfs, which pivot_root refuses. What lies below stays mounted
    // but out of reach: the new root covers "/", and ".." from it leads back to it. Full procfs and
    // sysfs of the host must go, or a user namespace could mount them anew without our masks.
    for (const UniqueFd& mount : state.host_pseudo_mounts) {
      if (::fchdir(mount.get()) != 0) return sys_fail("switch root", "fchdir");
      TRY(unmount_at(".", MNT_DETACH));
    }
    if (::fchdir(state.rootfs.get()) != 0) return sys_fail("switch root", "fchdir");
    if (::chroot(".") != 0) return sys_fail("switch root", "chroot");
  } else {
    if (::syscall(SYS_pivot_root, ".", ".") != 0) return sys_fail("switch root", "pivot_root");
    // The old root now lies over the new one at "."; it is private, so nothing else is unmounted.
    TRY(unmount_at(".", MNT_DETACH));
  }
  if (::chdir("/") != 0) return sys_fail("switch root", "chdir");
  return ok();
}

Status open_host_pseudo_mounts(ChildState& state) {
  std::string text = TRY(read_file("/proc/self/mountinfo"));
  size_t start = 0;
  while (start < text.size()) {
    size_t end = text.find('\n', start);
    std::string line = text.substr(start, end - start);
    start = end == std::string::npos ? text.size() : end + 1;
    bool pseudo =
        line.find(" - proc ") != std::string::npos || line.find(" - sysfs ") != std::string::npos;
    size_t at = 0;
    for (int field = 0; field < 4 && at != std::string::npos; field++) at = line.find(' ', at) + 1;
    if (!pseudo || at == 0) continue;
    std::string path = line.substr(at, line.find(' ', at) - at);
    UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!fd) return sys_fail("switch root", "open", path);
    state.host_pseudo_mounts.push_back(std::move(fd));
  }
  return ok();
}

Status set_root_propagation(const std::string& wanted) {
  struct Entry {
    const char* name;
    unsigned long flags;
  };
  constexpr Entry kTable[] = {{"", 0},
                              {"private", MS_PRIVATE},
                              {"rprivate", MS_PRIVATE | MS_REC},
                              {"slave", MS_SLAVE},
                              {"rslave", MS_SLAVE | MS_REC},
                              {"shared", MS_SHARED},
                              {"rshared", MS_SHARED | MS_REC},
                              {"unbindable", MS_UNBINDABLE},
                              {"runbindable", MS_UNBINDABLE | MS_REC}};
  for (const Entry& entry : kTable) {
    if (wanted != entry.name) continue;
    if (entry.flags == 0) return ok();
    return old_mount(nullptr, "/", nullptr, entry.flags, nullptr);
  }
  return fail("config", "linux.rootfsPropagation is unknown: " + wanted, EINVAL,
              "linux.rootfsPropagation");
}

/** All signals are blocked until execve, and PID 1 would ignore most of them anyway: what asks a
    program to end has to end a container that was created and not started. */
void end_on_signal(int signals) {
  signalfd_siginfo info{};
  if (::read(signals, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
  ::_exit(128 + static_cast<int>(info.ssi_signo));
}

UniqueFd ending_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) ::sigaddset(&set, signal);
  return UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC));
}

/** Waits for the start; leaves the connection to answer on in `state.start`. Its end = nobody wants
 * us. */
void wait_for_start(ChildState& state) {
  UniqueFd signals = ending_signals();
  for (;;) {
    UniqueFd connection;
    int socket = state.start.get();
    if (state.start_listens) {
      pollfd waits[2] = {{socket, POLLIN, 0}, {signals.get(), POLLIN, 0}};
      if (::poll(waits, 2, -1) < 0 && errno != EINTR) ::_exit(1);
      if (waits[1].revents != 0) end_on_signal(signals.get());
      if (waits[0].revents == 0) continue;
      connection.reset(::accept4(socket, nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        ::_exit(1);
      }
      socket = connection.get();
    }
    char byte = 0;
    ssize_t n;
    do {
      n = ::recv(socket, &byte, 1, 0);
    } while (n < 0 && errno == EINTR);
    if (n == 1 && byte == sync_message::kStart) {
      if (connection) state.start = std::move(connection);
      return;
    }
    if (n < 0 && !state.start_listens)
      send_text(socket, sync_message::kFailure, failure_to_json(*sys_fail("start", "recv")).dump());
    if (!state.start_listens) ::_exit(n < 0 ? 1 : 0);
  }
}

/** In the order of runtime.md "Lifecycle" and of what depends on what. */
void set_up_mounts(ChildState& state, Console& console) {
  if (shares_mounts(*state.config)) {
    must(state, attach_shared_rootfs(state));
  } else {
    // Nothing that happens here may reach the host's mounts.
    must(state, old_mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
    if (state.options->no_pivot) must(state, open_host_pseudo_mounts(state));
    must(state, attach_rootfs(state));
  }
  must(state, make_mounts(state));
  must(state, make_devices(state));
  if (state.process->terminal) {
    console = must(state, open_console(state.rootfs.get(), *state.options));
    must(state, bind_console(state.rootfs.get(), console));
  }
  // config.md "POSIX-platform Hooks": their authors may expect that the mounts are done.
  const OciHooks& hooks = state.config->hooks;
  if (!hooks.prestart.empty() || !hooks.create_runtime.empty()) {
    must(state, ask_parent(state, sync_message::kHooks));
  }
  if (!hooks.create_container.empty()) {
    std::string text = state_document(*state.config, state.options->id, "created", ::getpid(),
                                      state.options->bundle);
    // In the root to be, as runc has it.
    HookPlace place{{}, [&]() -> Status {
                      if (::fchdir(state.rootfs.get()) == 0) return ok();
                      return sys_fail("hook", "fchdir");
                    }};
    must(state, run_hooks(hooks.create_container, "createContainer", text, place));
  }
  must(state, prepare_working_directory(state, state.rootfs.get()));
  must(state, finish_mounts(state));
  must(state, switch_root(state));
  must(state, set_root_propagation(state.config->rootfs_propagation));
}

std::vector<int> descriptors_to_keep(const ChildState& state) {
  std::vector<int> keep = state.options->init_fds;
  keep.push_back(state.start.get());
  keep.push_back(state.sync.get());
  if (state.listener_socket) keep.push_back(state.listener_socket.get());
  if (state.private_proc) keep.push_back(state.private_proc.get());
  for (int i = 0; i < state.preserve_fds; i++) keep.push_back(3 + i);
  return keep;
}

/** Ready: hands over the terminal, and goes on when the parent has noted it. */
void report_ready(ChildState& state, Console& console) {
  int master = console.master.get();
  must(state, send_fds(state.sync.get(), std::string_view(&sync_message::kReady, 1), &master,
                       console.master ? 1 : 0));
  char answer[32] = {};
  ssize_t n;
  do {
    n = ::recv(state.sync.get(), answer, sizeof answer - 1, 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    std::string why = failure_to_json(*sys_fail("create", "recv")).dump();
    send_text(state.sync.get(), sync_message::kFailure, why);
    // The caller may have gone on, and waits there for an answer.
    if (!state.start_listens) send_text(state.start.get(), sync_message::kFailure, why);
  }
  if (n < 1) ::_exit(1);
  state.host_pid = std::atoi(answer + 1);
  console.master.reset();
  state.sync.reset();
}

}  // namespace

void die(ChildState& state, const Failure& failure) {
  detach_shared_rootfs(state);
  send_text(state.sync.get(), sync_message::kFailure, failure_to_json(failure).dump());
  ::_exit(1);
}

void warn(const ChildState& state, const std::string& text) {
  if (state.sync) send_text(state.sync.get(), sync_message::kWarning, text);
}

Status ask_parent(const ChildState& state, char what) {
  if (::send(state.sync.get(), &what, 1, MSG_NOSIGNAL) != 1) return sys_fail("create", "send");
  char byte = 0;
  ssize_t n;
  do {
    n = ::recv(state.sync.get(), &byte, 1, 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return sys_fail("create", "recv");
  if (n != 1) return fail("create", "the parent went away", EPIPE);
  return ok();
}

Status enter_cgroup(const ChildState& state) {
  for (const UniqueFd& tasks : state.cgroup.tasks_v1) {
    if (::write(tasks.get(), "0", 1) != 1) return sys_fail("join cgroup", "write", "tasks");
  }
  if (!state.into_cgroup && state.cgroup.unified_procs) {
    if (::write(state.cgroup.unified_procs.get(), "0", 1) != 1) {
      return sys_fail("join cgroup", "write", "cgroup.procs");
    }
  }
  return ok();
}

Status join_namespaces(const ChildState& state, int which_flags) {
  for (const auto& [flag, fd] : state.joins) {
    if ((flag & which_flags) == 0) continue;
    if (::setns(fd.get(), flag) == 0) continue;
    // The user namespace that we are in already is refused with EINVAL: nothing to do then.
    struct stat ours {
    }, theirs{};
    if (flag == CLONE_NEWUSER && errno == EINVAL && ::stat("/proc/self/ns/user", &ours) == 0 &&
        ::fstat(fd.get(), &theirs) == 0 && ours.st_ino == theirs.st_ino) {
      continue;
    }
    return sys_fail("join namespace", "setns");
  }
  return ok();
}

Status become_root_of_userns(const ChildState& state) {
  if (!state.in_userns) return ok();
  if (::setresgid(0, 0, 0) != 0) return sys_fail("user namespace", "setresgid");
  // EPERM: setgroups is denied in it, and then there are no groups to lose.
  if (::setgroups(0, nullptr) != 0 && errno != EPERM)
    return sys_fail("user namespace", "setgroups");
  if (::setresuid(0, 0, 0) != 0) return sys_fail("user namespace", "setresuid");
  return ok();
}

void run_container_child(ChildState& state) {
  ::umask(0);
  must(state, forbid_tracing());
  must(state, enter_cgroup(state));
  reset_affinity();
  if (state.new_userns) must(state, ask_parent(state, sync_message::kMap));
  must(state, become_root_of_userns(state));
  must(state, forbid_tracing());  // setresuid may have set it again
  must(state, join_namespaces(state, ~0));
  state.joins.clear();
  if (state.unshare_cgroup && ::unshare(CLONE_NEWCGROUP) != 0) {
    die(state, sys_fail("cgroup namespace", "unshare"));
  }
  const OciHooks& hooks = state.config->hooks;
  bool labels = !state.process->apparmor_profile.empty() || !state.process->selinux_label.empty();
  // Now, while a whole procfs is visible: a user namespace may make no freer one than it sees.
  if (labels || !state.config->sysctl.empty()) must(state, private_proc(state));
  Console console;
  set_up_mounts(state, console);
  must(state, set_names_and_sysctls(state));
  warn_about_capabilities(state);
  if (!state.options->init_finds_executable) must(state, find_executable(state));
  if (!labels) state.private_proc.reset();
  must(state, begin_session());
  must(state, take_stdio(state, console.slave ? &console : nullptr));
  console.slave.reset();
  auto keep = descriptors_to_keep(state);
  if (console.master) keep.push_back(console.master.get());
  must(state, close_all_except(keep));
  report_ready(state, console);
  wait_for_start(state);
  if (!hooks.start_container.empty()) {
    std::string text = state_document(*state.config, state.options->id, "created", ::getpid(),
                                      state.options->bundle);
    // Their programs are the image's: they get no more rights than the container's process.
    HookPlace place{state.env, [&] { return lose_rights_for_hook(state); }};
    auto ran = run_hooks(hooks.start_container, "startContainer", text, place);
    if (!ran.ok()) {
      send_text(state.start.get(), sync_message::kFailure, failure_to_json(ran.failure()).dump());
      ::_exit(128);
    }
  }
  bool tty = state.process->terminal;
  if (state.options->init_main == nullptr) become_user_process(state, state.start.get(), tty);
  InitPlan plan;
  plan.config = state.config;
  plan.start_fd = state.start.get();
  plan.data = state.options->init_data;
  plan.tty = tty;
  plan.state = &state;
  ::_exit(state.options->init_main(plan));
}

void tell_start_failure(int start_fd, const Failure& failure) {
  send_text(start_fd, sync_message::kFailure, failure_to_json(failure).dump());
}

void exec_main(const InitPlan& plan) {
  Status ready = begin_session();
  if (ready.ok() && plan.state->options->init_finds_executable)
    ready = find_executable(*const_cast<ChildState*>(plan.state));
  if (!ready.ok()) {
    tell_start_failure(plan.start_fd, ready.failure());
    ::_exit(start_exit_code(ready.failure()));
  }
  if (plan.gate_fd >= 0) {
    char byte = 0;
    ssize_t n;
    do {
      n = ::read(plan.gate_fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n < 0) tell_start_failure(plan.start_fd, *sys_fail("init", "read"));
    if (n != 1) ::_exit(128);  // at its end init has said why
  }
  become_user_process(*plan.state, plan.start_fd, plan.tty);
}

void tell_started(int start_fd) {
  if (start_fd < 0) return;
  char about = sync_message::kExec;
  (void)!::send(start_fd, &about, 1, MSG_NOSIGNAL);
  ::close(start_fd);
}

}  // namespace stack
