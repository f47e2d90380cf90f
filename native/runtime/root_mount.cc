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

// lowerdir+ takes one layer at a time (Linux 6.8); before that all have to fit into one option of a
// page, so they are named by descriptor, which is short whatever the path.
Status set_layers(FsContext& overlay, const std::vector<std::string>& layers,
                  std::vector<UniqueFd>& held) {
  auto first = overlay.set("lowerdir+", layers.front());
  if (first.ok()) {
    for (size_t i = 1; i < layers.size(); ++i) TRY(overlay.set("lowerdir+", layers[i]));
    return ok();
  }
  if (first.failure().err != EINVAL) return first;
  std::string list;
  for (const std::string& layer : layers) {
    UniqueFd fd(::open(layer.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return sys_fail("mount root", "open", layer);
    if (!list.empty()) list += ':';
    list += "/proc/self/fd/" + std::to_string(fd.get());
    held.push_back(std::move(fd));
  }
  return overlay.set("lowerdir", list);
}

Result<UniqueFd> mount_overlay(const std::vector<std::string>& layers, const std::string& upper,
                               const std::string& work) {
  TRY(make_layer_directories(upper, work));
  std::vector<UniqueFd> held;
  FsContext overlay = TRY(FsContext::open("overlay"));
  TRY(overlay.set("source", "overlay"));
  TRY(set_layers(overlay, layers, held));
  TRY(overlay.set("upperdir", upper));
  TRY(overlay.set("workdir", work));
  return overlay.mount(0);
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
