#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <climits>

#include "container_launch.h"
#include "container_state.h"
#include "fs.h"
#include "proc.h"

// The last steps of a process of the container: it loses its rights and becomes the user's. The
// order is that of dependence: labels and (without no_new_privs) seccomp need privilege, so they go
// before it; with no_new_privs seccomp goes last, so that the steps before need not be allowed by
// the profile.

namespace stack {

namespace {

Status set_capability_sets(const OciCapabilities& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (unsigned i = 0; i < 2; i++) {
    data[i].effective = static_cast<uint32_t>(sets.effective >> (32 * i));
    data[i].permitted = static_cast<uint32_t>(sets.permitted >> (32 * i));
    data[i].inheritable = static_cast<uint32_t>(sets.inheritable >> (32 * i));
  }
  if (::syscall(SYS_capset, &header, data) != 0) return sys_fail("capabilities", "capset");
  return ok();
}

Result<uint64_t> permitted_now() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return sys_fail("capabilities", "capget");
  return data[0].permitted | (uint64_t{data[1].permitted} << 32);
}

/** What is not there to give cannot be given; that is warned about, not refused (config.md). */
Result<OciCapabilities> grantable(const OciCapabilities& wanted) {
  uint64_t have = TRY(permitted_now());
  OciCapabilities out = wanted;
  out.bounding &= have;
  out.permitted &= have;
  out.effective &= out.permitted;
  out.inheritable &= have;
  out.ambient &= out.permitted & out.inheritable;
  return out;
}

Status drop_bounding(uint64_t keep) {
  for (int cap = 0; cap < 64; cap++) {
    int there = ::prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
    if (there < 0 && errno == EINVAL) return ok();  // beyond the kernel's last
    if (there < 0) return sys_fail("capabilities", "PR_CAPBSET_READ");
    if (there == 0 || (keep >> cap & 1) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
      return sys_fail("capabilities", "PR_CAPBSET_DROP",
                      capability_names()[static_cast<size_t>(cap)]);
    }
  }
  return ok();
}

Status set_user(const OciProcess& process) {
  const std::vector<gid_t>& groups = process.additional_gids;
  if (::setgroups(groups.size(), groups.data()) != 0 && !(errno == EPERM && groups.empty())) {
    return sys_fail("user", "setgroups");
  }
  if (::setresgid(process.gid, process.gid, process.gid) != 0) {
    return sys_fail("user", "setresgid", std::to_string(process.gid));
  }
  if (::setresuid(process.uid, process.uid, process.uid) != 0) {
    return sys_fail("user", "setresuid", std::to_string(process.uid));
  }
  return ok();
}

Status set_ambient(uint64_t wanted) {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) {
    return sys_fail("capabilities", "PR_CAP_AMBIENT");
  }
  for (int cap = 0; cap < 64; cap++) {
    if ((wanted >> cap & 1) == 0) continue;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0 && errno != EPERM) {
      return sys_fail("capabilities", "PR_CAP_AMBIENT_RAISE",
                      capability_names()[static_cast<size_t>(cap)]);
    }
  }
  return ok();
}

Status take_user_and_capabilities(const ChildState& state) {
  const OciProcess& process = *state.process;
  OciCapabilities sets = TRY(grantable(process.capabilities.value_or(OciCapabilities{})));
  TRY(drop_bounding(sets.bounding));
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return sys_fail("capabilities", "PR_SET_KEEPCAPS");
  TRY(set_user(process));
  // A change of the user id empties the effective set; capset fills what is to stay.
  TRY(set_capability_sets(sets));
  if (::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) return sys_fail("capabilities", "PR_SET_KEEPCAPS");
  return set_ambient(sets.ambient);
}

