#pragma once

#include <sys/resource.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cgroup.h"
#include "container.h"
#include "container_network.h"
#include "fd.h"
#include "loop.h"
#include "monitor_record.h"
#include "monitor_spec.h"
#include "relay.h"
#include "result.h"
#include "root_mount.h"
#include "seccomp.h"
#include "standard_streams.h"

namespace stack {

class AgentKeeper;
class ControlServer;
class ForeignRuntime;
class ProcessLink;

/** How one process ended: exit status, or 128+n and the signal; -1 when the kernel did not tell. */
struct ProcessEnd {
  int code = 0;
  int signal = 0;
};

/** Who ends a run, and why in words if that is not obvious. */
struct EndCause {
  std::string by = "stop";  // or "health"
  std::string reason;
};

/** What `stop` found out. */
struct StopOutcome {
  bool ignored = false;  // PID 1 could not have seen the signal
  bool killed = false;   // SIGKILL was needed
};

/**
 * The parent of one container, for as long as that has not ended for good: its network, root,
 * output, restarts, records, and the socket on which it is asked for all else (native/PROTOCOL.md).
 *
 *     start ──▶ running ──exit──▶ settle ──restart due──▶ waiting ──▶ running
 *                 ▲ │ pause          │ for good
 *                 └─┘                ▼
 *                                  ended
 *
 * `settle`: PID 1 has gone; what is left in the cgroup is killed and waited for before anything is
 * recorded.
 */
class Monitor {
 public:
  /** Opens the directory, takes `lock` (EWOULDBLOCK: another monitor lives), reads the task. */
  static Result<std::unique_ptr<Monitor>> open(const std::string& directory);
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  /** The first start. What it had made is given back if it fails, and the failure is in state.json.
   */
  Status start();
  /** Goes on with a container whose monitor was killed. */
  Status adopt();
  /** Until the container has ended for good. */
  Status run();

  // What the socket offers; see PROTOCOL.md.
  const ContainerRecord& record() const { return record_; }
  const MonitorSpec& spec() const { return spec_; }
  const std::string& directory() const { return directory_; }
  EventLoop& loop() { return loop_; }
  Stdio& stdio() { return *stdio_; }
  const ContainerNetwork& network() const { return *network_; }
  /** The host's tables were emptied: DNAT again what is published. Idempotent. */
  Status publish_again() const { return network_ ? network_->publish_again() : ok(); }
  const Cgroup& cgroup() const { return cgroup_; }
  const EventRecorder& events() const { return events_; }
  /** Null: our own runtime. */
  ForeignRuntime* foreign() const { return foreign_.get(); }

  /** Somebody has attached: a process that waited for that (MonitorSpec.startOnAttach) is executed
   * now. */
  void attached();
  /** What was asked for and could not be had at the last start, one sentence each. */
  const std::vector<std::string>& warnings() const { return warnings_; }
  bool running() const { return run_.pid > 0; }
  using StopDone = std::function<void(const StopOutcome&)>;
  /** `done` is called when the run has ended and is recorded; at once if nothing runs. */
  void stop(int signal, int64_t grace_ms, const EndCause& cause, StopDone done);
  /** Stops, and starts again. `done`: the failure of the new start, if it fails. */
  void restart(int64_t grace_ms, const EndCause& cause, std::function<void(const Status&)> done);
  Status kill(int signal, bool all);
  Status pause();
  Status unpause();
  Status update(const Json& request);
  /** Limits that somebody else has changed; with `restore` they are set again as config.json has them. */
  Result<std::vector<Cgroup::AlteredLimit>> altered_limits(bool restore);
  /** Null: the container has no supervised processes. */
  ProcessLink* processes() const { return processes_.get(); }

  /** A child that is not the container itself (exec, agent, foreign runtime): `ended` is told once.
   */
  void expect_child(pid_t pid, std::function<void(ProcessEnd)> ended);
  /** The task of the moment when the container has ended for good. */
  void when_ended(std::function<void()> task);
  /** The configuration as it is to be run: namespaces of others, limits and terminal filled in. */
  Result<OciConfig> load_config() const;
  std::string seccomp_cache() const;
  /** What an exec needs of it, with the filter compiled. `keep`: there will be more of them (probes):
   * reading the configuration costs more than the kernel's part of it. */
  struct ExecConfig {
    OciConfig config;  // without the filter's source
    SeccompProgram seccomp;
  };
  Result<std::shared_ptr<const ExecConfig>> exec_config(bool keep);
  /** A subscriber with the role of the agent; the last such one without a goodbye. */
  void agent_came();
  void agent_went();
  /** What this process was started with, and gives on to the container where its configuration says
   * nothing. */
  struct Inherited {
    int oom_score = 0;
    rlimit descriptors{};
  };
  void set_inherited(const Inherited& original) { original_ = original; }

