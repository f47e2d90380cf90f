#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container_launch.h"
#include "container_state.h"
#include "fs.h"
#include "mount.h"
#include "proc.h"

// A container without a mount namespace of its own: it lives in the runtime's or in the one that is
// named (config-linux.md "Namespaces"). Nobody's root may be switched there, and nothing goes away
// with the container: its tree is mounted over the root file system's directory, the process is put
// into it by chroot, and the tree is unmounted with the container.

namespace stack {

namespace {

Status enter(int root) {
  if (::fchdir(root) != 0) return sys_fail("switch root", "fchdir");
  if (::chroot(".") != 0) return sys_fail("switch root", "chroot");
  if (::chdir("/") != 0) return sys_fail("switch root", "chdir");
  return ok();
}

/** 0, or the errno of what failed; the namespace or the directory may be gone already. */
int unmount_in(const UniqueFd& space, const std::string& path) {
  if (space && ::setns(space.get(), CLONE_NEWNS) != 0) return errno;
  UniqueFd root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return errno == ENOENT ? 0 : errno;
  struct statx info {};
  if (::statx(root.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &info) != 0) return errno;
  if ((info.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) return 0;
  if (::fchdir(root.get()) != 0) return errno;
  auto unmounted = unmount_at(".", MNT_DETACH);
  return unmounted.ok() ? 0 : unmounted.failure().err;
}

}  // namespace

bool shares_mounts(const OciConfig& config) {
  const OciNamespace* space = config.find_namespace(CLONE_NEWNS);
  return space == nullptr || !space->path.empty();
}

std::string rootfs_path(const OciConfig& config, const std::string& bundle) {
  return config.root_path.starts_with('/') ? config.root_path : bundle + "/" + config.root_path;
}

Status attach_shared_rootfs(ChildState& state) {
  std::string path = rootfs_path(*state.config, state.options->bundle);
  UniqueFd place(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place) return sys_fail("root file system", "open", path);
  auto attached = attach_mount(state.rootfs.get(), place.get());
  if (!attached.ok()) {
    return sys_fail("root file system", "move_mount", path, attached.failure().err);
  }
  state.shared_root_attached = true;
  return ok();
}

void detach_shared_rootfs(const ChildState& state) {
  if (!state.shared_root_attached) return;
  if (::fchdir(state.rootfs.get()) == 0) (void)unmount_at(".", MNT_DETACH).ok();
}

Status enter_shared_rootfs(const ChildState& state) { return enter(state.rootfs.get()); }

Status unmount_shared_rootfs(const OciConfig& config, const std::string& bundle) {
  if (!shares_mounts(config)) return ok();
  std::string path = rootfs_path(config, bundle);
  const OciNamespace* named = config.find_namespace(CLONE_NEWNS);
  UniqueFd space;
  if (named != nullptr) {
    space.reset(::open(named->path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!space) return ok();  // what was mounted in it is gone with it
  }
  Cloned child;
  {
    SignalsBlocked blocked;
    child = TRY(clone_process(0));
    if (child.pid == 0) ::_exit(unmount_in(space, path));
  }
  Ended ended = TRY(wait_pidfd(child.pidfd.get()));
  if (ended.code == 0) return ok();
  return sys_fail("delete", "umount2", path, ended.signal != 0 ? EINTR : ended.code);
}

}  // namespace stack
