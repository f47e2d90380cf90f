#include "monitor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "agent_keeper.h"
#include "clock_text.h"
#include "control.h"
#include "foreign_runtime.h"
#include "fs.h"
#include "process_link.h"

namespace stack {

namespace {

// A monitor that has ended its container holds its lock for a last moment.
constexpr time_t kLockSeconds = 3;

// A write that fails may have met a moment without a descriptor or memory.
constexpr int kWriteAttempts = 3;

Status lock_within(int fd, bool ending) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return ok();
  if (!ending) return sys_fail("lock container", "flock", "lock");
  struct sigaction wake {};
  wake.sa_handler = [](int) {};  // without SA_RESTART: flock returns EINTR
  ::sigaction(SIGALRM, &wake, nullptr);
  itimerval limit{{0, 100'000}, {kLockSeconds, 0}};  // repeated: it could fire before flock begins
  ::setitimer(ITIMER_REAL, &limit, nullptr);
  int result = ::flock(fd, LOCK_EX);
  int err = errno;
  itimerval none{};
  ::setitimer(ITIMER_REAL, &none, nullptr);
  ::signal(SIGALRM, SIG_DFL);
  if (result == 0) return ok();
  if (err == EINTR) err = EWOULDBLOCK;
  return sys_fail("lock container", "flock", "lock", err);
}

}  // namespace

Monitor::Monitor(std::string directory, UniqueFd directory_fd, EventLoop loop, EventRecorder events)
    : directory_(std::move(directory)),
      directory_fd_(std::move(directory_fd)),
      loop_(std::move(loop)),
      events_(std::move(events)) {}

Monitor::~Monitor() {
  if (signals_) loop_.remove(signals_.get());
}

Result<std::unique_ptr<Monitor>> Monitor::open(const std::string& directory) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_fail("open container", "open", directory);
  EventLoop loop = TRY(EventLoop::create());
  EventRecorder events = TRY(EventRecorder::open(fd.get()));
  std::unique_ptr<Monitor> monitor(
      new Monitor(directory, std::move(fd), std::move(loop), std::move(events)));
  TRY(monitor->take_lock());
  TRY(monitor->read_task());
  TRY(monitor->open_signals());
  return monitor;
}

Status Monitor::take_lock() {
  lock_.reset(
      ::openat(directory_fd_.get(), "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_) return sys_fail("lock container", "openat", "lock");
  auto record = read_record(directory_);
  // The process that a killed monitor was about to start has the lock from it until it sees that.
  bool ending = !record || record->phase == ContainerRecord::Phase::exited || record->starting();
  return lock_within(lock_.get(), ending);
}

Status Monitor::read_task() {
  std::string text = TRY(read_file(directory_ + "/monitor.json", 16u << 20));
  spec_ = TRY(parse_monitor_spec(TRY(Json::parse(text))));
  auto old = read_record(directory_);
  // A record that is there and cannot be read is not "none": restarts would be counted anew.
  bool none = !old && (old.failure().call.empty() || old.failure().err == ENOENT);
  if (!old && !none) return std::move(old).failure();
  if (old) record_ = std::move(old).take();
  if (!spec_.runtime.empty()) {
    spec_.init = false;  // its PID 1 is the user's process
    foreign_ = std::make_unique<ForeignRuntime>(spec_.runtime, spec_.id, directory_);
  }
  if (spec_.supervision) {
    processes_ = std::make_unique<ProcessLink>(
        loop_, directory_fd_.get(), *spec_.supervision, [this](const Json& state) {
          record_.supervision = state;
          (void)announce();
        });
  }
  record_.id = spec_.id;
  record_.monitor_pid = ::getpid();
  return ok();
}

Status Monitor::open_signals() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
    return sys_fail("event loop", "PR_SET_CHILD_SUBREAPER");
  signals_.reset(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return sys_fail("event loop", "signalfd");
  return loop_.add(signals_.get(), EPOLLIN, [this](uint32_t) {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      // The machine goes down, or somebody ends us by hand: then the container is to end in order
      // too.
      if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
        stop(spec_.stop.signal, spec_.stop.grace_ms, {}, [](const StopOutcome&) {});
    }
    reap();
  });
}

void Monitor::reap() {
  for (;;) {
    siginfo_t info{};
    int waited = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
    if (waited < 0 && errno == EINTR) continue;
    if (waited < 0 || info.si_pid == 0) return;
    ProcessEnd end;
    if (info.si_code == CLD_EXITED)
      end.code = info.si_status;
    else
      end = {128 + info.si_status, info.si_status};
    reap_one(info.si_pid, end);
  }
}

void Monitor::reap_one(pid_t pid, ProcessEnd end) {
  if (pid == run_.pid && !run_.adopted) {
    main_ended(end);
    return;
  }
  auto child = children_.find(pid);
  if (child == children_.end()) return;  // an orphan
  auto ended = std::move(child->second);
  children_.erase(child);
  ended(end);
}

void Monitor::expect_child(pid_t pid, std::function<void(ProcessEnd)> ended) {
  children_[pid] = std::move(ended);
}

Status Monitor::run() { return loop_.run(); }

Status Monitor::announce() {
  Status written = write_state();
  if (control_) control_->state_changed();
  return written;
}

Status Monitor::write_state() {
  record_.monitor_pid = ::getpid();
  Status written;
  for (int attempt = 0; attempt < kWriteAttempts; ++attempt) {
    written = write_record(directory_fd_.get(), record_);
    if (written) break;
  }
  note_failed("the container's state", written);
  return written;
}

void Monitor::note_failed(std::string_view what, const Status& status) {
  if (status) return;
  events_.add("warning", Json::object().set("message", std::string(what) + ": " + status.failure().text()));
}

void Monitor::agent_came() {
  if (agent_) agent_->agent_came();
}

void Monitor::agent_went() {
  if (agent_ && !loop_.stopped()) agent_->agent_went();
}

std::string Monitor::seccomp_cache() const {
  // ROOT/containers/ID
  size_t id = directory_.rfind('/');
  size_t containers =
      id == 0 || id == std::string::npos ? std::string::npos : directory_.rfind('/', id - 1);
  if (containers == std::string::npos) return {};
  std::string cache = directory_.substr(0, containers) + "/cache/seccomp";
  return make_directories(cache, 0700).ok() ? cache : std::string();
}

Status Monitor::kill(int signal, bool all) {
  constexpr const char* kStage = "kill";
  if (run_.pid == 0) return fail(kStage, "the container does not run", ESRCH);
  if (signal < 1 || signal > 64)
    return fail(kStage, "no such signal: " + std::to_string(signal), EINVAL);
  events_.add("signal", Json::object().set("signal", signal));
  // A kill by hand is not to be undone by the restart policy; Docker has it so too.
  if (signal == SIGKILL || signal == spec_.stop.signal) {
    record_.stop_requested = true;
    if (record_.ended_by.empty()) record_.ended_by = "kill";
  }
  if (signal == SIGKILL) return cgroup_.valid() ? cgroup_.kill_all() : signal_main(signal);
  if (all) return cgroup_.signal_all(signal);
  return signal_main(signal);
}

// Not every runtime's process is the container's own (sandboxes): theirs is asked.
Status Monitor::signal_main(int signal) {
  return foreign_ ? foreign_->kill(signal) : signal_pidfd(run_.pidfd.get(), signal);
}

Status Monitor::pause() {
  if (record_.phase == ContainerRecord::Phase::paused)
    return fail("pause", "the container is paused already", EALREADY);
  if (run_.pid == 0) return fail("pause", "the container does not run", ESRCH);
  TRY(cgroup_.freeze());
  record_.phase = ContainerRecord::Phase::paused;
  events_.add("pause");
  (void)announce();
  return ok();
}

Status Monitor::unpause() {
  if (record_.phase != ContainerRecord::Phase::paused)
    return fail("unpause", "the container is not paused", EINVAL);
  TRY(cgroup_.thaw());
  record_.phase = ContainerRecord::Phase::running;
  events_.add("unpause");
  (void)announce();
  return ok();
}

Result<std::vector<Cgroup::AlteredLimit>> Monitor::altered_limits(bool restore) {
  Json config = TRY(Json::parse(TRY(read_file(directory_ + "/config.json", 16u << 20))));
  const Json& resources = config["linux"]["resources"];
  auto altered = TRY(cgroup_.altered(resources));
  if (restore && !altered.empty()) {
    // The rules for devices cannot have been touched by writing a limit, and stay as they are.
    Json limits = resources;
    limits.set("devices", Json());
    TRY(cgroup_.apply(limits));
  }
  return altered;
}

Status Monitor::update(const Json& request) {
  if (request["restart"].is_object()) {
    RestartSpec changed = spec_.restart;
    TRY(update_restart(changed, request["restart"]));
    spec_.restart = changed;
  }
  if (request["stop"].is_object()) update_stop(spec_.stop, request["stop"]);
  if (request["resources"].is_object()) TRY(cgroup_.apply(request["resources"]));
  // A monitor that takes over reads the task again.
  std::string path = directory_ + "/monitor.json";
  Json task = TRY(Json::parse(TRY(read_file(path, 16u << 20))));
  for (const char* key : {"restart", "stop"}) {
    if (!request[key].is_object()) continue;
    Json merged = task[key];
    for (const auto& [name, value] : request[key].members()) merged.set(name, value);
    task.set(key, std::move(merged));
  }
  return replace_file(path, task.dump() + "\n");
}

}  // namespace stack
