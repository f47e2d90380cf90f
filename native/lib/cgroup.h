#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fd.h"
#include "json.h"
#include "result.h"

namespace stack {

/** One mounted hierarchy: v1 with its controllers (`cpu,cpuacct`, `name=systemd`), or the unified
 * one. */
struct CgroupHierarchy {
  bool unified = false;
  std::vector<std::string> controllers;  // v1: as mounted; v2: cgroup.controllers of its root
  std::string mountpoint;
  std::string own_path;  // where this process is in it ("/…"), from /proc/self/cgroup
  bool has(std::string_view controller) const;
};

/** Found once from /proc/self/{mountinfo,cgroup}, per controller: mixtures (hybrid) are normal. */
Result<std::vector<CgroupHierarchy>> find_cgroup_hierarchies();

/** Where the kernel tells that memory was exhausted. Empty: it tells nobody. */
struct OomNews {
  UniqueFd fd;
  /** What to wait for with poll(2) or epoll. On v2 memory.events itself, which is always readable,
   * and marked with POLLPRI at each change until it is read again: an inotify instance would be one
   * of the 128 that a user has by default (fs.inotify.max_user_instances). v1: an eventfd. */
  uint32_t events = 0;
  explicit operator bool() const { return fd.valid(); }
  /** This news has been heard. False: there was none. */
  bool take() const;
};

/**
 * A container's cgroup: the same path below every hierarchy that is mounted. On the unified one
 * processes live only in leaves below it (`init`, `exec`), on v1 in the directory itself, which
 * that version allows and where counters and limits then are together.
 *
 * Under systemd as PID 1 the path should lie in a delegated unit (Delegate=yes): systemd tidies up
 * what it does not know about. The caller chooses it; nothing here talks to systemd.
 */
class Cgroup {
 public:
  /** Nothing at all: for containers without cgroups. Every operation succeeds and does nothing. */
  Cgroup() = default;

  /** Makes the directories that are missing (idempotent), enables the controllers that `resources`
      (linux.resources, may be null) needs, and writes its limits, before any process joins. */
  static Result<Cgroup> create(const std::string& path, const Json& resources);
  /** The cgroup of that path as far as it exists. */
  static Result<Cgroup> open(const std::string& path);

  bool valid() const { return !path_.empty(); }
  const std::string& path() const { return path_; }
  /** Things asked for that this kernel or place cannot do, one sentence each; from create and
   * apply. */
  const std::vector<std::string>& warnings() const { return warnings_; }

  /** Applies or changes limits (linux.resources). Absent members keep what they have. */
  Status apply(const Json& resources);

  /** A limit that has another value than was asked for. */
  struct AlteredLimit {
    std::string file, wanted, actual;
  };
  /** Limits of linux.resources (but devices) that somebody has changed since they were applied. */
  Result<std::vector<AlteredLimit>> altered(const Json& resources);

  /** Opened `tasks` of all v1 hierarchies, to be written "0" by the process that joins, which has
     one thread; and the unified leaf's directory for CLONE_INTO_CGROUP. That is invalid if there is
     no unified hierarchy, and once cgroup.kill was written here: since Linux 6.14 a child that is
     cloned into such a group from another one is taken for one that slipped through that kill, and
     killed. */
  struct Entry {
    std::vector<UniqueFd> tasks_v1;
    UniqueFd unified_dir;
    UniqueFd unified_procs;
  };
  /** `leaf`: "init" or "exec" (made if missing). With `group` whoever enters goes on to that one. */
  Result<Entry> entry(std::string_view leaf, const Cgroup* group = nullptr) const;
  /** Directory of a leaf on the unified hierarchy, made if missing; "" if there is no such
   * hierarchy. */
  Result<std::string> unified_leaf(const std::string& leaf) const;
  /** False once cgroup.kill was written here; see Entry. */
  bool may_clone_into() const { return !killed_; }
  /** A group of its own below this one (made if missing), for processes that are to be killed apart
   * from the container's: in the unified hierarchy, else in v1's freezer; and at most `pids` of
   * them, where a controller counts. */
  Result<Cgroup> group(std::string_view name, int pids) const;

