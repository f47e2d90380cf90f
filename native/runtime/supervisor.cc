#include "supervisor.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>

#include "clock_text.h"
#include "container_state.h"

namespace stack {

namespace {

constexpr size_t kRememberedSessions = 256;
constexpr int64_t kLeftoverGraceMs = 1000;
constexpr int64_t kLeftoverCheckMs = 2;
constexpr int64_t kRetryMs = 5;

double random_fraction() {
  uint32_t value = 0;
  if (::getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value) return 0.5;
  return value / 4294967296.0;
}

int status_code(const siginfo_t& info) {
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace

Supervisor::Supervisor(const InitPlan& plan, const InitData& data, EventLoop loop)
    : plan_(plan),
      data_(data),
      spec_(*data.supervision),
      loop_(std::move(loop)),
      board_(spec_),
      slots_(spec_.processes.size()),
      starts_(spec_.processes.size()),
      start_fd_(plan.start_fd) {}

Supervisor::~Supervisor() {
  for (auto& [fd, connection] : connections_) loop_.remove(fd);
}

Result<std::unique_ptr<Supervisor>> Supervisor::create(const InitPlan& plan, const InitData& data) {
  EventLoop loop = TRY(EventLoop::create());
  std::unique_ptr<Supervisor> supervisor(new Supervisor(plan, data, std::move(loop)));
  TRY(supervisor->watch());
  return supervisor;
}

Status Supervisor::watch() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  signals_.reset(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return sys_fail("init", "signalfd");
  TRY(loop_.add(signals_.get(), EPOLLIN, [this](uint32_t) {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info)
      on_signal(static_cast<int>(info.ssi_signo), info.ssi_code);
    reap();
  }));
  if (data_.socket >= 0) {
    TRY(set_nonblocking(data_.socket, true));
    TRY(loop_.add(data_.socket, EPOLLIN, [this](uint32_t) { accept_monitor(); }));
  }
  DaemonWatch::Needs needs;
  needs.event = [this](std::string_view type, const Json& fields) { event(type, fields); };
  needs.changed = [this] { changed_ = true; };
  needs.restart = [this](int code, int signal, const std::string& why) {
    if (board_.stopping()) return;
    restart_wanted_ = true;
    end_reason_ = why;
    board_.stop_all(code == 0 ? 1 : code, signal);
  };
  needs.ours = [this](pid_t pid) { return std::ranges::find(ours_, pid) != ours_.end(); };
  daemons_ = std::make_unique<DaemonWatch>(loop_, spec_, std::move(needs));
  return ok();
}

// An order to stop, or something for the main process (without one: for all).
void Supervisor::on_signal(int signal, int origin) {
  if (signal == SIGCHLD) return;
  if (origin == SI_KERNEL && (signal == SIGTTIN || signal == SIGTTOU)) return;
  if (signal == SIGTERM || signal == SIGINT || signal == data_.stop_signal) {
    board_.stop_all();
    return;
  }
  bool has_main =
      std::ranges::any_of(spec_.processes, [](const ProcessSpec& each) { return each.main; });
  for (size_t i = 0; i < slots_.size(); ++i)
    if (!has_main || spec_.processes[i].main) signal_process(i, signal);
}

void Supervisor::signal_process(size_t process, int signal) {
  if (pid_t pid = board_.status()[process].pid; pid > 0 && !slots_[process].ending)
    ::kill(pid, signal);
}

void Supervisor::reap() {
  for (;;) {
    siginfo_t info{};
    int flags = WEXITED | WNOHANG | (daemons_->curious() ? WNOWAIT : 0);
    if (::waitid(P_ALL, 0, &info, flags) < 0 || info.si_pid == 0) return;
    int code = status_code(info);
    int signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    if (daemons_->curious()) {
      daemons_->orphan_ended(info.si_pid, code, signal);
      siginfo_t gone{};
      if (::waitid(P_PID, static_cast<id_t>(info.si_pid), &gone, WEXITED | WNOHANG) < 0) return;
    }
    reaped(info.si_pid, code, signal);
  }
}

void Supervisor::reaped(pid_t pid, int code, int signal) {
  for (size_t i = 0; i < slots_.size(); ++i)
    if (board_.status()[i].pid == pid && !slots_[i].ending) {
      process_ended(i, code, signal);
      return;
    }
  auto probe = probes_.find(pid);
  if (probe == probes_.end()) return;
  auto done = std::move(probe->second);
  probes_.erase(probe);
  done(code == 0);
}

void Supervisor::start(size_t process) {
  Slot& slot = slots_[process];
  auto pid = spawn_process(plan_, data_, process, nullptr, slot.sync);
  changed_ = true;
  ProcessStatus& status = board_.status()[process];
  status.started_at = time_now();
  if (!pid) {  // no process or memory left: as if it had ended
    board_.start_failed(process, 128, pid.failure().text());
    process_event("process-start-failed", process, Json::object().set("reason", status.reason));
    process_ended(process, 128, 0);
    return;
  }
  board_.spawned(process, *pid);
  ours_.push_back(*pid);
  if (ours_.size() > kRememberedSessions) ours_.erase(ours_.begin());
  slot.about_to_execute = false;
  (void)loop_.add(slot.sync.get(), EPOLLIN, [this, process](uint32_t) { on_sync(process); });
}

void Supervisor::on_sync(size_t process) {
  Slot& slot = slots_[process];
  char buffer[4096];
  ssize_t n = ::recv(slot.sync.get(), buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0 && buffer[0] == sync_message::kExec) {
    slot.about_to_execute = true;
    return;
  }
  std::optional<Failure> failure;
  if (n > 0 && buffer[0] == sync_message::kFailure) {
    auto json = Json::parse(std::string_view(buffer, static_cast<size_t>(n)).substr(1));
    failure = json ? failure_from_json(*json) : Failure(fail("exec", "unreadable failure", EPROTO));
  } else if (!slot.about_to_execute) {
    failure = fail("exec", "it ended before it executed anything", ECHILD);
  }
  loop_.remove(slot.sync.get());
  slot.sync.reset();
  execution_known(process, failure ? &*failure : nullptr);
}

void Supervisor::answer_start(const Failure* failure) {
  if (start_fd_ < 0) return;
  if (failure != nullptr) {
    std::string message(1, sync_message::kFailure);
    message += failure_to_json(*failure).dump();
    (void)!::send(start_fd_, message.data(), message.size(), MSG_NOSIGNAL);
    ::close(start_fd_);
  } else {
    tell_started(start_fd_);
  }
  start_fd_ = -1;
}

void Supervisor::execution_known(size_t process, const Failure* failure) {
  changed_ = true;
  if (spec_.processes[process].main) answer_start(failure);
  if (failure != nullptr) {
    board_.start_failed(process, start_exit_code(*failure), failure->message);
    process_event("process-start-failed", process, Json::object().set("reason", failure->message));
    return;
  }
  Slot& slot = slots_[process];
  starts_[process]++;
  process_event("process-start", process,
                Json::object()
                    .set("pid", board_.status()[process].pid)
                    .set("restarts", board_.status()[process].restarts));
  board_.executed(process, monotonic_ms());
  const std::vector<ReadyProbe>& probes = spec_.processes[process].ready;
  if (board_.status()[process].phase != ProcessPhase::starting || probes.empty()) return;
  Readiness::Needs needs;
  needs.ready = [this, process] {
    slots_[process].readiness.reset();
    board_.ready(process);
    changed_ = true;
    process_event("process-ready", process);
  };
  needs.late = [this, process](std::string why) { unready(process, why); };
  needs.run = [this, process](const std::vector<std::string>& args,
                              std::function<void(bool)> done) {
    return run_probe(process, args, std::move(done));
  };
  slot.readiness = std::make_unique<Readiness>(loop_, probes, std::move(needs));
}

void Supervisor::unready(size_t process, const std::string& why) {
  process_event("process-not-ready", process, Json::object().set("reason", why));
  board_.not_ready_in_time(process, why, monotonic_ms());
  changed_ = true;
  // Not from within itself.
  loop_.after(0, [this, process] { slots_[process].readiness.reset(); });
}

bool Supervisor::run_probe(size_t process, const std::vector<std::string>& args,
                           std::function<void(bool)> done) {
  UniqueFd sync;
  auto pid = spawn_process(plan_, data_, process, &args, sync);
  if (!pid) return false;
  constexpr int64_t kProbeMs = 5000;
  pid_t number = *pid;
  auto limit = std::make_shared<EventLoop::TimerId>(0);
  *limit = loop_.after(kProbeMs, [number] { ::kill(number, SIGKILL); });
  probes_[number] = [this, limit, done = std::move(done)](bool good) {
    loop_.cancel(*limit);
    done(good);
  };
  return true;
}

void Supervisor::process_ended(size_t process, int code, int signal) {
  Slot& slot = slots_[process];
  if (slot.sync) {  // it said what there was to say before it ended
    while (slot.sync) {
      ssize_t before = 0;
      char peek;
      before = ::recv(slot.sync.get(), &peek, 1, MSG_DONTWAIT | MSG_PEEK);
      if (before < 0 && errno != EINTR) break;
      on_sync(process);
    }
    if (slot.sync) loop_.remove(slot.sync.get());
    slot.sync.reset();
  }
  slot.readiness.reset();
  slot.ending = true;
  slot.code = code;
  slot.signal = signal;
  int64_t limit = board_.status()[process].kill_ms;
  int64_t grace = monotonic_ms() + kLeftoverGraceMs;
  slot.kill_left_ms = limit >= 0 ? std::min(limit, grace) : grace;
  if (board_.status()[process].phase == ProcessPhase::stopping && limit < 0) slot.kill_left_ms = 0;
  for (pid_t left : left_in_cgroup(data_.processes[process])) ::kill(left, SIGTERM);
  end_leftovers(process);
}

// Its next start must find neither ports nor locks held by what the last one left.
void Supervisor::end_leftovers(size_t process) {
  Slot& slot = slots_[process];
  loop_.cancel(std::exchange(slot.timer, 0));
  if (!slot.ending) return;
  if (!left_in_cgroup(data_.processes[process]).empty()) {
    if (monotonic_ms() >= slot.kill_left_ms) kill_cgroup(data_.processes[process]);
    slot.timer = loop_.after(kLeftoverCheckMs, [this, process] { end_leftovers(process); });
    return;
  }
  slot.ending = false;
  changed_ = true;
  ProcessStatus& status = board_.status()[process];
  status.ended_at = time_now();
  board_.ended(process, slot.code, slot.signal, monotonic_ms(), random_fraction());
  process_event("process-exit", process,
                Json::object()
                    .set("code", status.code)
                    .set("signal", status.signal)
                    .set("status", phase_name(status.phase)));
  if (status.phase == ProcessPhase::fatal)
    process_event("process-fatal", process, Json::object().set("reason", status.reason));
  if (status.phase == ProcessPhase::backoff && status.due_ms > monotonic_ms())
    status.next_restart_at = time_after(status.due_ms - monotonic_ms());
}

// Carries out what is due until nothing is, and tells whoever listens.
void Supervisor::settle() {
  for (;;) {
    auto steps = board_.steps(monotonic_ms());
    if (steps.empty()) break;
    changed_ = true;
    for (const ProcessStep& step : steps) {
      switch (step.kind) {
        case ProcessStep::Kind::start:
          start(step.process);
          break;
        case ProcessStep::Kind::signal:
          signal_process(step.process, step.signal);
          break;
        case ProcessStep::Kind::kill:
          process_event("process-killed", step.process);
          kill_cgroup(data_.processes[step.process]);
          signal_process(step.process, SIGKILL);
          break;
      }
    }
  }
  loop_.cancel(std::exchange(board_timer_, 0));
  if (int64_t due = board_.next_due(); due >= 0)
    board_timer_ = loop_.after(std::max<int64_t>(due - monotonic_ms(), 0), [] {});
  answer_waiters();
  if (changed_) publish();
}

ProcessBoard::End Supervisor::run() {
  settle();
  bool main_comes = false;
  for (size_t i = 0; i < slots_.size(); ++i)
    main_comes = main_comes || (spec_.processes[i].main && slots_[i].sync.valid());
  if (!main_comes) answer_start(nullptr);
  std::optional<ProcessBoard::End> end;
  while (!(end = board_.finished())) {
    if (auto round = loop_.run_once(); !round) {  // no memory in the kernel, say: try again
      timespec pause{0, kRetryMs * 1'000'000};
      ::nanosleep(&pause, nullptr);
    }
    settle();
  }
  daemons_->stop();
  if (::getpid() == 1) finish_remaining();
  changed_ = true;
  publish();
  return *end;
}

// Daemons get a chance to end in order too, before the kernel ends what is left in the namespace.
void Supervisor::finish_remaining() {
  siginfo_t info{};
  auto any = [&] { return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0; };
  reap();
  if (!any()) return;
  ::kill(-1, SIGTERM);
  ::kill(-1, SIGCONT);
  bool over = false;
  if (spec_.grace_ms >= 0) loop_.after(spec_.grace_ms, [&over] { over = true; });
  while (any() && !over) (void)loop_.run_once();
}

}  // namespace stack
