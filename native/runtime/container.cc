#include "container.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstring>

#include "container_launch.h"
#include "container_state.h"
#include "fs.h"
#include "mount.h"
#include "proc.h"

// The parent's side of launch(): prepares everything that needs its rights, clones, answers the
// child.

namespace stack {

namespace {

/** Flags for clone3: namespaces that are new. The cgroup namespace is the child's own business (it
   has to be in its cgroup first), time a stage process's. */
uint64_t new_namespace_flags(const OciConfig& config, const LaunchOptions& options) {
  uint64_t flags = 0;
  for (const OciNamespace& space : config.namespaces) {
    if (!space.path.empty()) continue;
    if (space.flag == CLONE_NEWCGROUP || space.flag == CLONE_NEWTIME) continue;
    if (space.flag == CLONE_NEWNET && options.netns_fd >= 0) continue;
    flags |= static_cast<uint64_t>(space.flag);
  }
  return flags;
}

Status check(const OciConfig& config, const LaunchOptions& options) {
  if (!config.has_process) return fail("config", "process is required", EINVAL, "process");
  bool userns = config.find_namespace(CLONE_NEWUSER) != nullptr;
  if (shares_mounts(config) && (userns || options.rootfs_fd >= 0)) {
    return fail("config", "linux.namespaces must have a new mount namespace", EINVAL,
                "linux.namespaces");
  }
  if (options.rootfs_fd < 0 && config.root_path.empty()) {
    return fail("config", "root.path is required", EINVAL, "root.path");
  }
  bool uts = config.find_namespace(CLONE_NEWUTS) != nullptr;
  if (!uts && (!config.hostname.empty() || !config.domainname.empty())) {
    return fail("config", "hostname and domainname need a uts namespace", EINVAL, "hostname");
  }
  return ok();
}

Status open_joins(const OciConfig& config, const LaunchOptions& options, ChildState& state) {
  for (const OciNamespace& space : config.namespaces) {
    if (space.path.empty()) continue;
    if (space.flag == CLONE_NEWNET && options.netns_fd >= 0) continue;
    UniqueFd fd(::open(space.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return sys_fail("join " + space.type + " namespace", "open", space.path);
    state.joins.emplace_back(space.flag, std::move(fd));
  }
  if (options.netns_fd >= 0) {
    state.joins.emplace_back(CLONE_NEWNET, TRY(duplicate(options.netns_fd)));
  }
  return ok();
}

Status open_rootfs(const OciConfig& config, const LaunchOptions& options, ChildState& state) {
  if (options.rootfs_fd >= 0) {
    state.rootfs = TRY(duplicate(options.rootfs_fd));
  } else {
    std::string path = rootfs_path(config, options.bundle);
    auto tree = clone_mount(AT_FDCWD, path, true);
    if (!tree.ok()) return sys_fail("root file system", "open_tree", path, tree.failure().err);
    state.rootfs = std::move(tree).take();
  }
  // Until everything is in place nothing may travel to the host; rootfsPropagation comes at the
  // end.
  const std::string& propagation = config.rootfs_propagation;
  bool linked = !propagation.empty() && propagation != "private" && propagation != "rprivate";
  MountChange change;
  change.propagation = linked ? MS_SLAVE : MS_PRIVATE;
  auto changed = change_mount(state.rootfs.get(), change, true);
  if (!changed.ok())
    return sys_fail("root file system", "mount_setattr", "", changed.failure().err);
  return ok();
}

Status open_sources(const OciConfig& config, const LaunchOptions& options, ChildState& state) {
  std::string root = options.rootfs_fd < 0 ? rootfs_path(config, options.bundle) : "";
  for (const OciMount& mount : config.mounts) {
    state.sources.push_back(TRY(open_mount_source(mount, config, root)));
  }
  for (const auto& [source, target] : options.extra_binds) {
    OciMount mount{target, "bind", source, {"bind", "rprivate"}, {}, {}};
    state.extra_sources.push_back(TRY(open_mount_source(mount, config)));
  }
  state.null_file = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!state.null_file) return sys_fail("prepare", "open", "/dev/null");
  if (!state.in_userns) return ok();
  // mknod(2) is forbidden in there: devices are bound from the host.
  state.null_tree = TRY(clone_verified_null());
  for (const char* name : {"null", "zero", "full", "random", "urandom", "tty"}) {
    std::string path = std::string("/dev/") + name;
    state.device_trees.emplace_back(path, TRY(clone_mount(AT_FDCWD, path, false)));
  }
  for (const OciDevice& device : config.devices) {
    auto tree = clone_mount(AT_FDCWD, device.path, false);
    if (!tree.ok()) return sys_fail("device", "open_tree", device.path, tree.failure().err);
    state.device_trees.emplace_back(device.path, std::move(tree).take());
  }
  auto sys = clone_mount(AT_FDCWD, "/sys", true);
  if (sys.ok()) {
    MountChange change;
    change.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    change.propagation = MS_PRIVATE;
    if (change_mount(sys->get(), change, true).ok()) state.sys_tree = std::move(sys).take();
  }
  return ok();
}

}  // namespace

Status connect_listener(ChildState& state) {
  const std::string& path = state.seccomp.listener_path;
  if (path.empty()) return ok();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return sys_fail("seccomp listener", "connect", path, ENAMETOOLONG);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return sys_fail("seccomp listener", "socket");
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return fail("seccomp listener",
                "failed to connect with seccomp agent at " + path + ": " + error_text(errno), errno,
                path);
  }
  state.listener_socket = std::move(socket);
  return ok();
}

namespace {

Result<ChildState> prepare(const OciConfig& config, const LaunchOptions& options) {
  TRY(check(config, options));
  ChildState state;
  state.config = &config;
  state.process = &config.process;
  state.options = &options;
  const OciNamespace* user = config.find_namespace(CLONE_NEWUSER);
  state.new_userns = user != nullptr && user->path.empty();
  state.in_userns = user != nullptr;
  state.apply_rlimits_in_child = !state.in_userns;
  const OciNamespace* cgroup = config.find_namespace(CLONE_NEWCGROUP);
  state.unshare_cgroup = cgroup != nullptr && cgroup->path.empty();
  state.no_new_keyring = options.no_new_keyring;
  state.preserve_fds = options.preserve_fds;
  TRY(open_joins(config, options, state));
  TRY(open_rootfs(config, options, state));
  TRY(open_sources(config, options, state));
  if (options.cgroup != nullptr) state.cgroup = TRY(options.cgroup->entry("init"));
  state.seccomp = TRY(compile_seccomp(config.seccomp, options.seccomp_cache_dir));
  TRY(connect_listener(state));
  return state;
}

/** Is another process needed before the container's? Joining a pid namespace and making or joining
   a time namespace count for children only, and host namespaces must be joined before a new user
   namespace. */
bool needs_stage(const ChildState& state) {
  if (state.config->find_namespace(CLONE_NEWTIME) != nullptr) return true;
  for (const auto& [flag, fd] : state.joins) {
    if (flag == CLONE_NEWPID || flag == CLONE_NEWUSER) return true;
  }
  return state.new_userns && !state.joins.empty();
}

Status make_time_namespace(const OciConfig& config) {
  const OciNamespace* space = config.find_namespace(CLONE_NEWTIME);
  if (space == nullptr || !space->path.empty()) return ok();
  if (::unshare(CLONE_NEWTIME) != 0) return sys_fail("time namespace", "unshare");
  std::string text;
  for (const OciTimeOffset& offset : config.time_offsets) {
    text += offset.clock + " " + std::to_string(offset.secs) + " " +
            std::to_string(offset.nanosecs) + "\n";
  }
  if (text.empty()) return ok();
  auto written = write_existing("/proc/self/timens_offsets", text);
  if (!written.ok()) {
    return sys_fail("time namespace", "write", "/proc/self/timens_offsets", written.failure().err);
  }
  return ok();
}

}  // namespace

SignalsBlocked::SignalsBlocked() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before_);
}
SignalsBlocked::~SignalsBlocked() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

