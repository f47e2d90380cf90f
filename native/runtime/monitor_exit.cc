// From the end of PID 1 to the next run, or to the end of the monitor.
#include <stdlib.h>
#include <sys/random.h>

#include "agent_keeper.h"
#include "clock_text.h"
#include "control.h"
#include "foreign_runtime.h"
#include "monitor.h"
#include "process_link.h"

namespace stack {

using Phase = ContainerRecord::Phase;

namespace {

constexpr int64_t kSettleCheckMs = 2;

double random_fraction() {
  uint32_t value = 0;
  if (::getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value) return 0.5;
  return value / 4294967296.0;
}

}  // namespace

void Monitor::main_ended(ProcessEnd end) {
  // Our init exits with 128+n; what really happened to the main process is in its record.
  if (spec_.init && end.signal == 0) {
    if (auto told = events_.news_of(record_.restarts, run_.events_from).exit) {
      end = {told->code, told->signal};
      run_.restart_wanted = told->restart;
    }
  }
  settle(end);
}

// With a pid namespace of its own the container is empty now: the kernel has killed and reaped all
// in it before PID 1 could be waited for (pid_namespaces(7)). With a shared one its processes are in
// the cgroup.
void Monitor::settle(ProcessEnd end) {
  if (!run_.own_pids) {
    auto left = cgroup_.processes();
    if (left && !left->empty()) {
      (void)cgroup_.kill_all();
      settle_timer_ = loop_.after(kSettleCheckMs, [this, end] { settle(end); });
      return;
    }
  }
  record_end(end);
  decide();
}

void Monitor::record_end(ProcessEnd end) {
  stdio_->drain();
  if (processes_) processes_->run_ended();
  if (foreign_) foreign_->remove();
  bool oom = cgroup_.oom_kills() > run_.oom_before;
  if (oom && !oom_seen_) events_.add("oom");
  oom_seen_ = oom;
  record_.exit_code = end.code;
  record_.signal = end.signal;
  record_.oom_killed = oom && end.code != 0;
  record_.finished_at = time_now();
  if (record_.error) note_start_failure(*record_.error);
  record_.pid = 0;
  record_.pid_start = 0;
  Json event = Json::object();
  event.set("code", record_.exit_code)
      .set("signal", record_.signal)
      .set("oomKilled", record_.oom_killed);
  event.set("by", "monitor").set("run", record_.restarts);
  events_.add("exit", event);
  keep_crash();
  if (record_.phase == Phase::paused) (void)cgroup_.thaw();
}

// What a command ended is no crash, whatever its exit code.
void Monitor::keep_crash() {
  bool by_hand = record_.ended_by == "stop" || record_.ended_by == "kill";
  if (by_hand || (record_.exit_code == 0 && record_.ended_by != "health")) return;
  bool ran = stdio_ && record_.ended_by != "start-failure";
  (void)write_crash(directory_fd_.get(), record_, ran ? stdio_->tail() : std::string());
}

void Monitor::decide() {
  int64_t up = run_.started_ms == 0 ? 0 : monotonic_ms() - run_.started_ms;
  RestartSpec policy = spec_.restart;
  if (run_.restart_wanted) policy.policy = RestartPolicy::always;
  run_ = Run{};
  if (restart_done_) {
    record_.stop_requested = false;
    record_.failures = 0;
    if (stopping_) finish_stop();
    restart_now();
    return;
  }
  RunEnd end{record_.exit_code, record_.stop_requested, up, record_.failures, random_fraction()};
  bool never_ran =
      record_.error && record_.restarts == 0;  // a failed first start is not tried again
  RestartDecision decision = never_ran ? RestartDecision{} : next_restart(policy, end);
  record_.failures = decision.failures;
  if (!decision.restart) {
    end_for_good();
    return;
  }
  if (stopping_) finish_stop();
  schedule(decision.delay_ms);
}

void Monitor::schedule(int64_t delay_ms) {
  if (delay_ms <= 0) {
    restart_now();
    return;
  }
  record_.phase = Phase::restarting;
  record_.next_restart_at = time_after(delay_ms);
  events_.add("restart-scheduled",
              Json::object().set("at", record_.next_restart_at).set("failures", record_.failures));
  restart_timer_ = loop_.after(delay_ms, [this] {
    restart_timer_ = 0;
    restart_now();
  });
  (void)announce();
}

void Monitor::restart_now() {
  record_.restarts++;
  Status started = launch_run();
  auto done = std::move(restart_done_);
  restart_done_ = nullptr;
  if (started) {
    (void)announce();
    if (done) done(ok());
    return;
  }
  record_start_failure(started.failure());
  if (done) done(std::move(started));
  run_ = Run{};
  decide();
}

void Monitor::end_for_good() {
  record_.phase = Phase::exited;
  record_.next_restart_at.clear();
  release();
  (void)announce();  // gates open by this
  // An overlay's upper directory has one mount at a time, and to let go of it takes ten milliseconds:
  // who starts the container again waits for the lock, and nobody else for this.
  root_.reset();
  lock_.reset();  // whoever reads the answers below may start the container again at once
  if (stopping_) finish_stop();
  ended_ = true;
  for (auto& task : std::exchange(ended_tasks_, {})) task();
  control_->finish();
  release_network();
  loop_.stop();
}

void Monitor::when_ended(std::function<void()> task) {
  if (ended_)
    task();
  else
    ended_tasks_.push_back(std::move(task));
}

// What the next owner of the ports or the cgroup needs to be free; the container's own layer follows.
void Monitor::release() {
  ports_.reset();
  if (network_) network_->unpublish();
  record_.ports.clear();
  record_.netns.clear();
  record_.pid = 0;
  record_.pid_start = 0;
  if (cgroup_.valid()) {
    if (!cgroup_.remove().ok()) {
      (void)cgroup_.kill_all();
      (void)cgroup_.wait_empty(1000);
      note_failed("the container's cgroup stays", cgroup_.remove());
    }
  }
  drop_cgroup();
}

// It is gone: the next run makes one.
void Monitor::drop_cgroup() {
  if (oom_) loop_.remove(oom_.fd.get());
  oom_ = {};
  cgroup_ = Cgroup();
}

// What takes its time and nobody waits for: links go after a grace period of RCU.
void Monitor::release_network() {
  if (network_) note_failed("the container's links stay", network_->close());
  network_.reset();
}

}  // namespace stack
