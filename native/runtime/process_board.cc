#include "process_board.h"

#include <algorithm>
#include <utility>

namespace stack {

using Phase = ProcessPhase;
using Then = ProcessStatus::Then;

std::string_view phase_name(ProcessPhase phase) {
  constexpr std::string_view kNames[] = {"waiting",  "starting", "running", "backoff",
                                         "stopping", "stopped",  "exited",  "fatal"};
  return kNames[static_cast<size_t>(phase)];
}

Json to_json(const ProcessSpec& spec, const ProcessStatus& status) {
  Json json = Json::object();
  json.set("name", spec.name).set("status", phase_name(status.phase));
  json.set("pid", status.pid).set("ready", status.ready);
  json.set("essential", spec.essential).set("oneshot", spec.oneshot);
  json.set("exitCode", status.code).set("signal", status.signal);
  json.set("restarts", status.restarts).set("failures", status.failures);
  json.set("startedAt", status.started_at).set("endedAt", status.ended_at);
  json.set("nextRestartAt", status.next_restart_at).set("reason", status.reason);
  return json;
}

ProcessBoard::Holds ProcessBoard::holds(const ProcessDependency& on) const {
  const ProcessStatus& other = status_[on.process];
  bool ended = other.phase == Phase::exited;
  if (other.phase == Phase::fatal &&
      (on.condition != DependencyCondition::started || !other.executed))
    return Holds::never;
  switch (on.condition) {
    case DependencyCondition::started:
      return other.executed ? Holds::yes : Holds::not_yet;
    case DependencyCondition::ready:
      if (other.ready) return Holds::yes;
      return ended ? Holds::never : Holds::not_yet;
    case DependencyCondition::completed:
      if (!ended) return Holds::not_yet;
      return other.code == 0 || other.ready ? Holds::yes : Holds::never;
  }
  return Holds::not_yet;
}

bool ProcessBoard::start_what_may(int64_t now, std::vector<ProcessStep>& out) {
  bool changed = false;
  for (size_t i = 0; i < status_.size(); ++i) {
    ProcessStatus& process = status_[i];
    if (process.phase == Phase::backoff && process.due_ms > now) continue;
    if (process.phase == Phase::waiting) {
      bool all = true;
      for (const ProcessDependency& on : spec_.processes[i].depends_on) {
        Holds now_holds = holds(on);
        if (now_holds == Holds::yes) continue;
        all = false;
        const std::string& name = spec_.processes[on.process].name;
        process.reason = "waits for " + name;
        if (now_holds != Holds::never) continue;
        process.reason = name + ", on which it depends, " +
                         (status_[on.process].phase == Phase::fatal ? "has failed" : "has ended");
        process.code = status_[on.process].code;
        gave_up(i, true);
        changed = true;
        break;
      }
      if (!all) continue;
    } else if (process.phase != Phase::backoff) {
      continue;
    }
    if (process.executed) process.restarts++;
    process.phase = Phase::starting;
    process.then = Then::policy;
    process.reason.clear();
    process.start_failure = 0;
    process.next_restart_at.clear();
    out.push_back({ProcessStep::Kind::start, i});
    changed = true;
  }
  return changed;
}

// Somebody who depends on it still lives.
bool ProcessBoard::needed(size_t process) const {
  for (size_t i = 0; i < status_.size(); ++i)
    if (alive(i) && std::ranges::any_of(spec_.processes[i].depends_on,
                                        [&](const auto& on) { return on.process == process; }))
      return true;
  return false;
}

int64_t ProcessBoard::grace(size_t process, int64_t wanted) const {
  return wanted == -2 ? spec_.processes[process].grace_ms : wanted;
}

void ProcessBoard::begin_stop(size_t process, int64_t now, int64_t grace_ms,
                              std::vector<ProcessStep>* out) {
  ProcessStatus& status = status_[process];
  status.phase = Phase::stopping;
  status.ready = false;
  status.kill_ms = grace_ms < 0 ? -1 : now + grace_ms;
  ProcessStep step{ProcessStep::Kind::signal, process, spec_.processes[process].stop_signal};
  (out != nullptr ? *out : by_hand_).push_back(step);
}

bool ProcessBoard::stop_what_may(int64_t now, std::vector<ProcessStep>& out) {
  bool changed = false;
  for (size_t i = 0; i < status_.size(); ++i) {
    ProcessStatus& process = status_[i];
    if (!alive(i)) {
      if (process.phase == Phase::waiting || process.phase == Phase::backoff) {
        process.phase = Phase::stopped;
        process.next_restart_at.clear();
        changed = true;
      }
      continue;
    }
    if (process.phase == Phase::stopping || needed(i)) continue;
    begin_stop(i, now, spec_.processes[i].grace_ms, &out);
    changed = true;
  }
  return changed;
}

std::vector<ProcessStep> ProcessBoard::steps(int64_t now) {
  std::vector<ProcessStep> out = std::exchange(by_hand_, {});
  while (stopping_ ? stop_what_may(now, out) : start_what_may(now, out)) {
  }
  for (size_t i = 0; i < status_.size(); ++i) {
    ProcessStatus& process = status_[i];
    if (process.phase != Phase::stopping || process.kill_ms < 0 || process.kill_ms > now) continue;
    process.kill_ms = -1;
    out.push_back({ProcessStep::Kind::kill, i});
  }
  return out;
}

int64_t ProcessBoard::next_due() const {
  int64_t next = -1;
  auto consider = [&](int64_t at) {
    if (at >= 0 && (next < 0 || at < next)) next = at;
  };
  for (const ProcessStatus& process : status_) {
    if (process.phase == Phase::backoff) consider(process.due_ms);
    if (process.phase == Phase::stopping) consider(process.kill_ms);
  }
  return next;
}

void ProcessBoard::spawned(size_t process, pid_t pid) { status_[process].pid = pid; }

void ProcessBoard::start_failed(size_t process, int code, std::string reason) {
  status_[process].start_failure = code;
  status_[process].reason = std::move(reason);
}

void ProcessBoard::executed(size_t process, int64_t now) {
  ProcessStatus& status = status_[process];
  status.executed = true;
  status.executed_ms = now;
  if (status.phase == Phase::starting && spec_.processes[process].ready.empty()) ready(process);
}

void ProcessBoard::ready(size_t process) {
  ProcessStatus& status = status_[process];
  status.ready = true;
  if (status.phase == Phase::starting) status.phase = Phase::running;
}

void ProcessBoard::not_ready_in_time(size_t process, std::string reason, int64_t now) {
  ProcessStatus& status = status_[process];
  if (!alive(process) || status.phase != Phase::starting) return;
  status.then = Then::fail;
  status.reason = std::move(reason);
  begin_stop(process, now, grace(process, -2), nullptr);
}

// It will not run again. `failed`: that is not what was wanted of it.
void ProcessBoard::gave_up(size_t process, bool failed) {
  ProcessStatus& status = status_[process];
  status.phase = failed ? Phase::fatal : Phase::exited;
  if (!spec_.processes[process].essential || stopping_) return;
  if (!failed && spec_.processes[process].oneshot) return;  // it has done what it was for
  stop_all(failed && status.code == 0 ? 1 : status.code, status.signal);
}

void ProcessBoard::ended(size_t process, int code, int signal, int64_t now, double random) {
  ProcessStatus& status = status_[process];
  const ProcessSpec& spec = spec_.processes[process];
  status.pid = 0;
  status.kill_ms = -1;
  if (status.start_failure != 0) code = status.start_failure;
  Then then = std::exchange(status.then, Then::policy);
  if (then == Then::fail && code == 0) code = 1;
  status.code = code;
  status.signal = signal;
  status.ready = false;
  for (const ReadyProbe& probe : spec.ready)
    if (probe.kind == ReadyProbe::Kind::exit && probe.code == code && status.start_failure == 0)
      status.ready = true;
  if (stopping_) {
    status.phase = Phase::stopped;
    return;
  }
  if (then == Then::stop || then == Then::restart) {
    status.failures = 0;
    status.phase = then == Then::stop ? Phase::stopped : Phase::backoff;
    status.due_ms = now;
    return;
  }
  // What is not there now will not be there in a moment.
  bool hopeless = (status.start_failure == 127 || status.start_failure == 126) && !status.executed;
  if (spec.oneshot && status.ready) code = 0;
  int64_t up = status.start_failure != 0 ? 0 : now - status.executed_ms;
  RestartDecision decision =
      next_restart(spec.restart, {code, false, up, status.failures, random});
  status.failures = decision.failures;
  if (decision.restart && !hopeless) {
    status.phase = Phase::backoff;
    status.due_ms = now + decision.delay_ms;
    return;
  }
  bool failed = hopeless || status.start_failure != 0 ||
                (code != 0 && (spec.oneshot || spec.restart.policy == RestartPolicy::on_failure));
  gave_up(process, failed);
}

bool ProcessBoard::start(size_t process, int64_t now) {
  ProcessStatus& status = status_[process];
  if (stopping_ || alive(process)) {
    // Stopping by hand, and wanted again.
    if (!stopping_ && status.phase == Phase::stopping && status.then == Then::stop)
      status.then = Then::restart;
    return false;
  }
  if (status.phase == Phase::starting) return false;
  status.failures = 0;
  status.code = -1;
  status.phase = Phase::backoff;  // by hand: whatever it depends on
  status.due_ms = now;
  return true;
}

bool ProcessBoard::stop(size_t process, int64_t now, int64_t grace_ms) {
  ProcessStatus& status = status_[process];
  if (!alive(process)) {
    bool was = status.phase == Phase::waiting || status.phase == Phase::backoff;
    if (was) status.phase = Phase::stopped;
    status.next_restart_at.clear();
    return was;
  }
  int64_t allowed = grace(process, grace_ms);
  status.then = Then::stop;
  if (status.phase != Phase::stopping) {
    begin_stop(process, now, allowed, nullptr);
  } else if (allowed >= 0 && (status.kill_ms < 0 || now + allowed < status.kill_ms)) {
    status.kill_ms = now + allowed;
  }
  return true;
}

bool ProcessBoard::restart(size_t process, int64_t now, int64_t grace_ms) {
  if (stopping_) return false;
  if (!alive(process)) return start(process, now);
  stop(process, now, grace_ms);
  status_[process].then = Then::restart;
  return true;
}

void ProcessBoard::mark_stopped_by_hand(size_t process) {
  if (alive(process)) status_[process].then = Then::stop;
}

void ProcessBoard::stop_all(std::optional<int> code, int signal) {
  if (code && !end_) end_ = End{*code, signal};
  stopping_ = true;
}

std::optional<ProcessBoard::End> ProcessBoard::finished() const {
  int failed_code = 0, failed_signal = 0;
  for (const ProcessStatus& process : status_) {
    if (process.pid > 0 || process.phase == Phase::starting) return std::nullopt;
    if (!stopping_ && (process.phase == Phase::waiting || process.phase == Phase::backoff ||
                       process.phase == Phase::stopped))
      return std::nullopt;
    if (process.phase == Phase::fatal && failed_code == 0) {
      failed_code = process.code > 0 ? process.code : 1;
      failed_signal = process.signal;
    }
  }
  if (end_) return end_;
  if (!stopping_) return End{failed_code, failed_signal};
  for (bool main : {true, false})
    for (size_t i = 0; i < status_.size(); ++i) {
      const ProcessSpec& spec = spec_.processes[i];
      if ((main ? spec.main : spec.essential && !spec.oneshot) && status_[i].code >= 0)
        return End{status_[i].code, status_[i].signal};
    }
  return End{};
}

}  // namespace stack
