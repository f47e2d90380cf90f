#include "cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>

#include "cgroup_files.h"
#include "fs.h"

namespace stack {

namespace {

std::string joined(const std::vector<std::string>& words, const char* separator) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : separator) + word;
  return out;
}

bool has_word(const std::string& text, const std::string& word) {
  return (" " + text + " ").find(" " + word + " ") != std::string::npos;
}

/** "/a/b" → "/a", "/a/b". */
std::vector<std::string> prefixes(const std::string& path) {
  std::vector<std::string> out;
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    out.push_back(path.substr(0, at));
    if (at == std::string::npos) return out;
  }
}

/** A new cpuset is empty, and an empty one takes no process: it starts as its parent is. */
Status fill_cpuset(const std::string& parent, const std::string& directory) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    std::string own = trimmed(TRY(read_file(directory + file)));
    if (!own.empty()) continue;
    std::string value = trimmed(TRY(read_file(parent + file)));
    TRY(write_existing(directory + file, value));
  }
  return ok();
}

bool forbidden(int err) { return err == EACCES || err == EPERM || err == EROFS; }

Failure at_cgroup(const std::string& what, Failure failure) {
  failure.stage = "cgroup " + what;
  return failure;
}

/** Places above that are ours by their name go with the last container; the user's own stay. */
void remove_empty_ancestors(const std::string& mountpoint, const std::string& path) {
  std::vector<std::string> levels = prefixes(path);
  size_t ours = 0;
  while (ours < levels.size()) {
    std::string name = levels[ours].substr(levels[ours].rfind('/') + 1);
    if (name == "stack" || name.starts_with("stack-")) break;
    ours++;
  }
  for (size_t i = levels.size() - 1; i > ours; i--) {
    if (::rmdir((mountpoint + levels[i - 1]).c_str()) != 0) return;  // not empty: others live there
  }
}

Status remove_directory(const std::string& directory) {
  if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return ok();
  Status below;
  for_each_child(directory, [&](const std::string& child) {
    auto removed = remove_directory(child);
    if (!removed.ok()) below = std::move(removed);
  });
  if (!below.ok()) return below;
  if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return ok();
  return sys_fail("cgroup", "rmdir", directory);
}

}  // namespace

const Cgroup::Place* Cgroup::place_of(std::string_view controller) const {
  for (const Place& place : places_) {
    if (!place.hierarchy.unified && place.hierarchy.has(controller)) return &place;
  }
  for (const Place& place : places_) {
    if (place.hierarchy.unified && place.hierarchy.has(controller)) return &place;
  }
  return nullptr;
}

const Cgroup::Place* Cgroup::unified() const {
  for (const Place& place : places_) {
    if (place.hierarchy.unified) return &place;
  }
  return nullptr;
}

namespace {

/** Of the controllers that are there: what statistics and later updates need, and what was asked
 * for besides. Each costs the kernel something in every group that has it. */
std::vector<std::string> wanted_controllers(const std::string& there, const Json& resources) {
  std::vector<std::string> wanted = {"cpu", "memory", "pids", "io", "cpuset"};
  if (resources["hugepageLimits"].size() > 0) wanted.push_back("hugetlb");
  if (resources["rdma"].size() > 0) wanted.push_back("rdma");
  std::erase_if(wanted, [&](const std::string& name) { return !has_word(there, name); });
  return wanted;
}

bool has_all(const std::string& handed, const std::vector<std::string>& wanted) {
  return std::ranges::all_of(wanted, [&](const auto& name) { return has_word(handed, name); });
}

}  // namespace

void Cgroup::enable_controllers(const Place& place, const Json& resources) {
  // Every level above a leaf has to hand a controller down.
  auto there = read_file(place.hierarchy.mountpoint + "/cgroup.controllers");
  if (!there.ok()) return;
  std::vector<std::string> wanted = wanted_controllers(trimmed(*there), resources);
  if (wanted.empty()) return;
  std::vector<std::string> levels = {""};
  for (std::string& prefix : prefixes(path_)) levels.push_back(std::move(prefix));
  // The place of the other containers of the stack is ready: then so is all above it.
  size_t first = 0;
  auto ready =
      read_file(place.hierarchy.mountpoint + levels[levels.size() - 2] + "/cgroup.subtree_control");
  if (ready.ok() && has_all(trimmed(*ready), wanted)) first = levels.size() - 1;
  for (size_t i = first; i < levels.size(); i++)
    hand_down(place.hierarchy.mountpoint + levels[i], wanted);
}

