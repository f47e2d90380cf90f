#include <fcntl.h>
#include <sys/stat.h>

#include "container_launch.h"
#include "container_state.h"
#include "fs.h"
#include "mount.h"

// config-linux.md "Masked paths", "Readonly paths", and config.md's root.readonly: what a container
// is not to see or change of what its mounts brought.

namespace stack {

Result<bool> is_directory(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return sys_fail("mount", "fstat");
  return S_ISDIR(info.st_mode);
}

namespace {

Status make_read_only(const ChildState& state, const std::string& path) {
  auto found = open_in_root(state.rootfs.get(), path, O_PATH);
  if (!found.ok() && (found.failure().err == ENOENT || found.failure().err == ENOTDIR)) return ok();
  if (!found.ok()) return std::move(found).failure();
  UniqueFd tree = TRY(clone_mount(found->get(), "", true));
  MountChange change;
  change.set = MOUNT_ATTR_RDONLY;
  TRY(change_mount(tree.get(), change, true));
  return attach_mount(tree.get(), found->get());
}

Result<UniqueFd> empty_directory() {
  FsContext context = TRY(FsContext::open("tmpfs"));
  TRY(context.set("mode", "0555"));
  TRY(context.set("size", "0"));
  TRY(context.set("nr_inodes", "1"));
  return context.mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                       MOUNT_ATTR_NOEXEC);
}

/** Covers paths; directories share one empty file system, files one null device. Both are attached
    once and cloned from there, because kernels before 6.15 clone no detached mount. */
class Mask {
 public:
  explicit Mask(ChildState& state) : state_(state) {}

  Status cover(const std::string& path) {
    auto found = open_in_root(state_.rootfs.get(), path, O_PATH);
    if (!found.ok() && (found.failure().err == ENOENT || found.failure().err == ENOTDIR))
      return ok();
    if (!found.ok()) return std::move(found).failure();
    bool directory = TRY(is_directory(found->get()));
    UniqueFd& first = directory ? directory_ : file_;
    if (first) {
      UniqueFd copy = TRY(clone_mount(first.get(), "", false));
      return attach_mount(copy.get(), found->get());
    }
    if (directory) {
      first = TRY(empty_directory());
    } else if (state_.null_tree) {
      first = std::move(state_.null_tree);
    } else {
      first = TRY(clone_verified_null());
    }
    return attach_mount(first.get(), found->get());
  }

 private:
  ChildState& state_;
  UniqueFd directory_, file_;
};

Failure at_path(const char* stage, const std::string& path, Failure failure) {
  failure.stage = std::string(stage) + " " + path;
  failure.path = path;
  return failure;
}

}  // namespace

Status cover_paths(ChildState& state) {
  for (const std::string& path : state.config->readonly_paths) {
    auto made = make_read_only(state, path);
    if (!made.ok()) return at_path("read-only path", path, std::move(made).failure());
  }
  Mask mask(state);
  for (const std::string& path : state.config->masked_paths) {
    auto covered = mask.cover(path);
    if (!covered.ok()) return at_path("mask", path, std::move(covered).failure());
  }
  if (state.config->root_readonly) {
    MountChange change;
    change.set = MOUNT_ATTR_RDONLY;
    auto changed = change_mount(state.rootfs.get(), change, false);
    if (!changed.ok()) return at_path("read-only root", "/", std::move(changed).failure());
  }
  return ok();
}

}  // namespace stack