Status write_exec_label(const ChildState& state, const char* file, const std::string& value,
                        const char* what) {
  std::string path = std::string("thread-self/attr/") + file;
  auto fd = open_in_root(state.private_proc.get(), path, O_WRONLY);
  if (!fd.ok()) {
    return fail(what, std::string(what) + " is not enabled in this kernel: cannot set " + value,
                ENOTSUP, value);
  }
  if (::write(fd->get(), value.data(), value.size()) < 0) {
    return sys_fail(what, "write", value);
  }
  return ok();
}

Status set_labels(const ChildState& state) {
  const OciProcess& process = *state.process;
  if (state.privileged) return ok();
  if (!process.selinux_label.empty()) {
    TRY(write_exec_label(state, "exec", process.selinux_label, "SELinux"));
  }
  if (!process.apparmor_profile.empty()) {
    std::string value = "exec " + process.apparmor_profile;
    // "apparmor/exec" (5.8 and newer) is AppArmor's own; "exec" belongs to the first module that
    // has one.
    auto own = write_exec_label(state, "apparmor/exec", value, "AppArmor");
    if (!own.ok() && own.failure().err == ENOTSUP)
      own = write_exec_label(state, "exec", value, "AppArmor");
    return own;
  }
  return ok();
}

/** The user must be able to open /dev/stdout anew: pipes and the container's own terminal become
   his. Files, sockets and terminals of whoever started us stay as they are: they outlive the
   container. */
Status own_stdio(const OciProcess& process) {
  for (int fd = 0; fd < 3; fd++) {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return sys_fail("standard streams", "fstat");
    if (info.st_uid == process.uid) continue;
    bool terminal = process.terminal && S_ISCHR(info.st_mode) && ::isatty(fd) == 1;
    if (!S_ISFIFO(info.st_mode) && !terminal) continue;
    // Not ours to give away: he can still use what is open.
    if (::fchown(fd, process.uid, static_cast<gid_t>(-1)) != 0 && errno != EPERM &&
        errno != EROFS && errno != EINVAL) {
      return sys_fail("standard streams", "fchown");
    }
  }
  return ok();
}

void join_keyring(const ChildState& state) {
  if (state.no_new_keyring) return;
  // Keys of whoever started us must not be readable in there. No keyrings in the kernel, or no
  // quota left for one: then there is nothing to share, or the session's stays unreachable by
  // seccomp.
  (void)::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr, 0, 0, 0);
}

/** config-linux.md "Seccomp": the listener goes to whoever waits at listenerPath, with the
 * process's state. */
Status send_listener(const ChildState& state, int listener) {
  UniqueFd fd(listener);
  Json fds = Json::array();
  fds.push("seccompFd");
  pid_t init = state.init_pid != 0 ? state.init_pid : state.host_pid;
  auto container = Json::parse(state_document(*state.config, state.options->id,
                                              state.listener_status, init, state.options->bundle));
  Json message = Json::object();
  message.set("ociVersion", "1.3.0")
      .set("fds", std::move(fds))
      .set("pid", static_cast<int>(state.host_pid))
      .set("metadata", state.seccomp.listener_metadata)
      .set("state", container.ok() ? *container : Json::object());
  return send_fds(state.listener_socket.get(), message.dump(), &listener, 1);
}

Status enter_working_directory(const ChildState& state, bool& done, bool last) {
  if (done) return ok();
  const std::string& cwd = state.process->cwd;
  if (::chdir(cwd.c_str()) != 0) {
    // A directory that only its owner may enter: again when we are he.
    if (!last && (errno == EACCES || errno == EPERM)) return ok();
    return sys_fail("working directory", "chdir", cwd);
  }
  done = true;
  // A descriptor of the host that came along could be the way out (CVE-2024-21626): then there is
  // no path from the root to here.
  char buffer[PATH_MAX + 1];
  long length = ::syscall(SYS_getcwd, buffer, sizeof buffer);
  if (length < 0 || buffer[0] != '/') {
    return fail("working directory", cwd + " lies outside of the container", EPERM, cwd);
  }
  return ok();
}