void Cgroup::hand_down(const std::string& directory, const std::vector<std::string>& wanted) {
  std::string file = directory + "/cgroup.subtree_control";
  if (write_existing(file, "+" + joined(wanted, " +")).ok()) return;
  // All or none: whichever cannot be had is to be named, and is not to take the others along.
  auto there = read_file(directory + "/cgroup.controllers");
  if (!there.ok()) return;
  for (const std::string& controller : wanted) {
    if (!has_word(trimmed(*there), controller)) continue;
    auto written = write_existing(file, "+" + controller);
    if (written.ok() || !not_enabled_.empty()) continue;
    not_enabled_ = "controller " + controller + " cannot be enabled in " + directory + ": " +
                   error_text(written.failure().err);
    if (written.failure().err == EBUSY) not_enabled_ += " (it has processes of its own)";
  }
}

Status Cgroup::try_directory(const CgroupHierarchy& hierarchy, const Json& resources) {
  Place place{hierarchy, hierarchy.mountpoint + path_};
  // From here on it is ours to remove, however far this gets.
  auto known = std::ranges::find(places_, place.directory, &Place::directory);
  if (known == places_.end()) places_.push_back(place);
  // Where the stack has containers, all but the last is there.
  bool made = ::mkdir(place.directory.c_str(), 0755) == 0;
  std::vector<std::string> levels = prefixes(path_);
  bool cpuset = !hierarchy.unified && hierarchy.has("cpuset");
  for (size_t i = 0; i < levels.size(); i++) {
    std::string directory = hierarchy.mountpoint + levels[i];
    if (!made && ::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      int err = errno;
      if (!forbidden(err)) return sys_fail("cgroup", "mkdir", directory, err);
      warnings_.push_back("no limits by " +
                          (hierarchy.unified ? "cgroup v2" : joined(hierarchy.controllers, ",")) +
                          ": " + directory + ": " + error_text(err));
      std::erase_if(places_, [&](const Place& each) { return each.directory == place.directory; });
      return ok();
    }
    std::string parent = hierarchy.mountpoint + (i == 0 ? "" : levels[i - 1]);
    if (cpuset) TRY(fill_cpuset(parent, directory));
  }
  if (hierarchy.unified) {
    enable_controllers(place, resources);
    std::string leaf = place.directory + "/init";
    if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST)
      return sys_fail("cgroup", "mkdir", leaf);
  }
  return ok();
}

Status Cgroup::make_directory(const CgroupHierarchy& hierarchy, const Json& resources) {
  // Whoever removes the last container of a place of ours removes the place too, perhaps just now.
  // Its files, once opened, answer ENODEV then.
  for (int attempt = 0;; attempt++) {
    auto made = try_directory(hierarchy, resources);
    bool went = !made.ok() && (made.failure().err == ENOENT || made.failure().err == ENODEV);
    if (!went || attempt >= 16) return made;
  }
}

Result<Cgroup> Cgroup::create(const std::string& path, const Json& resources) {
  Cgroup out;
  out.path_ = clean_path(path);
  if (out.path_ == "/")
    return fail("cgroup", "the root cgroup cannot be a container's", EINVAL, path);
  auto hierarchies = TRY(find_cgroup_hierarchies());
  // Without one nothing could be limited, and nothing found again to be stopped. Unprivileged, that
  // is usual.
  if (hierarchies.empty() && ::geteuid() == 0)
    return fail("cgroup",
                "no cgroup hierarchy is mounted here (mount -t cgroup2 none /sys/fs/cgroup; "
                "`ip netns exec` hides them: use `nsenter --net=/run/netns/NAME` instead)",
                ENOTSUP, "/sys/fs/cgroup");
  for (const CgroupHierarchy& hierarchy : hierarchies) {
    auto made = out.make_directory(hierarchy, resources);
    if (!made.ok()) {
      (void)out.remove().ok();
      return std::move(made).failure();
    }
  }
  auto applied = out.apply_all(resources, true);
  if (!applied.ok()) {
    if (out.processes().ok() && out.processes()->empty()) (void)out.remove().ok();
    return std::move(applied).failure();
  }
  return out;
}

Result<Cgroup> Cgroup::open(const std::string& path) {
  Cgroup out;
  out.killed_ = true;
  out.path_ = clean_path(path);
  for (CgroupHierarchy& hierarchy : TRY(find_cgroup_hierarchies())) {
    std::string directory = hierarchy.mountpoint + out.path_;
    if (exists(directory)) out.places_.push_back({std::move(hierarchy), std::move(directory)});
  }
  return out;
}

