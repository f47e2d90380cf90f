// Taking over from a monitor that was killed.
#include <dirent.h>
#include <linux/types.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "agent_keeper.h"
#include "clock_text.h"
#include "control.h"
#include "fs.h"
#include "monitor.h"
#include "monitor_process.h"
#include "process_link.h"

namespace stack {

namespace {

// include/uapi/linux/pidfd.h; exit_code since Linux 6.15. Older headers lack it.
struct PidfdInfo {
  __u64 mask;
  __u64 cgroupid;
  __u32 pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  __s32 exit_code;
};
constexpr __u64 kPidfdInfoExit = 1u << 3;
constexpr int64_t kReapedWithinMs = 1000;
// startContainer hooks may take their time.
constexpr int64_t kStartsWithinMs = 10'000;

bool is_terminal_master(const std::string& link) {
  char target[64];
  ssize_t length = ::readlink(link.c_str(), target, sizeof target);
  std::string_view name(target, length < 0 ? 0 : static_cast<size_t>(length));
  return name.ends_with("/ptmx");
}

// Our init holds a copy of the terminal's master, under a number that only it knows.
Result<UniqueFd> terminal_of(pid_t pid, int pidfd) {
  constexpr const char* kStage = "adopt terminal";
  std::string directory = "/proc/" + std::to_string(pid) + "/fd";
  DIR* list = ::opendir(directory.c_str());
  if (list == nullptr) return sys_fail(kStage, "opendir", directory);
  int found = -1;
  while (dirent* entry = ::readdir(list))
    if (is_terminal_master(directory + "/" + entry->d_name)) found = ::atoi(entry->d_name);
  ::closedir(list);
  if (found < 0) return fail(kStage, "PID 1 does not hold the terminal", ENOENT);
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, found, 0)));
  if (!fd) return sys_fail(kStage, "pidfd_getfd");
  return fd;
}

}  // namespace

// It goes on if it was told to, and else finds that its monitor is gone, and ends. Until then it
// has the monitor's name: what it executes changes that, and so does our init.
static void await_start(pid_t pid, int pidfd) {
  const std::string path = "/proc/" + std::to_string(pid) + "/comm";
  pollfd ended{pidfd, POLLIN, 0};
  for (int64_t until = monotonic_ms() + kStartsWithinMs; monotonic_ms() < until;) {
    auto name = read_file(path, 64);
    if (!name || *name != std::string(kMonitorName) + "\n") return;
    if (::poll(&ended, 1, 1) != 0) return;
  }
}

Status Monitor::adopt() {
  control_ = TRY(ControlServer::open(*this, directory_fd_.get()));
  if (spec_.agent) agent_ = std::make_unique<AgentKeeper>(*this, *spec_.agent);
  events_.add("monitor-adopted");
  using Phase = ContainerRecord::Phase;
  bool starting = record_.starting();
  if (record_.phase == Phase::exited || (record_.phase == Phase::created && !starting))
    return fail("adopt", "the container does not run", ESRCH, directory_);
  if (record_.pid > 0 && record_.boot == boot_id()) {  // else these are numbers of another life
    auto pidfd = open_pidfd(record_.pid);
    auto start = process_start_time(record_.pid);
    if (pidfd && start && *start == record_.pid_start) {
      run_.pid = record_.pid;
      run_.pidfd = std::move(pidfd).take();
      run_.start_time = *start;
      if (starting) await_start(run_.pid, run_.pidfd.get());
      pollfd ended{run_.pidfd.get(), POLLIN, 0};
      if (::poll(&ended, 1, 0) == 0) {
        Status living = adopt_living();
        if (living || ::poll(&ended, 1, 0) == 0) return living;
        ports_.reset();  // it ended in this moment
      }
    }
  }
  return adopt_ended();
}

Status Monitor::adopt_living() {
  run_.adopted = true;
  run_.started_ms = monotonic_ms();  // how long it ran before is in startedAt
  OciConfig config = TRY(load_config());
  if (!config.cgroups_path.empty()) cgroup_ = TRY(Cgroup::open(config.cgroups_path));
  run_.oom_before = cgroup_.oom_kills();
  stdio_ = TRY(Stdio::open(loop_, directory_fd_.get(), spec_, events_));
  stdio_->set_listener([this](int stream, std::string_view bytes) {
    if (control_) control_->output(stream, bytes);
  });
  if (spec_.tty) {
    if (auto terminal = terminal_of(run_.pid, run_.pidfd.get()))
      TRY(stdio_->use_terminal(std::move(terminal).take()));
  }
  network_.emplace(TRY(ContainerNetwork::adopt(spec_.network, run_.pid)));
  ports_ = TRY(PortRelay::bind(loop_, record_.ports.empty() ? spec_.network.ports : last_ports()));
  TRY(prepare_ports());
  (void)watch_oom();
  if (processes_) (void)processes_->connect();
  record_.ports = ports_->bound();
  record_.netns = network_->path();
  if (record_.starting()) begin_adopted_run();
  TRY(loop_.add(run_.pidfd.get(), EPOLLIN, [this](uint32_t events) { adopted_ended(events); }));
  (void)announce();
  return ok();
}

