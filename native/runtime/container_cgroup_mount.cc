#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include "container_state.h"
#include "fs.h"
#include "mount.h"

// Mounts of type cgroup and cgroup2: the hierarchies as the host has them, seen from the
// container's own cgroup, by a cgroup namespace where there is one, else by bind mounts of its
// directories.

namespace stack {

namespace {

constexpr uint64_t kAttributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ",") + word;
  return out;
}

bool has_cgroup_namespace(const ChildState& state) {
  return state.config->find_namespace(CLONE_NEWCGROUP) != nullptr;
}

/** The container's directory in one hierarchy, as the host sees it; the one that this process is
 * in. */
std::string own_directory(const ChildState& state, const CgroupHierarchy& hierarchy) {
  const Cgroup* cgroup = state.options == nullptr ? nullptr : state.options->cgroup;
  if (cgroup != nullptr) {
    for (const auto& [controllers, directory] : cgroup->directories()) {
      bool same =
          hierarchy.unified ? controllers.empty() : controllers == joined(hierarchy.controllers);
      if (same) return hierarchy.unified ? directory + "/init" : directory;
    }
  }
  return hierarchy.mountpoint + hierarchy.own_path;
}

Result<UniqueFd> bind_own(const ChildState& state, const CgroupHierarchy& hierarchy, uint64_t set) {
  UniqueFd tree = TRY(clone_mount(AT_FDCWD, own_directory(state, hierarchy), false));
  MountChange change;
  change.set = set;
  change.propagation = MS_PRIVATE;
  TRY(change_mount(tree.get(), change, false));
  return tree;
}

Result<UniqueFd> by_namespace(const CgroupHierarchy& hierarchy, uint64_t set) {
  FsContext context = TRY(FsContext::open(hierarchy.unified ? "cgroup2" : "cgroup"));
  TRY(context.set("source", "cgroup"));
  for (const std::string& controller : hierarchy.controllers) {
    if (hierarchy.unified) break;
    if (controller.starts_with("name=")) {
      TRY(context.flag("none"));
      TRY(context.set("name", controller.substr(5)));
    } else {
      TRY(context.flag(controller));
    }
  }
  return context.mount(set);
}

Result<UniqueFd> hierarchy_mount(const ChildState& state, const CgroupHierarchy& hierarchy,
                                 uint64_t set) {
  if (has_cgroup_namespace(state)) {
    auto mounted = by_namespace(hierarchy, set);
    if (mounted.ok()) return mounted;
    int err = mounted.failure().err;
    // Not allowed here (a user namespace that does not rule it, or busy with other options).
    if (err != EPERM && err != EBUSY && err != EINVAL) return mounted;
  }
  return bind_own(state, hierarchy, set);
}

Status mount_one_v1(const ChildState& state, const CgroupHierarchy& hierarchy, int top,
                    uint64_t set) {
  std::string name = hierarchy.unified ? "unified" : joined(hierarchy.controllers);
  if (name.starts_with("name=")) name = name.substr(5);
  if (::mkdirat(top, name.c_str(), 0755) != 0 && errno != EEXIST) {
    return sys_fail("cgroup", "mkdirat", name);
  }
  UniqueFd target(::openat(top, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!target) return sys_fail("cgroup", "openat", name);
  UniqueFd tree = TRY(hierarchy_mount(state, hierarchy, set));
  TRY(attach_mount(tree.get(), target.get()));
  if (hierarchy.unified || hierarchy.controllers.size() < 2) return ok();
  // Controllers mounted together are also found one by one.
  for (const std::string& controller : hierarchy.controllers) {
    if (controller.starts_with("name=")) continue;
    if (::symlinkat(name.c_str(), top, controller.c_str()) != 0 && errno != EEXIST) {
      return sys_fail("cgroup", "symlinkat", controller);
    }
  }
  return ok();
}

}  // namespace

Status mount_cgroups(ChildState& state, const OciMount& mount, const MountOptions& options,
                     int target) {
  auto hierarchies = TRY(find_cgroup_hierarchies());
  uint64_t set = kAttributes | (options.set & MOUNT_ATTR_RDONLY);
  const CgroupHierarchy* unified = nullptr;
  for (const CgroupHierarchy& hierarchy : hierarchies) {
    if (hierarchy.unified) unified = &hierarchy;
  }
  bool only_unified = unified != nullptr && hierarchies.size() == 1;
  if (mount.type == "cgroup2" || only_unified) {
    if (unified == nullptr) {
      return fail("cgroup", "this system has no unified cgroup hierarchy mounted", ENODEV);
    }
    UniqueFd tree = TRY(hierarchy_mount(state, *unified, set));
    return attach_mount(tree.get(), target);
  }
  FsContext context = TRY(FsContext::open("tmpfs"));
  TRY(context.set("source", "cgroup"));
  TRY(context.set("mode", "755"));
  UniqueFd top = TRY(context.mount(kAttributes));
  TRY(attach_mount(top.get(), target));
  for (const CgroupHierarchy& hierarchy : hierarchies) {
    TRY(mount_one_v1(state, hierarchy, top.get(), set));
  }
  if ((set & MOUNT_ATTR_RDONLY) == 0) return ok();
  MountChange change;
  change.set = MOUNT_ATTR_RDONLY;
  return change_mount(top.get(), change, false);
}

}  // namespace stack