Status lose_rights(const ChildState& state, bool tty, bool filtered = true) {
  const OciProcess& process = *state.process;
  if (tty && ::ioctl(0, TIOCSCTTY, 0) != 0) return sys_fail("terminal", "TIOCSCTTY");
  // Further processes need it too; set again it is what it was.
  if (state.config->personality && ::personality(*state.config->personality) < 0) {
    return sys_fail("personality", "personality");
  }
  join_keyring(state);
  if (state.apply_rlimits_in_child) TRY(set_rlimits(process, 0));
  TRY(set_scheduling(process));
  TRY(own_stdio(process));
  bool in_directory = false;
  TRY(enter_working_directory(state, in_directory, false));
  ::umask(process.umask.value_or(0022));
  TRY(set_labels(state));
  bool filter = filtered && !state.privileged && !state.seccomp.empty();
  int listener = -1;
  if (filter && !process.no_new_privileges) listener = TRY(load_seccomp(state.seccomp));
  TRY(take_user_and_capabilities(state));
  TRY(enter_working_directory(state, in_directory, true));
  if (process.no_new_privileges) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
      return sys_fail("no_new_privs", "PR_SET_NO_NEW_PRIVS");
    }
    if (filter) listener = TRY(load_seccomp(state.seccomp));
  }
  if (listener >= 0) TRY(send_listener(state, listener));
  return ok();
}

Failure exec_failure(const std::string& path, int err) {
  Failure failure = sys_fail("exec", "execve", path, err);
  if (err == ENOENT && ::access(path.c_str(), F_OK) == 0) {
    failure.message =
        "exec " + path +
        ": no such file or directory (the file is there: its interpreter or loader is missing)";
  } else if (err == ENOEXEC) {
    failure.message = "exec " + path +
                      ": exec format error (made for another architecture, or a script without #!)";
  } else {
    std::string reason = error_text(err);
    reason[0] = static_cast<char>(reason[0] | 0x20);
    failure.message = "exec " + path + ": " + reason;
  }
  return failure;
}

void send_failure(int socket, const Failure& failure) {
  std::string message(1, sync_message::kFailure);
  message += failure_to_json(failure).dump();
  (void)!::send(socket, message.data(), message.size(), MSG_NOSIGNAL);
}

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

Status set_rlimits(const OciProcess& process, pid_t pid) {
  for (const OciRlimit& limit : process.rlimits) {
    int result =
        static_cast<int>(::syscall(SYS_prlimit64, pid, limit.resource, &limit.limit, nullptr));
    if (result == 0) continue;
    Failure failure = sys_fail("rlimit " + limit.name, "prlimit64", limit.name);
    if (errno == EPERM) {
      failure.message =
          limit.name +
          " cannot be raised above the hard limit of whoever started this: that needs "
          "CAP_SYS_RESOURCE";
    }
    return failure;
  }
  return ok();
}

Status set_oom_score_adj(const OciProcess& process, const std::string& pid_directory) {
  if (!process.oom_score_adj) return ok();
  std::string value = std::to_string(*process.oom_score_adj);
  auto written = write_existing(pid_directory + "/oom_score_adj", value);
  if (written.ok()) return ok();
  int err = written.failure().err;
  std::string why = "oom_score_adj " + value + " not set: " + error_text(err);
  if (err == EACCES || err == EPERM) why += " (lowering it needs CAP_SYS_RESOURCE)";
  return fail("oom_score_adj", why, err);
}

void warn_about_capabilities(const ChildState& state) {
  for (const std::string& name : state.process->unknown_capabilities) {
    warn(state, "process.capabilities: this runtime does not know " + name);
  }
  if (!state.process->capabilities) return;
  const OciCapabilities& sets = *state.process->capabilities;
  uint64_t not_raised = sets.ambient & ~(sets.inheritable & sets.permitted);
  for (size_t cap = 0; cap < capability_names().size(); cap++) {
    if ((not_raised >> cap & 1) == 0) continue;
    warn(state, "can't raise ambient capability " + capability_names()[cap] +
                    ": it has to be inheritable and permitted too");
  }
}

