#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json.h"
#include "supervision.h"

namespace stack {

/**
 * What is to become of the supervised processes: decides, and does nothing. Whoever carries out its
 * steps tells it what happened, with the time (milliseconds of the monotonic clock).
 *
 *     waiting ──dependencies hold──▶ starting ──ready──▶ running
 *        ▲ │                            │                   │
 *        │ └─can never hold─▶ fatal     └───────┬───end─────┘
 *        │                      ▲               ▼
 *     by hand                   └─gives up── (restart?) ──yes──▶ backoff ──due──▶ starting
 *        │                                      └──no──▶ exited
 *     stopped ◀──end── stopping ◀──stop: by hand, of the container, or not ready in time
 *
 * The container ends when an essential process has ended for good, or when nothing runs and nothing
 * will: then what is left is stopped in the reverse order of dependence.
 */
enum class ProcessPhase : uint8_t {
  waiting,
  starting,
  running,
  backoff,
  stopping,
  stopped,
  exited,
  fatal
};

struct ProcessStatus {
  ProcessPhase phase = ProcessPhase::waiting;
  pid_t pid = 0;  // as init sees it
  int code = -1;  // of the last end; -1: it has not ended yet
  int signal = 0;
  int64_t restarts = 0;
  int64_t failures = 0;  // in a row
  bool executed = false;  // in this life of the container
  bool ready = false;     // now
  std::string reason;     // why it waits, was given up, or ended early
  // Wall clock, for people; set by who carries the steps out.
  std::string started_at, ended_at, next_restart_at;

  int64_t executed_ms = 0;
  int64_t due_ms = 0;    // backoff
  int64_t kill_ms = -1;  // stopping: when its grace is over
  enum class Then : uint8_t { policy, stop, restart, fail } then = Then::policy;
  int start_failure = 0;  // exit code that belongs to it
};

struct ProcessStep {
  enum class Kind : uint8_t { start, signal, kill };
  Kind kind;
  size_t process;
  int signal = 0;
};

class ProcessBoard {
 public:
  explicit ProcessBoard(const SupervisionSpec& spec)
      : spec_(spec), status_(spec.processes.size()) {}

  /** What is to be done now; taken as done. */
  std::vector<ProcessStep> steps(int64_t now);
  /** When steps() may have something new without news; -1: never. */
  int64_t next_due() const;

  // News.
  void spawned(size_t process, pid_t pid);
  /** `reason` and the exit code that belongs to it; the end itself comes by ended(). */
  void start_failed(size_t process, int code, std::string reason);
  void executed(size_t process, int64_t now);
  void ready(size_t process);
  void not_ready_in_time(size_t process, std::string reason, int64_t now);
  /** `random` in [0, 1). */
  void ended(size_t process, int code, int signal, int64_t now, double random);

  // By hand. False: nothing to do (it is so already).
  bool start(size_t process, int64_t now);
  bool stop(size_t process, int64_t now, int64_t grace_ms = -2);  // -2: its own
  bool restart(size_t process, int64_t now, int64_t grace_ms = -2);
  /** A signal by hand that is meant to end it: the policy does not undo that. */
  void mark_stopped_by_hand(size_t process);

  /** The container is to end. `code`: its exit code; none: that of its main or first essential process. */
  void stop_all(std::optional<int> code = {}, int signal = 0);
  bool stopping() const { return stopping_; }
  struct End {
    int code = 0;
    int signal = 0;
  };
  /** How the container ends, once nothing of it runs any more and nothing will. */
  std::optional<End> finished() const;

  std::vector<ProcessStatus>& status() { return status_; }
  const std::vector<ProcessStatus>& status() const { return status_; }
  const SupervisionSpec& spec() const { return spec_; }

 private:
  enum class Holds : uint8_t { yes, not_yet, never };
  Holds holds(const ProcessDependency& on) const;
  bool start_what_may(int64_t now, std::vector<ProcessStep>& out);
  bool stop_what_may(int64_t now, std::vector<ProcessStep>& out);
  void begin_stop(size_t process, int64_t now, int64_t grace_ms, std::vector<ProcessStep>* out);
  bool needed(size_t process) const;
  bool alive(size_t process) const { return status_[process].pid > 0; }
  void gave_up(size_t process, bool failed);
  int64_t grace(size_t process, int64_t wanted) const;

  const SupervisionSpec& spec_;
  std::vector<ProcessStatus> status_;
  std::vector<ProcessStep> by_hand_;
  bool stopping_ = false;
  std::optional<End> end_;
};

std::string_view phase_name(ProcessPhase phase);
/** One of ContainerState.supervision.processes in src/runtime/formats.ts. */
Json to_json(const ProcessSpec& spec, const ProcessStatus& status);

}  // namespace stack