// Its monitor was killed before it had written that; how long it has run is not known.
void Monitor::begin_adopted_run() {
  begin_run();
  if (events_.news_of(record_.restarts, 0).started) return;
  events_.add("start", Json::object().set("pid", record_.pid).set("run", record_.restarts));
}

// The kernel tells the exit code once its parent, whoever that is now, has reaped it (EPOLLHUP).
void Monitor::adopted_ended(uint32_t events) {
  ProcessEnd end = adopted_end();
  if (end.code < 0 && (events & EPOLLHUP) == 0) {
    (void)loop_.modify(run_.pidfd.get(), EPOLLHUP);
    if (settle_timer_ == 0)
      settle_timer_ = loop_.after(kReapedWithinMs, [this] { adopted_ended(EPOLLHUP); });
    return;
  }
  loop_.cancel(std::exchange(settle_timer_, 0));
  loop_.remove(run_.pidfd.get());
  settle(end);
}

static ProcessEnd end_of_status(int status) {
  int signal = status & 0x7f;
  return {signal != 0 ? 128 + signal : status >> 8 & 0xff, signal};
}

// Field 52 of /proc/PID/stat, while nobody has reaped it.
static std::optional<ProcessEnd> end_of_zombie(pid_t pid, uint64_t start_time) {
  auto start = process_start_time(pid);
  auto text = read_file("/proc/" + std::to_string(pid) + "/stat", 8192);
  if (!start || *start != start_time || !text) return std::nullopt;
  size_t name_end = text->rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text->size() || (*text)[name_end + 2] != 'Z')
    return std::nullopt;
  size_t last = text->find_last_of("0123456789");
  size_t before = text->find_last_not_of("0123456789", last);
  if (last == std::string::npos || before == std::string::npos) return std::nullopt;
  return end_of_status(::atoi(text->c_str() + before + 1));
}

// Not our child: what our init, the process table or the kernel tells.
ProcessEnd Monitor::adopted_end() {
  if (auto told = events_.news_of(record_.restarts, 0).exit) {
    run_.restart_wanted = told->restart;
    return {told->code, told->signal};
  }
  if (run_.pid == 0) return {-1, 0};
  if (auto end = end_of_zombie(run_.pid, run_.start_time)) return *end;
  PidfdInfo info{};
  info.mask = kPidfdInfoExit;
  if (::ioctl(run_.pidfd.get(), _IOWR(0xFF, 11, PidfdInfo), &info) == 0 &&
      (info.mask & kPidfdInfoExit) != 0)
    return end_of_status(info.exit_code);
  return {-1, 0};
}

// It ended while nobody looked: record that, and let the policy decide.
Status Monitor::adopt_ended() {
  ProcessEnd end = adopted_end();
  // Only init's word tells a run that was short from one that never was.
  bool starting = record_.starting();
  bool ran = !starting || events_.news_of(record_.restarts, 0).exit.has_value();
  OciConfig config = TRY(load_config());
  if (!config.cgroups_path.empty()) {
    if (auto left = Cgroup::open(config.cgroups_path)) {
      (void)left->kill_all();
      (void)left->wait_empty(2000);
      (void)left->remove();
    }
  }
  drop_cgroup();  // adopt_living may have opened it, and then met the container's end
  bool restart = run_.restart_wanted;
  run_ = Run{};
  run_.restart_wanted = restart;
  if (!ran && record_.phase == ContainerRecord::Phase::created)
    return fail("adopt", "the container was killed before it was started", ESRCH, directory_);
  TRY(prepare());
  if (starting && ran) begin_adopted_run();
  if (record_.phase != ContainerRecord::Phase::restarting) record_end(end);
  TRY(prepare_ports());
  record_.ports = ports_->bound();
  decide();
  return ok();
}

}  // namespace stack