  Status freeze() const;
  Status thaw() const;
  Result<bool> frozen() const;
  /** SIGKILL to everything in it, also when frozen; does not wait. */
  Status kill_all() const;
  /** Any signal to every process in it. */
  Status signal_all(int signal) const;
  Result<std::vector<pid_t>> processes() const;
  /** Removes the directories, children first, then the empty ones above that are ours (from one named `stack`
      or `stack-…` on). EBUSY when processes are left. Idempotent. */
  Status remove() const;
  /** Waits (bounded by `timeout_ms`) until no process is left, by cgroup.events or by the pidfds.
   */
  Status wait_empty(int timeout_ms) const;

  /** Statistics in the shape of runc's `events --stats` data. */
  Result<Json> stats() const;
  /** How often the kernel killed something in it for lack of memory. 0 if it cannot be known. */
  uint64_t oom_kills() const;
  /** Becomes readable when memory runs out: v1 an eventfd (read 8 bytes), v2 an inotify descriptor
     on memory.events (read and drop the events, compare oom_kills()). Invalid: no memory
     controller. */
  Result<OomNews> oom_events() const;

  /** Directory of a controller's hierarchy ("memory"), "" if there is none; for tests and stats. */
  std::string directory_of(std::string_view controller) const;
  /** (hierarchy's controllers joined by ",", directory) of all; "" names the unified one. */
  std::vector<std::pair<std::string, std::string>> directories() const;

 private:
  struct Place {
    CgroupHierarchy hierarchy;
    std::string directory;
  };
  const Place* place_of(std::string_view controller) const;
  const Place* unified() const;
  /** Has whoever enters by `entry` (of the one above) go on to this group. */
  Status extend(Entry& entry) const;
  Status make_directory(const CgroupHierarchy& hierarchy, const Json& resources);
  Status try_directory(const CgroupHierarchy& hierarchy, const Json& resources);
  void enable_controllers(const Place& place, const Json& resources);
  void hand_down(const std::string& directory, const std::vector<std::string>& wanted);
  Status apply_all(const Json& resources, bool fresh);
  Status missing(std::string_view controller, const std::string& what);

  Status apply_memory(const Json& memory);
  Status apply_memory_v1(const std::string& directory, const Json& memory);
  Status apply_memory_v2(const std::string& directory, const Json& memory);
  Status apply_cpu(const Json& cpu);
  Status apply_cpuset(const Json& cpu);
  Status apply_pids(const Json& pids);
  Status apply_block_io(const Json& block);
  Status apply_block_throttle(const Place& place, const Json& block);
  Status apply_hugepages(const Json& limits);
  Status apply_network(const Json& network);
  Status apply_rdma(const Json& rdma);
  Status apply_unified(const Json& files);
  Status apply_devices(const Json& rules);
  /** Writes a limit, or compares it while `altered` looks. `set` says in its failure what it was. */
  Status put(const std::string& directory, const std::string& file, const std::string& value);
  Status set(const std::string& directory, const std::string& file, const std::string& value);
  Status compare(const std::string& directory, const std::string& file, const std::string& wanted);
  void mirror(const Place& place, const std::string& file, const std::string& value);
  /** Also to the leaf, so that programs which read their own cgroup find their limit. */
  Status set_and_mirror(const Place& place, const std::string& file, const std::string& value);
  void warn_unsupported(const std::string& what);

  std::string path_;
  std::vector<Place> places_;
  std::vector<std::string> warnings_;
  mutable bool killed_ = false;  // by cgroup.kill, now or perhaps earlier
  bool nested_ = false;          // a group: what is above it is not its own
  std::vector<AlteredLimit>* comparing_ = nullptr;
  std::string not_enabled_;  // why a controller of the unified hierarchy could not be enabled
};

/** Is `actual`, as the kernel shows a limit file, what writing `wanted` to it gives? */
bool limit_holds(const std::string& file, const std::string& wanted, const std::string& actual);

/** For tests: the weights of the unified hierarchy that belong to v1's. */
uint64_t cpu_weight_of_shares(uint64_t shares);
uint64_t io_weight_of_blkio(uint64_t weight);

}  // namespace stack
