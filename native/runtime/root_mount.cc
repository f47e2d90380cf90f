#include "root_mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "fs.h"
#include "host_mounts.h"
#include "mount.h"

namespace stack {

namespace {

Status make_layer_directories(const std::string& upper, const std::string& work) {
  TRY(make_directories(upper));
  return make_directories(work, 0700);
}

// lowerdir+ takes one layer at a time (Linux 6.8).
Result<UniqueFd> mount_by_layers(const std::vector<std::string>& layers, const std::string& upper,
                                 const std::string& work) {
  FsContext overlay = TRY(FsContext::open("overlay"));
  TRY(overlay.set("source", "overlay"));
  for (const std::string& layer : layers) TRY(overlay.set("lowerdir+", layer));
  TRY(overlay.set("upperdir", upper));
  TRY(overlay.set("workdir", work));
  return overlay.mount(0);
}

Status add_option(std::string& options, const char* name, const std::string& directory,
                  std::vector<UniqueFd>& held) {
  UniqueFd fd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_fail("mount root", "open", directory);
  options += name;
  options += "/proc/self/fd/" + std::to_string(fd.get());
  held.push_back(std::move(fd));
  return ok();
}

// Before that all layers are one option, for which fsconfig(2) has 256 bytes and mount(2) a page:
// so they are named by descriptors, which are short whatever the path, and what mount(2) has
// attached in a mount namespace of this process's own is detached again.
Result<UniqueFd> mount_by_page(const std::vector<std::string>& layers, const std::string& upper,
                               const std::string& work) {
  TRY(leave_host_mounts());  // first: overlayfs takes no directory of another mount namespace
  std::vector<UniqueFd> held;
  std::string options;
  for (const std::string& layer : layers)
    TRY(add_option(options, options.empty() ? "lowerdir=" : ":", layer, held));
  TRY(add_option(options, ",upperdir=", upper, held));
  TRY(add_option(options, ",workdir=", work, held));
  TRY(old_mount("overlay", work.c_str(), "overlay", 0, options.c_str()));
  auto tree = clone_mount(AT_FDCWD, work, false);
  TRY(unmount_at(work.c_str(), MNT_DETACH));
  return tree;
}

Result<UniqueFd> mount_overlay(const std::vector<std::string>& layers, const std::string& upper,
                               const std::string& work) {
  TRY(make_layer_directories(upper, work));
  auto mounted = mount_by_layers(layers, upper, work);
  // A kernel that knows no lowerdir+ says so at once (6.5 to 6.7), or at the end.
  if (mounted.ok() || mounted.failure().err != EINVAL) return mounted;
  auto otherwise = mount_by_page(layers, upper, work);
  return otherwise.ok() ? std::move(otherwise) : std::move(mounted);
}

// Cloning a detached tree, and mounting inside one, need Linux 6.15. Before that the tree has to be
// attached somewhere: in a mount namespace of this process's own.
Status attach_privately(const UniqueFd& tree, const std::string& place) {
  constexpr const char* kStage = "mount root";
  TRY(leave_host_mounts());
  UniqueFd target(::open(place.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!target) return sys_fail(kStage, "open", place);
  return attach_mount(tree.get(), target.get());
}

Status lay_over(const UniqueFd& tree, const RootfsSpec::Overlay& overlay) {
  UniqueFd layer = TRY(mount_overlay({overlay.source}, overlay.upper, overlay.work));
  UniqueFd target = TRY(open_in_root(tree.get(), overlay.target, O_PATH | O_DIRECTORY));
  return attach_mount(layer.get(), target.get());
}

}  // namespace

Result<RootMount> RootMount::create(const RootfsSpec& spec) {
  UniqueFd tree;
  if (spec.overlay) {
    tree = TRY(mount_overlay(spec.layers, spec.upper, spec.work));
  } else {
    tree = TRY(clone_mount(AT_FDCWD, spec.path, true));
    TRY(change_mount(tree.get(), {.propagation = MS_PRIVATE}, true));
  }
  if (!clone_mount(tree.get(), "", true).ok())
    TRY(attach_privately(tree, spec.overlay ? spec.work : spec.path));
  for (const RootfsSpec::Overlay& overlay : spec.overlays) TRY(lay_over(tree, overlay));
  return RootMount(std::move(tree));
}

Result<UniqueFd> RootMount::clone() const { return clone_mount(tree_.get(), "", true); }

}  // namespace stack