namespace {

/** The stage process: takes on what children inherit, then makes the container's process its
 * sibling. */
[[noreturn]] void run_stage(ChildState& state, uint64_t flags) {
  // A dead parent must not leave this one waiting; the container's process has its start socket.
  constexpr int kAll =
      CLONE_NEWPID | CLONE_NEWTIME | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;
  auto step = [&](const Status& status) {
    if (!status.ok()) die(state, status.failure());
  };
  step(join_namespaces(state, kAll));
  step(make_time_namespace(*state.config));
  step(join_namespaces(state, CLONE_NEWUSER));
  // The joined namespaces are inherited from here on; mounts are joined last, by the child.
  std::erase_if(state.joins, [](const auto& join) { return join.first != CLONE_NEWNS; });
  auto cloned = clone_process(flags | CLONE_PARENT, -1);
  if (!cloned.ok()) die(state, cloned.failure());
  if (cloned->pid == 0) run_container_child(state);
  std::string message(1, sync_message::kPid);
  message += std::to_string(cloned->pid);
  int pidfd = cloned->pidfd.get();
  (void)send_fds(state.sync.get(), message, &pidfd, 1).ok();
  ::_exit(0);
}

Result<Cloned> clone_container(ChildState& state, uint64_t flags) {
  int unified = state.cgroup.unified_dir.get();
  state.into_cgroup = unified >= 0;
  auto cloned = clone_process(flags, unified);
  if (!cloned.ok() && unified >= 0) {
    // Not every kernel and cgroup allows it (threaded, frozen, before 5.7): then by cgroup.procs.
    state.into_cgroup = false;
    cloned = clone_process(flags);
  }
  if (cloned.ok() && cloned->pid == 0) run_container_child(state);
  return cloned;
}

}  // namespace

