// Stopping in order: signal, grace, kill; and not waiting where waiting is in vain.
#include <dirent.h>
#include <signal.h>
#include <stdio.h>

#include "control.h"
#include "fs.h"
#include "monitor.h"
#include "signal_masks.h"

namespace stack {

namespace {

// A program that has just been executed installs its handlers a moment later.
constexpr int64_t kYoungMs = 1500;
constexpr int64_t kMaskCheckMs = 10;

}  // namespace

void Monitor::stop(int signal, int64_t grace_ms, const EndCause& cause, StopDone done) {
  record_.stop_requested = true;
  if (run_.pid == 0) {
    if (restart_timer_ == 0) {  // it is just ending
      done({});
      return;
    }
    loop_.cancel(std::exchange(restart_timer_, 0));
    events_.add("stop-requested", Json::object().set("signal", signal).set("graceMs", grace_ms));
    record_.ended_by = cause.by;
    record_.reason = cause.reason;
    stopping_.emplace();
    stopping_->done.push_back(std::move(done));
    end_for_good();
    return;
  }
  bool first = !stopping_;
  if (first) stopping_.emplace();
  stopping_->done.push_back(std::move(done));
  stopping_->signal = signal;
  int64_t deadline = grace_ms < 0 ? -1 : monotonic_ms() + grace_ms;
  // A second, more impatient stop shortens the grace; it never makes it longer.
  if (first || (deadline >= 0 && (stopping_->deadline_ms < 0 || deadline < stopping_->deadline_ms)))
    stopping_->deadline_ms = deadline;
  record_.ended_by = cause.by;
  record_.reason = cause.reason;
  events_.add("stop-requested", Json::object().set("signal", signal).set("graceMs", grace_ms));
  waiting_.reset();  // not executed yet: without its start it ends by itself
  loop_.cancel(std::exchange(waiting_timer_, 0));
  send_stop_signal();
}

void Monitor::send_stop_signal() {
  Stopping& stopping = *stopping_;
  if (stopping.signal == SIGKILL) {
    kill_container();
    return;
  }
  // A supervising init stops its processes in order, each by its own signal.
  (void)signal_main(processes_ ? SIGTERM : stopping.signal);
  if (record_.phase == ContainerRecord::Phase::paused) (void)unpause();
  // Behind our init the main process has the default action, so that the signal ends it unless it
  // says otherwise.
  stopping.seen = spec_.init || foreign_ || signal_is_seen(run_.pid, stopping.signal);
  stopping.watch_until_ms = run_.started_ms + kYoungMs;
  watch_masks();
}

// Until the deadline; every few milliseconds while PID 1 could not see the signal but may soon.
void Monitor::watch_masks() {
  if (!stopping_ || run_.pid == 0) return;
  Stopping& stopping = *stopping_;
  int64_t now = monotonic_ms();
  loop_.cancel(std::exchange(stopping.timer, 0));
  if (stopping.deadline_ms >= 0 && now >= stopping.deadline_ms) {
    kill_container();
    return;
  }
  if (!stopping.seen) {
    if (signal_is_seen(run_.pid, stopping.signal)) {
      stopping.seen = true;
      (void)signal_main(stopping.signal);
    } else if (now >= stopping.watch_until_ms) {
      stopping.outcome.ignored = true;
      events_.add("signal-ignored", Json::object().set("signal", stopping.signal));
      kill_container();
      return;
    } else {
      stopping.timer = loop_.after(kMaskCheckMs, [this] { watch_masks(); });
      return;
    }
  }
  if (stopping.deadline_ms >= 0)
    stopping.timer = loop_.after(stopping.deadline_ms - now, [this] { watch_masks(); });
}

void Monitor::kill_container() {
  if (run_.pid == 0) return;
  if (!stopping_->outcome.killed) {
    stopping_->outcome.killed = true;
    events_.add("killed");
  }
  if (cgroup_.valid())
    (void)cgroup_.kill_all();
  else
    (void)signal_main(SIGKILL);
}

void Monitor::finish_stop() {
  loop_.cancel(stopping_->timer);
  auto done = std::move(stopping_->done);
  StopOutcome outcome = stopping_->outcome;
  stopping_.reset();
  for (auto& task : done) task(outcome);
}

void Monitor::restart(int64_t grace_ms, const EndCause& cause,
                      std::function<void(const Status&)> done) {
  // What a command stops is not to come back because a probe has failed meanwhile.
  if (cause.by == "health" && stopping_ && !restart_done_) {
    done(fail("restart", "the container is being stopped", ECANCELED));
    return;
  }
  if (restart_done_)
    done = [earlier = std::move(restart_done_), later = std::move(done)](const Status& status) {
      earlier(status);
      later(status);
    };
  restart_done_ = std::move(done);
  if (run_.pid == 0) {
    if (restart_timer_ == 0) {
      auto failed = std::move(restart_done_);
      restart_done_ = nullptr;
      failed(fail("restart", "the container has ended", ESRCH));
      return;
    }
    loop_.cancel(std::exchange(restart_timer_, 0));
    record_.failures = 0;
    restart_now();
    return;
  }
  stop(spec_.stop.signal, grace_ms, cause, [](const StopOutcome&) {});
}

}  // namespace stack
