// Taking over from a monitor that was killed.
#include <linux/types.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "agent_keeper.h"
#include "clock_text.h"
#include "control.h"
#include "monitor.h"

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

}  // namespace

Status Monitor::adopt() {
  control_ = TRY(ControlServer::open(*this, directory_fd_.get()));
  if (spec_.agent) agent_ = std::make_unique<AgentKeeper>(*this, *spec_.agent);
  events_.add("monitor-adopted");
  using Phase = ContainerRecord::Phase;
  if (record_.phase == Phase::created || record_.phase == Phase::exited)
    return fail("adopt", "the container does not run", ESRCH, directory_);
  if (record_.pid > 0) {
    auto pidfd = open_pidfd(record_.pid);
    auto start = process_start_time(record_.pid);
    if (pidfd && start && *start == record_.pid_start) {
      run_.pid = record_.pid;
      run_.pidfd = std::move(pidfd).take();
      run_.start_time = *start;
      return adopt_living();
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
  network_.emplace(TRY(ContainerNetwork::adopt(spec_.network, run_.pid)));
  // The ports that were free then are to be the same ones now.
  std::vector<PortSpec> ports;
  for (const BoundPort& port : record_.ports) {
    PortSpec wanted;
    static_cast<BoundPort&>(wanted) = port;
    ports.push_back(wanted);
  }
  ports_ = TRY(PortRelay::bind(loop_, ports.empty() ? spec_.network.ports : ports));
  TRY(prepare_ports());
  (void)watch_oom();
  record_.ports = ports_->bound();
  record_.netns = network_->path();
  TRY(loop_.add(run_.pidfd.get(), EPOLLIN, [this](uint32_t) {
    loop_.remove(run_.pidfd.get());
    settle(adopted_end());
  }));
  announce();
  return ok();
}

// Not our child: what the kernel or our init tells.
ProcessEnd Monitor::adopted_end() {
  if (auto told = events_.init_exit(record_.restarts, 0)) return {told->first, told->second};
  PidfdInfo info{};
  info.mask = kPidfdInfoExit;
  if (::ioctl(run_.pidfd.get(), _IOWR(0xFF, 11, PidfdInfo), &info) == 0 && (info.mask & kPidfdInfoExit) != 0) {
    int signal = info.exit_code & 0x7f;
    return {signal != 0 ? 128 + signal : info.exit_code >> 8 & 0xff, signal};
  }
  return {-1, 0};
}

// It ended while nobody looked: record that, and let the policy decide.
Status Monitor::adopt_ended() {
  ProcessEnd end{-1, 0};
  if (auto told = events_.init_exit(record_.restarts, 0)) end = {told->first, told->second};
  OciConfig config = TRY(load_config());
  if (!config.cgroups_path.empty()) {
    if (auto left = Cgroup::open(config.cgroups_path)) {
      (void)left->kill_all();
      (void)left->wait_empty(2000);
      (void)left->remove();
    }
  }
  TRY(prepare());
  run_.pid = 0;
  if (record_.phase != ContainerRecord::Phase::restarting) record_end(end);
  TRY(prepare_ports());
  record_.ports = ports_->bound();
  decide();
  return ok();
}

}  // namespace stack