Result<Launched> launch(const OciConfig& config, const LaunchOptions& options) {
  ChildState state = TRY(prepare(config, options));
  FdPair sync = TRY(make_socketpair(SOCK_SEQPACKET));
  state.sync = std::move(sync.second);
  Launched out;
  if (options.start_listen_fd >= 0) {
    state.start = TRY(duplicate(options.start_listen_fd));
    state.start_listens = true;
  } else {
    FdPair start = TRY(make_socketpair(SOCK_SEQPACKET));
    out.start_sync = std::move(start.first);
    state.start = std::move(start.second);
  }
  uint64_t flags = new_namespace_flags(config, options);
  LaunchParent parent(config, options, std::move(sync.first));
  {
    SignalsBlocked blocked;
    if (needs_stage(state)) {
      auto stage = clone_process(0);
      if (!stage.ok()) return std::move(stage).failure();
      if (stage->pid == 0) run_stage(state, flags);
      parent.expect_stage(std::move(stage).take());
    } else {
      parent.expect_container(TRY(clone_container(state, flags)));
    }
  }
  // The child's ends must be open in the child alone, or its death would not be seen.
  state.sync.reset();
  state.start.reset();
  TRY(parent.run(out));
  return out;
}

Status start(Launched& container) {
  Status status = start_over(container.start_sync.get());
  container.start_sync.reset();
  return status;
}

Status start_over(int start_socket) {
  char go = sync_message::kStart;
  ssize_t sent;
  do {
    sent = ::send(start_socket, &go, 1, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  // It may have ended already, and said why before.
  bool gone = sent < 0 && (errno == EPIPE || errno == ECONNRESET);
  if (sent != 1 && !gone) return sys_fail("start", "send");
  bool about_to_exec = false;
  for (;;) {
    Received message = TRY(recv_fds(start_socket));
    if (message.data.empty()) break;
    if (message.data[0] == sync_message::kExec) {
      about_to_exec = true;
    } else if (message.data[0] == sync_message::kFailure) {
      auto json = Json::parse(std::string_view(message.data).substr(1));
      if (json.ok()) return failure_from_json(*json);
      return fail("start", "the container's process failed", EIO);
    }
  }
  if (about_to_exec) return ok();
  return fail("start", "the container's process ended before it executed anything", ECHILD);
}

int start_exit_code(const Failure& failure) {
  if (failure.stage != "exec") return 128;
  if (failure.err == ENOENT || failure.err == ENOTDIR) return 127;
  if (failure.err == EACCES || failure.err == EISDIR || failure.err == ENOEXEC ||
      failure.err == EPERM) {
    return 126;
  }
  return 128;
}

}  // namespace stack
