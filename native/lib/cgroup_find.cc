#include <linux/magic.h>
#include <sys/statfs.h>

#include <algorithm>

#include "cgroup.h"
#include "fs.h"

namespace stack {

namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  while (!text.empty()) {
    size_t end = std::min(text.find(separator), text.size());
    if (end > 0) out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

struct MountLine {
  bool unified = false;
  std::string root, mountpoint;
  std::vector<std::string> super_options;
};

/** Fields of proc_pid_mountinfo(5): 4 is the root in the file system, 5 the mount point. */
std::vector<MountLine> cgroup_mounts(const std::string& mountinfo) {
  std::vector<MountLine> out;
  for (const std::string& line : split(mountinfo, '\n')) {
    size_t dash = line.find(" - cgroup");
    if (dash == std::string::npos) continue;
    auto before = split(std::string_view(line).substr(0, dash), ' ');
    auto after = split(std::string_view(line).substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    if (after[0] != "cgroup" && after[0] != "cgroup2") continue;
    out.push_back({after[0] == "cgroup2", before[3], before[4], split(after[2], ',')});
  }
  return out;
}

/** Something else may have been mounted over it since: only what can be reached counts. */
Result<bool> reachable(const MountLine& mount) {
  struct statfs info {};
  if (::statfs(mount.mountpoint.c_str(), &info) != 0) {
    // What cannot be reached at all is not there; what cannot be told must not pass for it, or
    // limits would silently be none.
    if (errno == ENOENT || errno == ENOTDIR || errno == EACCES) return false;
    return sys_fail("find cgroups", "statfs", mount.mountpoint);
  }
  long magic = mount.unified ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC;
  return static_cast<long>(info.f_type) == magic;
}

bool belongs(const MountLine& mount, bool unified, const std::vector<std::string>& controllers) {
  if (mount.unified != unified) return false;
  return std::all_of(controllers.begin(), controllers.end(), [&](const std::string& name) {
    const auto& options = mount.super_options;
    return std::find(options.begin(), options.end(), name) != options.end();
  });
}

std::string below_root(const std::string& path, const std::string& root) {
  if (root == "/") return path;
  if (path == root) return "/";
  if (path.starts_with(root + "/")) return path.substr(root.size());
  return "/";
}

}  // namespace

bool CgroupHierarchy::has(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

namespace {
Result<std::vector<CgroupHierarchy>> look_for_hierarchies() {
  auto own = read_file("/proc/self/cgroup");
  if (!own.ok() && own.failure().err == ENOENT) return std::vector<CgroupHierarchy>{};
  if (!own.ok()) return std::move(own).failure();
  auto mounts = cgroup_mounts(TRY(read_file("/proc/self/mountinfo")));
  std::vector<CgroupHierarchy> out;
  for (const std::string& line : split(*own, '\n')) {
    // "4:cpu,cpuacct:/path", "0::/path" for the unified one.
    size_t first = line.find(':');
    size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    CgroupHierarchy hierarchy;
    hierarchy.controllers =
        split(std::string_view(line).substr(first + 1, second - first - 1), ',');
    hierarchy.unified = hierarchy.controllers.empty();
    std::string path = line.substr(second + 1);
    auto mount = mounts.begin();
    for (; mount != mounts.end(); ++mount)
      if (belongs(*mount, hierarchy.unified, hierarchy.controllers) && TRY(reachable(*mount))) break;
    if (mount == mounts.end()) continue;
    hierarchy.mountpoint = mount->mountpoint;
    hierarchy.own_path = below_root(path, mount->root);
    if (hierarchy.unified) {
      auto text = read_file(hierarchy.mountpoint + "/cgroup.controllers");
      if (text.ok()) {
        if (!text->empty() && text->back() == '\n') text->pop_back();
        hierarchy.controllers = split(*text, ' ');
      }
    }
    out.push_back(std::move(hierarchy));
  }
  return out;
}
}  // namespace

Result<std::vector<CgroupHierarchy>> find_cgroup_hierarchies() {
  // The host's hierarchies do not change while it is up; a forked child inherits what its parent
  // found.
  static std::vector<CgroupHierarchy> found;
  if (found.empty()) found = TRY(look_for_hierarchies());
  return found;
}

}  // namespace stack