 private:
  struct Run {
    pid_t pid = 0;
    UniqueFd pidfd;
    uint64_t start_time = 0;
    int64_t started_ms = 0;
    off_t events_from = 0;
    bool adopted = false;
    uint64_t oom_before = 0;
    bool own_pids = false;  // its end is the end of all in its pid namespace
    bool restart_wanted = false;  // by init, whatever the policy
  };
  struct Stopping {
    int signal = 0;
    int64_t deadline_ms = -1;  // -1: none
    int64_t watch_until_ms = 0;
    bool seen = false;  // PID 1 could see the signal when it was sent
    StopOutcome outcome;
    std::vector<StopDone> done;
    EventLoop::TimerId timer = 0;
  };

  Monitor(std::string directory, UniqueFd directory_fd, EventLoop loop, EventRecorder events);
  Status read_task();
  Status take_lock();
  Status open_signals();
  void reap();
  void reap_one(pid_t pid, ProcessEnd end);

  // monitor_start.cc
  Status prepare();
  Status prepare_ports();
  Status populate_volumes();
  Status launch_run();
  Result<Launched> launch_own(const OciConfig& config);
  Status record_process(pid_t pid);
  /** It executes what it was asked to: so it is said from now on. */
  void begin_run();
  Result<Launched> launch_foreign();
  void note_warnings(const Launched& launched);
  void hold_start(Launched launched);
  void release_start();
  Status watch_oom();
  /** Ends a run of which nobody was told. */
  void undo_run();
  void record_start_failure(const Failure& failure);
  void note_start_failure(const Failure& failure);
  /** Writes state.json and tells subscribers. */
  Status announce();
  /** What cannot be written is tried again at once, and said in events.log. */
  Status write_state();

  // monitor_exit.cc
  void main_ended(ProcessEnd end);
  void settle(ProcessEnd end);
  void record_end(ProcessEnd end);
  void keep_crash();
  void decide();
  void schedule(int64_t delay_ms);
  void restart_now();
  void end_for_good();
  void release();
  void drop_cgroup();
  void release_network();
  void note_failed(std::string_view what, const Status& status);

  // monitor_stop.cc
  Status signal_main(int signal);
  void send_stop_signal();
  void watch_masks();
  void kill_container();
  void finish_stop();

  // monitor_adopt.cc
  std::vector<PortSpec> last_ports() const;
  Status adopt_living();
  void begin_adopted_run();
  Status adopt_ended();
  void adopted_ended(uint32_t events);
  ProcessEnd adopted_end();

  std::string directory_;
  UniqueFd directory_fd_;
  UniqueFd lock_;
  UniqueFd signals_;
  EventLoop loop_;
  EventRecorder events_;
  MonitorSpec spec_;
  ContainerRecord record_;
  Cgroup cgroup_;
  std::unique_ptr<Stdio> stdio_;
  std::optional<ContainerNetwork> network_;
  std::unique_ptr<PortRelay> ports_;
  std::optional<RootMount> root_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<AgentKeeper> agent_;
  std::unique_ptr<ForeignRuntime> foreign_;
  std::unique_ptr<ProcessLink> processes_;
  OomNews oom_;
  bool oom_seen_ = false;
  bool ended_ = false;
  Run run_;
  std::optional<Stopping> stopping_;
  std::optional<Launched> waiting_;  // for somebody to attach
  EventLoop::TimerId waiting_timer_ = 0;
  std::function<void(const Status&)> restart_done_;
  EventLoop::TimerId restart_timer_ = 0;
  EventLoop::TimerId settle_timer_ = 0;
  std::map<pid_t, std::function<void(ProcessEnd)>> children_;
  std::vector<std::function<void()>> ended_tasks_;
  Inherited original_;
  std::vector<std::string> warnings_;
  std::shared_ptr<const ExecConfig> exec_config_;
};

}  // namespace stack
