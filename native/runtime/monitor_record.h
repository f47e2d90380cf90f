#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fd.h"
#include "json.h"
#include "monitor_spec.h"
#include "result.h"

namespace stack {

/**
 * `state.json`: ContainerState in src/runtime/formats.ts.
 *
 *     created ──start──▶ running ⇄ paused
 *                          │  └────exit, restart due──▶ restarting ──▶ running
 *                          └──exit for good──▶ exited
 */
struct ContainerRecord {
  enum class Phase : uint8_t { created, running, paused, restarting, exited };
  std::string id;
  Phase phase = Phase::created;
  std::string boot;  // as read; written is always the present one
  pid_t monitor_pid = 0;
  pid_t pid = 0;
  uint64_t pid_start = 0;
  std::string started_at, finished_at;
  int exit_code = 0;
  int signal = 0;
  bool oom_killed = false;
  std::string ended_by;
  std::string reason;  // why whoever ended it did so: "unhealthy: …"
  std::optional<Failure> error;
  int64_t failures = 0;
  int64_t restarts = 0;
  std::string next_restart_at;
  bool stop_requested = false;
  std::vector<BoundPort> ports;
  std::string netns;
  /** What init last told of its processes and daemons; null where it supervises none. */
  Json supervision;

  /** It names a process that may not have executed anything yet, and never will if the monitor that
   * wrote this is gone. */
  bool starting() const { return pid > 0 && (phase == Phase::created || phase == Phase::restarting); }
};

Json to_json(const ContainerRecord& record);
ContainerRecord container_record(const Json& json);
/** /proc/sys/kernel/random/boot_id. */
std::string boot_id();

/** Replaces `state.json` by rename. */
Status write_record(int directory, const ContainerRecord& record);
/** Replaces `crash.json`: how a run failed, as `record` says, and the end of its output. */
Status write_crash(int directory, const ContainerRecord& record, const std::string& output);
/** ENOENT: there is none. */
Result<ContainerRecord> read_record(const std::string& directory);

/** `events.log`: appended to by the monitor and by init, a line each in one write. */
class EventRecorder {
 public:
  static Result<EventRecorder> open(int directory);
  /** `fields`: an object; `v`, `t` and `type` come before them. A failure to write is not the
   * container's. */
  void add(std::string_view type, const Json& fields = Json::object()) const;
  int fd() const { return fd_.get(); }
  /** Where the next record will begin. */
  off_t end() const;
  struct InitExit {
    int code = 0, signal = 0;
    /** It ended the container to have it started again (on_orphan_exit). */
    bool restart = false;
  };
  struct RunNews {
    bool started = false;
    std::optional<InitExit> exit;  // as init wrote it
  };
  /** What was recorded of this run at or after `from`, since a monitor began anew. */
  RunNews news_of(int64_t run, off_t from) const;

 private:
  explicit EventRecorder(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace stack
