#include "container_view.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <utility>

#include "container_state.h"
#include "fs.h"
#include "monitor_record.h"
#include "monitor_spec.h"
#include "mount.h"
#include "populate.h"

namespace stack {

namespace {

constexpr const char* kStage = "open container";

// The start time is compared after its root was opened: whoever has the pid now had it then.
UniqueFd root_of_living(const std::string& directory) {
  auto record = read_record(directory);
  if (!record || record->pid == 0) return {};
  std::string path = "/proc/" + std::to_string(record->pid) + "/root";
  UniqueFd root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  auto start = process_start_time(record->pid);
  if (!root || !start || *start != record->pid_start) return {};
  return root;
}

// What the container's start would do for a bind mount, below a root that only we see.
Status bind(int root, const OciMount& mount, const OciConfig& config) {
  MountSource source = TRY(open_mount_source(mount, config));
  if (!source.tree) return ok();
  struct stat info {};
  if (::fstat(source.tree.get(), &info) < 0) return sys_fail(kStage, "fstat", mount.source);
  auto target = open_in_root(root, mount.destination, O_PATH);
  if (!target && target.failure().err == ENOENT) {
    target = S_ISDIR(info.st_mode) ? make_directories_in_root(root, mount.destination)
                                   : make_file_in_root(root, mount.destination);
  }
  if (!target) return std::move(target).failure();
  return attach_mount(source.tree.get(), target->get());
}

}  // namespace

Result<ContainerView> ContainerView::open(const std::string& directory) {
  ContainerView view;
  view.root_ = root_of_living(directory);
  if (!view.root_) TRY(view.mount(directory));
  return view;
}

Status ContainerView::mount(const std::string& directory) {
  std::string lock = directory + "/lock";
  lock_.reset(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_) return sys_fail(kStage, "open", lock);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK) return sys_fail(kStage, "flock", lock);
    return fail(kStage, "it is being started, or waits for its next start", EBUSY, directory);
  }
  std::string text = TRY(read_file(directory + "/monitor.json", 16u << 20));
  MonitorSpec spec = TRY(parse_monitor_spec(TRY(Json::parse(text))));
  OciConfig config = TRY(load_oci_config(directory + "/config.json"));
  mounted_.emplace(TRY(RootMount::create(spec.rootfs)));
  for (const PopulateSpec& volume : spec.populate) TRY(populate_volume(mounted_->fd(), volume));
  for (const OciMount& mount : config.mounts) TRY(bind(mounted_->fd(), mount, config));
  return ok();
}

}  // namespace stack