Status lose_rights_for_hook(const ChildState& state) {
  // The one listener that the agent expects is the container's process's.
  return lose_rights(state, false, state.seccomp.listener_path.empty());
}

void become_user_process(const ChildState& state, int start_fd, bool tty) {
  // Whatever is still open must not go along; CLOEXEC and not closed, for the answer's sake.
  // Before the rights are lost: many seccomp profiles do not know this call.
  constexpr unsigned kCloexec = 4;
  if (::syscall(SYS_close_range, 3u + static_cast<unsigned>(state.preserve_fds), ~0u, kCloexec) !=
      0) {
    send_failure(start_fd, sys_fail("close descriptors", "close_range"));
    ::_exit(128);
  }
  Status lost = lose_rights(state, tty);
  if (!lost.ok()) {
    send_failure(start_fd, lost.failure());
    ::_exit(128);
  }
  reset_signals();
  std::vector<char*> args = pointers(state.process->args);
  std::vector<char*> env = pointers(state.env);
  char about = sync_message::kExec;
  // What nobody knows of must not run. Who was recorded is known to the next monitor.
  bool recorded = state.options != nullptr && state.options->on_process;
  if (::send(start_fd, &about, 1, MSG_NOSIGNAL) != 1 && !(recorded && errno == EPIPE)) ::_exit(128);
  ::execve(state.executable.c_str(), args.data(), env.data());
  Failure failure = exec_failure(state.executable, errno);
  send_failure(start_fd, failure);
  ::_exit(start_exit_code(failure));
}

Status forbid_tracing() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return sys_fail("rights", "PR_SET_DUMPABLE");
  return ok();
}

Status drop_init_rights(const InitPlan& plan) {
  (void)plan;
  TRY(forbid_tracing());
  // To signal processes of any user of the container; nothing else is left to do for it.
  OciCapabilities kill_only;
  kill_only.permitted = kill_only.effective = (1ull << CAP_KILL) & TRY(permitted_now());
  TRY(drop_bounding(0));
  TRY(set_capability_sets(kill_only));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return sys_fail("init", "PR_SET_NO_NEW_PRIVS");
  }
  return ok();
}

Status keep_init_rights(const InitPlan& plan) {
  TRY(forbid_tracing());
  ChildState& state = *const_cast<ChildState*>(plan.state);
  const OciProcess& process = *state.process;
  OciCapabilities wanted = process.capabilities.value_or(OciCapabilities{});
  constexpr uint64_t kTraces = 1ull << CAP_SYS_PTRACE;
  bool filter = !state.privileged && !state.seccomp.empty() && !process.no_new_privileges;
  bool traceable = (wanted.bounding & kTraces) != 0;
  // Loading a filter without no_new_privs needs CAP_SYS_ADMIN. Who may trace could take that from
  // this process: then the filter is loaded here, once for all, and the capability goes.
  if (filter && traceable) {
    TRY(load_seccomp(state.seccomp));
    state.seccomp = {};
    filter = false;
  }
  uint64_t keep = wanted.bounding | wanted.permitted | wanted.inheritable | wanted.ambient;
  for (int cap : {CAP_KILL, CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_CHOWN}) keep |= 1ull << cap;
  if (filter) keep |= 1ull << CAP_SYS_ADMIN;
  if (process.scheduler || process.io_priority) keep |= 1ull << CAP_SYS_NICE;
  OciCapabilities sets;
  sets.permitted = keep & TRY(permitted_now());
  sets.effective = sets.permitted & (1ull << CAP_KILL);
  sets.inheritable = wanted.inheritable & sets.permitted;
  TRY(drop_bounding(sets.permitted));
  return set_capability_sets(sets);
}

Status raise_kept_rights() {
  OciCapabilities sets;
  sets.permitted = sets.effective = TRY(permitted_now());
  return set_capability_sets(sets);
}

}  // namespace stack
