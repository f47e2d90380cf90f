#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include <algorithm>

#include "container_launch.h"
#include "container_state.h"
#include "fs.h"
#include "mount.h"

// config.md "Mounts" and the paths of config-linux.md. Targets are resolved in the container's root
// by descriptor, once; what is mounted is finished, flags and all, before it is attached.

namespace stack {

namespace {

Failure at_mount(const OciMount& mount, Failure failure) {
  failure.stage = "mount " + mount.destination;
  if (failure.path.empty()) failure.path = mount.source;
  return failure;
}

Status apply_propagation(int tree, const MountOptions& options) {
  if (options.propagation == 0) return ok();
  MountChange change;
  change.propagation = options.propagation;
  return change_mount(tree, change, options.propagation_recursive);
}

/** But for what makes a mount unbindable: that comes last, see finish_tree. */
Status apply_options(int tree, const MountOptions& options) {
  MountChange change;
  change.set = options.set;
  change.clear = options.clear;
  if (change.set != 0 || change.clear != 0) TRY(change_mount(tree, change, false));
  MountChange recursive;
  recursive.set = options.recursive_set;
  recursive.clear = options.recursive_clear;
  if (recursive.set != 0 || recursive.clear != 0) TRY(change_mount(tree, recursive, true));
  return options.propagation == MS_UNBINDABLE ? ok() : apply_propagation(tree, options);
}

Status apply_idmap(int tree, const OciMount& mount, const MountOptions& options,
                   const OciConfig& config) {
  if (mount.uid_mappings.empty() && mount.gid_mappings.empty() && !options.idmap) return ok();
  const auto& uids = mount.uid_mappings.empty() ? config.uid_mappings : mount.uid_mappings;
  const auto& gids = mount.gid_mappings.empty() ? config.gid_mappings : mount.gid_mappings;
  const OciNamespace* joined = config.find_namespace(CLONE_NEWUSER);
  if (uids.empty() && gids.empty() && joined != nullptr && !joined->path.empty()) {
    UniqueFd userns(::open(joined->path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!userns) return sys_fail("mount", "open", joined->path);
    MountChange change;
    change.set = MOUNT_ATTR_IDMAP;
    change.userns = userns.get();
    return change_mount(tree, change, options.idmap_recursive);
  }
  if (uids.empty() || gids.empty()) {
    return fail("mount", "idmap without uidMappings and gidMappings", EINVAL);
  }
  UniqueFd userns = TRY(make_user_namespace(uids, gids));
  MountChange change;
  change.set = MOUNT_ATTR_IDMAP;
  change.userns = userns.get();
  return change_mount(tree, change, options.idmap_recursive);
}

Result<UniqueFd> open_source(const OciMount& mount, const MountOptions& options) {
  int flags = O_PATH | O_CLOEXEC | (options.source_nofollow ? O_NOFOLLOW : 0);
  if (mount.within.empty()) {
    UniqueFd source(::open(mount.source.c_str(), flags));
    if (!source) return sys_fail("mount", "open", mount.source);
    return source;
  }
  UniqueFd root(::open(mount.within.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return sys_fail("mount", "open", mount.within);
  if (mount.source != mount.within && !mount.source.starts_with(mount.within + "/")) {
    return fail("mount", mount.source + " is no part of " + mount.within, EINVAL, mount.source);
  }
  // Containers write there: between any look and this one they may have put links.
  auto source = open_in_root(root.get(), mount.source.substr(mount.within.size()), flags);
  if (!source.ok()) return sys_fail("mount", "open", mount.source, source.failure().err);
  return source;
}

/** A detached copy of the source, with all its options. Runs in the parent; in the child if that
 * may not. */
Result<UniqueFd> clone_source(const OciMount& mount, const MountOptions& options,
                              const OciConfig& config) {
  UniqueFd source = TRY(open_source(mount, options));
  UniqueFd tree = TRY(clone_mount(source.get(), "", options.recursive));
  // A copy of a shared mount is its peer, and what is mounted in the container would appear on the
  // host.
  if (options.propagation == 0) {
    MountChange change;
    change.propagation = MS_PRIVATE;
    TRY(change_mount(tree.get(), change, true));
  }
  TRY(apply_idmap(tree.get(), mount, options, config));
  TRY(apply_options(tree.get(), options));
  return tree;
}

bool is_bind(const OciMount& mount, const MountOptions& options) {
  return options.bind || mount.type == "bind" || mount.type == "rbind";
}

Result<bool> lies_on(int fd, long magic) {
  struct statfs info {};
  if (::fstatfs(fd, &info) != 0) return sys_fail("mount", "fstatfs");
  return static_cast<long>(info.f_type) == magic;
}

/** Files below /proc that may be mounted over, as lxcfs and systemd do; anything else could hide or
   fake what the kernel and we ourselves read there. */
bool allowed_in_proc(const std::string& destination) {
  constexpr const char* kAllowed[] = {"/proc/cpuinfo",
                                      "/proc/diskstats",
                                      "/proc/meminfo",
                                      "/proc/stat",
                                      "/proc/swaps",
                                      "/proc/uptime",
                                      "/proc/loadavg",
                                      "/proc/slabinfo",
                                      "/proc/sys/kernel/ns_last_pid",
                                      "/proc/sys/crypto/fips_enabled",
                                      "/proc/sys/kernel/random/boot_id",
                                      "/proc/pressure/cpu",
                                      "/proc/pressure/io",
                                      "/proc/pressure/memory"};
  for (const char* path : kAllowed) {
    if (destination == path) return true;
  }
  return false;
}

/** Where the mount goes: found, or made as a directory or (for a file) a file. */
struct Target {
  UniqueFd fd;
  bool existed = true;
};
Result<Target> open_target(const ChildState& state, const OciMount& mount, bool directory) {
  int root = state.rootfs.get();
  bool pseudo = mount.type == "proc" || mount.type == "sysfs";
  // A symlink at /proc would lead procfs, and all that is masked in it, somewhere else
  // (CVE-2019-19921).
  uint64_t resolve = pseudo ? RESOLVE_NO_SYMLINKS : 0;
  auto found = open_in_root(root, mount.destination, O_PATH, 0, resolve);
  if (found.ok()) {
    if (pseudo && !TRY(is_directory(found->get()))) {
      return fail("mount", mount.destination + " is not a directory", ENOTDIR);
    }
    bool proc = TRY(lies_on(found->get(), PROC_SUPER_MAGIC));
    if (proc && !pseudo && !allowed_in_proc(mount.destination) && mount.destination != "/proc") {
      return fail("mount", "mounting inside /proc is not allowed: " + mount.destination, EPERM);
    }
    return Target{std::move(found).take(), true};
  }
  if (found.failure().err == ELOOP && pseudo) {
    return fail(
        "mount",
        mount.destination + " must be mounted on ordinary directory, not on a symbolic link",
        ELOOP);
  }
  if (found.failure().err != ENOENT) return std::move(found).failure();
  auto made = directory ? make_directories_in_root(root, mount.destination)
                        : make_file_in_root(root, mount.destination);
  if (!made.ok()) return std::move(made).failure();
  return Target{std::move(made).take(), false};
}

/** Mounts are listed in the order in which they were made (since Linux 6.8), and whoever reads the
   list takes the last one of a place for the topmost. A source was opened before the container
   existed: so it is copied when its turn comes. Only what is attached in this namespace can be
   copied: it is attached over the source itself, below the root that goes away. */
Status finish_tree(const ChildState& state, const OciMount& mount, const MountOptions& options,
                   UniqueFd& tree) {
  if (!state.in_userns && !shares_mounts(*state.config)) {
    UniqueFd place(::open(mount.source.c_str(), O_PATH | O_CLOEXEC));
    if (place && attach_mount(tree.get(), place.get()).ok()) {
      auto copy = clone_mount(tree.get(), "", true);
      if (copy.ok()) tree = std::move(copy).take();
    }
  }
  return options.propagation == MS_UNBINDABLE ? apply_propagation(tree.get(), options) : ok();
}

Status mount_bind(ChildState& state, const OciMount& mount, MountSource& source) {
  UniqueFd tree = std::move(source.tree);
  if (!tree) tree = TRY(clone_source(mount, source.options, *state.config));
  bool directory = TRY(is_directory(tree.get()));
  if (mount.destination == "/proc" && !TRY(lies_on(tree.get(), PROC_SUPER_MAGIC))) {
    return fail("mount", "only procfs can be mounted on /proc", EPERM);
  }
  Target target = TRY(open_target(state, mount, directory));
  if (TRY(is_directory(target.fd.get())) != directory) {
    std::string what = directory ? "a directory onto a file" : "a file onto a directory";
    return fail("mount", "cannot mount " + what + ": " + mount.source + " on " + mount.destination,
                ENOTDIR);
  }
  TRY(finish_tree(state, mount, source.options, tree));
  return attach_mount(tree.get(), target.fd.get());
}

Status mount_remount(ChildState& state, const OciMount& mount, const MountOptions& options) {
  UniqueFd target = TRY(open_in_root(state.rootfs.get(), mount.destination, O_PATH));
  TRY(apply_options(target.get(), options));
  return options.propagation == MS_UNBINDABLE ? apply_propagation(target.get(), options) : ok();
}

bool gid_is_mapped(const OciConfig& config, uint32_t gid) {
  if (config.find_namespace(CLONE_NEWUSER) == nullptr) return true;
  for (const OciIdMapping& m : config.gid_mappings) {
    if (gid >= m.container && gid - m.container < m.size) return true;
  }
  return false;
}

/** Options for the file system itself, adjusted to the place. */
Result<std::string> file_system_data(const ChildState& state, const OciMount& mount,
                                     const MountOptions& options, const Target& target) {
  std::string data = options.data;
  if (mount.type == "devpts" && !gid_is_mapped(*state.config, 5)) {
    std::string kept;
    for (size_t at = 0; at < data.size();) {
      size_t end = std::min(data.find(',', at), data.size());
      std::string option = data.substr(at, end - at);
      if (option != "gid=5") kept += (kept.empty() ? "" : ",") + option;
      at = end + 1;
    }
    data = kept;
  }
  if (mount.type == "tmpfs" && target.existed && ("," + data).find(",mode=") == std::string::npos) {
    struct stat info {};
    if (::fstat(target.fd.get(), &info) != 0) return sys_fail("mount", "fstat");
    char mode[32];
    std::snprintf(mode, sizeof mode, "mode=%04o", info.st_mode & 07777);
    data += (data.empty() ? "" : ",") + std::string(mode);
  }
  const std::string& label = state.config->mount_label;
  if (!label.empty() && mount.type != "proc" && mount.type != "sysfs") {
    data += (data.empty() ? "" : ",") + std::string("context=\"") + label + "\"";
  }
  return data;
}

Result<UniqueFd> make_file_system(const ChildState& state, const OciMount& mount,
                                  const MountOptions& options, const Target& target) {
  FsContext context = TRY(FsContext::open(mount.type));
  if (!mount.source.empty()) TRY(context.set("source", mount.source));
  for (const std::string& flag : options.super_flags) TRY(context.flag(flag));
  // Of a file system on a device "ro" is the whole one's state; of a virtual one only this mount's.
  bool device = mount.source.starts_with('/');
  if (device && (options.set & MOUNT_ATTR_RDONLY) != 0) TRY(context.flag("ro"));
  TRY(context.options(TRY(file_system_data(state, mount, options, target))));
  uint64_t attributes = options.set & ~uint64_t{MOUNT_ATTR_NOSYMFOLLOW};
  bool later = mount.destination == "/dev" || mount.type == "tmpfs";
  if (later) attributes &= ~uint64_t{MOUNT_ATTR_RDONLY};
  UniqueFd tree = TRY(context.mount(attributes));
  MountOptions rest = options;
  rest.set = options.set & MOUNT_ATTR_NOSYMFOLLOW;
  rest.clear = 0;
  TRY(apply_options(tree.get(), rest));
  if (rest.propagation == MS_UNBINDABLE) TRY(apply_propagation(tree.get(), rest));
  return tree;
}

/** sysfs belongs to the network namespace; one that is not ours to rule can only be shown as it is.
 */
Status mount_sysfs_of_host(ChildState& state, const Target& target, const Failure& why) {
  if (why.err != EPERM || !state.in_userns || !state.sys_tree) return why;
  return attach_mount(state.sys_tree.get(), target.fd.get());
}

Status mount_file_system(ChildState& state, const OciMount& mount, const MountOptions& options) {
  Target target = TRY(open_target(state, mount, true));
  if (mount.type == "cgroup" || mount.type == "cgroup2") {
    return mount_cgroups(state, mount, options, target.fd.get());
  }
  auto tree = make_file_system(state, mount, options, target);
  if (!tree.ok() && mount.type == "sysfs") {
    return mount_sysfs_of_host(state, target, tree.failure());
  }
  if (!tree.ok()) return std::move(tree).failure();
  if (options.copy_up && mount.type == "tmpfs" && target.existed) {
    TRY(copy_tree(target.fd.get(), tree->get()));
  }
  bool readonly = (options.set & MOUNT_ATTR_RDONLY) != 0;
  if (readonly && mount.type == "tmpfs" && mount.destination != "/dev") {
    // After the copy; but a tmpfs that others mount into has to take their directories first.
    bool has_children = std::any_of(state.config->mounts.begin(), state.config->mounts.end(),
                                    [&](const OciMount& other) {
                                      return other.destination.starts_with(mount.destination + "/");
                                    });
    if (!has_children) {
      MountChange change;
      change.set = MOUNT_ATTR_RDONLY;
      TRY(change_mount(tree->get(), change, false));
    }
  }
  return attach_mount(tree->get(), target.fd.get());
}

Status make_mount(ChildState& state, const OciMount& mount, MountSource& source) {
  if (source.options.remount) return mount_remount(state, mount, source.options);
  if (is_bind(mount, source.options)) return mount_bind(state, mount, source);
  if (mount.type.empty())
    return fail("mount", "a type is required for " + mount.destination, EINVAL);
  return mount_file_system(state, mount, source.options);
}

}  // namespace

Result<MountSource> open_mount_source(const OciMount& mount, const OciConfig& config,
                                      const std::string& root) {
  MountSource out;
  out.options = parse_mount_options(mount.options);
  if (!is_bind(mount, out.options) || out.options.remount) {
    if (!mount.uid_mappings.empty()) {
      return fail("mount " + mount.destination, "idmapped mounts must be bind mounts", EINVAL);
    }
    return out;
  }
  if (mount.type == "rbind") out.options.recursive = true;
  if (mount.source.empty()) {
    return fail("mount " + mount.destination, "a source is required", EINVAL, mount.destination);
  }
  auto tree = clone_source(mount, out.options, config);
  bool in_root = !tree.ok() && tree.failure().err == ENOENT && !root.empty() &&
                 mount.source.starts_with(root + "/");
  if (tree.ok()) {
    out.tree = std::move(tree).take();
  } else if (in_root) {
    // An earlier mount may bring it: the child looks when its turn comes.
  } else if (tree.failure().err != EPERM || ::geteuid() == 0) {
    return at_mount(mount, std::move(tree).failure());
  }
  return out;
}

Status attach_rootfs(ChildState& state) {
  // Where the configuration has it, so that hooks that mount something there do it in the
  // container. A root that has no place, or one that a user namespace cannot reach, is attached
  // over "/": any directory would do, and this one always exists. Paths still start from the root
  // below it, so that bind sources are found until the root is switched.
  UniqueFd place;
  // Without pivot_root it has to cover "/", or chroot alone would stand before the host.
  if (state.options->rootfs_fd < 0 && !state.options->no_pivot) {
    std::string path = rootfs_path(*state.config, state.options->bundle);
    place.reset(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  if (!place) place.reset(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place) return sys_fail("root file system", "open", "/");
  auto attached = attach_mount(state.rootfs.get(), place.get());
  if (!attached.ok()) {
    return sys_fail("root file system", "move_mount", state.config->root_path,
                    attached.failure().err);
  }
  return ok();
}

Status make_mounts(ChildState& state) {
  for (size_t i = 0; i < state.config->mounts.size(); i++) {
    const OciMount& mount = state.config->mounts[i];
    auto made = make_mount(state, mount, state.sources[i]);
    if (!made.ok()) return at_mount(mount, std::move(made).failure());
  }
  for (size_t i = 0; i < state.extra_sources.size(); i++) {
    const auto& [source, destination] = state.options->extra_binds[i];
    OciMount mount{destination, "bind", source, {"bind"}, {}, {}};
    auto made = mount_bind(state, mount, state.extra_sources[i]);
    if (!made.ok()) return at_mount(mount, std::move(made).failure());
  }
  return ok();
}

Status finish_mounts(ChildState& state) {
  for (size_t i = 0; i < state.config->mounts.size(); i++) {
    const OciMount& mount = state.config->mounts[i];
    const MountOptions& options = state.sources[i].options;
    if (options.remount || is_bind(mount, options)) continue;
    if ((options.set & MOUNT_ATTR_RDONLY) == 0) continue;
    if (mount.type != "tmpfs" && mount.destination != "/dev") continue;
    UniqueFd target = TRY(open_in_root(state.rootfs.get(), mount.destination, O_PATH));
    MountChange change;
    change.set = MOUNT_ATTR_RDONLY;
    auto changed = change_mount(target.get(), change, false);
    if (!changed.ok()) return at_mount(mount, std::move(changed).failure());
  }
  return cover_paths(state);
}

}  // namespace stack