Result<Cgroup::Entry> Cgroup::entry(std::string_view leaf, const Cgroup* group) const {
  Entry out;
  bool elsewhere = group != nullptr && group->unified() != nullptr;
  for (const Place& place : places_) {
    if (place.hierarchy.unified && elsewhere) continue;
    std::string directory = place.directory;
    if (place.hierarchy.unified) {
      directory += "/" + std::string(leaf);
      if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
        return sys_fail("join cgroup", "mkdir", directory);
      }
      if (!killed_) {
        out.unified_dir.reset(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!out.unified_dir) return sys_fail("join cgroup", "open", directory);
      }
    }
    // v1's `tasks` moves one thread: when that is the caller itself (who has no other) the kernel
    // need not stop all forks of the machine, which costs a grace period of RCU, 10 to 30 ms
    // (cgroup_procs_write_start, since 5.18). The unified hierarchy has the same by clone3.
    std::string file = directory + (place.hierarchy.unified ? "/cgroup.procs" : "/tasks");
    UniqueFd procs(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    if (!procs) return sys_fail("join cgroup", "open", file);
    if (place.hierarchy.unified) {
      out.unified_procs = std::move(procs);
    } else {
      out.tasks_v1.push_back(std::move(procs));
    }
  }
  if (group != nullptr) TRY(group->extend(out));
  return out;
}

Result<Cgroup> Cgroup::group(std::string_view name, int pids) const {
  Cgroup out;
  out.path_ = path_ + "/" + std::string(name);
  out.nested_ = true;
  const Place* whole = unified();
  if (whole == nullptr) whole = place_of("freezer");
  const Place* counting = place_of("pids");
  for (const Place* place : {whole, counting}) {
    if (place == nullptr || (place == counting && counting == whole && !out.places_.empty()))
      continue;
    std::string directory = place->directory + "/" + std::string(name);
    if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      Failure failure = sys_fail("cgroup", "mkdir", directory);
      (void)out.remove().ok();
      return failure;
    }
    out.places_.push_back({place->hierarchy, std::move(directory)});
  }
  // Not there where the controller is not handed down: then the container's own limit is the only
  // one.
  if (!out.places_.empty())
    (void)write_existing(out.places_.back().directory + "/pids.max", std::to_string(pids)).ok();
  return out;
}

Status Cgroup::extend(Entry& entry) const {
  for (const Place& place : places_) {
    std::string file = place.directory + (place.hierarchy.unified ? "/cgroup.procs" : "/tasks");
    UniqueFd procs(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    if (!procs) return sys_fail("join cgroup", "open", file);
    if (place.hierarchy.unified) {
      entry.unified_dir.reset(::open(place.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!entry.unified_dir) return sys_fail("join cgroup", "open", place.directory);
      entry.unified_procs = std::move(procs);
    } else {
      entry.tasks_v1.push_back(std::move(procs));
    }
  }
  return ok();
}

Result<std::string> Cgroup::unified_leaf(const std::string& leaf) const {
  const Place* place = unified();
  if (place == nullptr) return std::string();
  std::string directory = place->directory + "/" + leaf;
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST)
    return sys_fail("join cgroup", "mkdir", directory);
  return directory;
}

Status Cgroup::remove() const {
  for (const Place& place : places_) {
    // A process that has just ended leaves its cgroup a moment later, and nothing tells when.
    timespec pause{0, 1000000};
    for (int attempt = 0;; attempt++) {
      auto removed = remove_directory(place.directory);
      if (removed.ok()) break;
      std::vector<pid_t> left;
      collect_processes(place.directory, left);
      if (removed.failure().err != EBUSY || attempt >= 8 || !left.empty()) {
        return at_cgroup("remove", std::move(removed).failure());
      }
      ::nanosleep(&pause, nullptr);
      pause.tv_nsec *= 2;
    }
    if (!nested_) remove_empty_ancestors(place.hierarchy.mountpoint, path_);
  }
  return ok();
}

std::string Cgroup::directory_of(std::string_view controller) const {
  const Place* place = place_of(controller);
  return place == nullptr ? "" : place->directory;
}

std::vector<std::pair<std::string, std::string>> Cgroup::directories() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const Place& place : places_) {
    std::string name = place.hierarchy.unified ? "" : joined(place.hierarchy.controllers, ",");
    out.emplace_back(name, place.directory);
  }
  return out;
}

}  // namespace stack
