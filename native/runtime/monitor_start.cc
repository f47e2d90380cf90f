// The first start, and what each run needs.
#include <malloc.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>

#include "agent_keeper.h"
#include "clock_text.h"
#include "control.h"
#include "foreign_runtime.h"
#include "fs.h"
#include "init.h"
#include "monitor.h"
#include "netlink.h"
#include "populate.h"
#include "proc.h"
#include "process_link.h"
#include "resident.h"

namespace stack {

using Phase = ContainerRecord::Phase;

namespace {

// Who asked for startOnAttach is about to attach; if it died, the container is not to wait for
// ever.
constexpr int64_t kAttachWithinMs = 10'000;

// After a start the records are written, the ports served, the first questions answered.
constexpr int64_t kCalmMs = 1000;

}  // namespace

// Those of a monitor that was killed. They stay where they were: people know them, and the kernel
// still leads them to the container's address, which another port would leave so for ever.
std::vector<PortSpec> Monitor::last_ports() const {
  std::vector<PortSpec> ports;
  for (const BoundPort& port : record_.ports) {
    PortSpec wanted;
    static_cast<BoundPort&>(wanted) = port;
    ports.push_back(wanted);
  }
  return ports;
}

Status Monitor::prepare() {
  network_.reset();
  ports_.reset();
  if (!record_.ports.empty()) {
    if (auto last = PortRelay::bind(loop_, last_ports())) ports_ = std::move(last).take();
  }
  if (!ports_) ports_ = TRY(PortRelay::bind(loop_, spec_.network.ports));
  network_.emplace(TRY(ContainerNetwork::create(spec_.network)));
  root_.emplace(TRY(RootMount::create(spec_.rootfs)));
  if (foreign_) TRY(foreign_->mount(*root_));
  if (!stdio_) {
    stdio_ = TRY(Stdio::open(loop_, directory_fd_.get(), spec_, events_));
    stdio_->set_listener([this](int stream, std::string_view bytes) {
      if (control_) control_->output(stream, bytes);
    });
  }
  return ok();
}

Status Monitor::prepare_ports() {
  TRY(ports_->serve(
      {network_->via(), network_->host(), network_->address4(), network_->address6()}));
  return network_->publish(ports_->bound());
}

Status Monitor::populate_volumes() {
  for (const PopulateSpec& volume : spec_.populate) TRY(populate_volume(root_->fd(), volume));
  return ok();
}

Status Monitor::start() {
  if (spec_.agent) agent_ = std::make_unique<AgentKeeper>(*this, *spec_.agent);
  events_.add("monitor-started");
  record_.phase = Phase::created;
  record_.stop_requested = false;
  record_.failures = 0;
  record_.error.reset();
  auto attempt = [this]() -> Status {
    if (!control_) control_ = TRY(ControlServer::open(*this, directory_fd_.get()));
    TRY(prepare());
    TRY(populate_volumes());
    TRY(launch_run());
    return prepare_ports();
  };
  Status started = attempt();
  if (started) {
    record_.ports = ports_->bound();
    started = announce();  // nobody is to find a container that runs and has no record
    if (started) return ok();
  }
  // Only the ports or the record failed: nobody is to find a container that is half reachable.
  if (run_.pid != 0) undo_run();
  record_start_failure(started.failure());
  record_.phase = Phase::exited;
  release();
  root_.reset();
  release_network();
  (void)announce();
  return started;
}

void Monitor::undo_run() {
  bool killed = cgroup_.valid() && cgroup_.kill_all().ok();
  killed = signal_main(SIGKILL).ok() || killed;
  if (killed && !foreign_) (void)wait_pidfd(run_.pidfd.get());
  run_ = Run{};
}

void Monitor::record_start_failure(const Failure& failure) {
  note_start_failure(failure);
  record_.pid = 0;
  record_.pid_start = 0;
  record_.finished_at = time_now();
  record_.oom_killed = false;
  keep_crash();
}

void Monitor::note_start_failure(const Failure& failure) {
  events_.add("start-failed", Json::object().set("error", failure_to_json(failure)));
  if (failure.err == ENOENT && failure.stage == "join cgroup") drop_cgroup();  // not by us
  record_.exit_code = start_exit_code(failure);
  record_.signal = 0;
  record_.ended_by = "start-failure";
  record_.error = failure;
}

Result<OciConfig> Monitor::load_config() const {
  OciConfig config = TRY(load_oci_config(directory_ + "/config.json"));
  config.process.terminal = spec_.tty;
  for (const JoinSpec& join : spec_.joins) {
    ContainerRecord other = TRY(read_record(join.directory));
    auto start = process_start_time(other.pid);
    const char* name = join.flag == CLONE_NEWIPC   ? "ipc"
                       : join.flag == CLONE_NEWPID ? "pid"
                                                   : "uts";
    std::string stage = std::string("join ") + name;
    if (other.pid == 0 || !start || *start != other.pid_start)
      return fail(stage, "the container whose namespace is to be shared does not run", ESRCH,
                  join.directory);
    std::string path = "/proc/" + std::to_string(other.pid) + "/ns/" + name;
    bool found = false;
    for (OciNamespace& space : config.namespaces)
      if (space.flag == join.flag) space.path = path, found = true;
    if (!found) config.namespaces.push_back({join.flag, name, path});
  }
  // What the monitor changed for itself is not the container's.
  if (!config.process.oom_score_adj) config.process.oom_score_adj = original_.oom_score;
  bool limited = std::ranges::any_of(
      config.process.rlimits, [](const auto& each) { return each.resource == RLIMIT_NOFILE; });
  if (!limited)
    config.process.rlimits.push_back({RLIMIT_NOFILE, "RLIMIT_NOFILE", original_.descriptors});
  return config;
}

Result<std::shared_ptr<const Monitor::ExecConfig>> Monitor::exec_config(bool keep) {
  if (exec_config_) return exec_config_;
  auto made = std::make_shared<ExecConfig>();
  made->config = TRY(load_config());
  if (!foreign_) made->seccomp = TRY(compile_seccomp(made->config.seccomp, seccomp_cache()));
  made->config.seccomp = Json();
  if (keep) exec_config_ = made;
  return std::shared_ptr<const ExecConfig>(std::move(made));
}

Result<Launched> Monitor::launch_own(const OciConfig& config) {
  TRY(net::return_home());  // children begin where this process is
  if (!root_)
    root_.emplace(
        TRY(RootMount::create(spec_.rootfs)));  // a monitor that took over mounts it only now
  UniqueFd root = TRY(root_->clone());
  Stdio::Ends ends = TRY(stdio_->container_ends(spec_.init));
  stdio_->begin_run();
  InitData data;
  data.events_fd = events_.fd();
  data.run = record_.restarts;
  FdPair terminal;
  LaunchOptions options;
  options.id = spec_.id;
  options.bundle = directory_;
  options.rootfs_fd = root.get();
  options.netns_fd = network_->netns();
  options.stdin_fd = ends.input ? ends.input.get() : -1;
  options.stdout_fd = ends.output ? ends.output.get() : -1;
  options.stderr_fd = ends.error ? ends.error.get() : -1;
  options.cgroup = cgroup_.valid() ? &cgroup_ : nullptr;
  options.seccomp_cache_dir = seccomp_cache();
  options.on_process = [this](pid_t pid) { return record_process(pid); };
  if (spec_.init) {
    options.init_main = container_init;
    options.init_data = &data;
    options.init_fds = {events_.fd()};
    if (ends.output_reader) options.init_fds.push_back(ends.output_reader.get());
    if (ends.error_reader) options.init_fds.push_back(ends.error_reader.get());
    if (spec_.tty) {
      terminal = TRY(make_socketpair(SOCK_STREAM));
      data.terminal_socket = terminal.second.get();
      options.init_fds.push_back(data.terminal_socket);
    }
    if (processes_) {
      record_.supervision = Json::object();
      TRY(processes_->prepare(cgroup_, *stdio_, spec_.stop.signal, data, options.init_fds));
      options.init_finds_executable = true;
    }
  }
  Launched launched = TRY(launch(config, options));
  if (processes_) processes_->started();
  if (launched.console_master) {
    int master = launched.console_master.get();
    if (terminal.first) TRY(send_fds(terminal.first.get(), "t", &master, 1));
    TRY(stdio_->use_terminal(std::move(launched.console_master)));
  }
  // Only the first run can wait: a restart has nobody who is about to come.
  if (spec_.start_on_attach && record_.restarts == 0) return launched;
  Status started = ::stack::start(launched);
  if (started) return launched;
  if (signal_pidfd(launched.pidfd.get(), SIGKILL).ok()) (void)wait_pidfd(launched.pidfd.get());
  return std::move(started).failure();
}

// While the container is set up, which takes longer: from here on, should this monitor be killed,
// the next one finds who runs, and what that wrote is not lost with it.
Status Monitor::record_process(pid_t pid) {
  record_.pid = pid;
  record_.pid_start = TRY(process_start_time(pid));
  if (record_.phase != Phase::created) record_.phase = Phase::restarting;
  return write_state();
}

// The runtime named by the user makes the cgroup too.
Result<Launched> Monitor::launch_foreign() {
  if (!root_) {  // a monitor that took over mounts it only now
    root_.emplace(TRY(RootMount::create(spec_.rootfs)));
    TRY(foreign_->mount(*root_));
  }
  Stdio::Ends ends = TRY(stdio_->container_ends(spec_.init));
  stdio_->begin_run();
  foreign_->remove();  // of a run before
  Launched launched = TRY(foreign_->create(network_->netns(), spec_.tty, ends));
  if (launched.console_master) TRY(stdio_->use_terminal(std::move(launched.console_master)));
  if (auto started = foreign_->start(); !started) {
    foreign_->remove();
    return std::move(started).failure();
  }
  return launched;
}

Status Monitor::launch_run() {
  exec_config_.reset();  // namespaces of others may be new ones
  {
    OciConfig config = TRY(load_config());
    if (!foreign_ && !cgroup_.valid() && !config.cgroups_path.empty())
      cgroup_ = TRY(Cgroup::create(config.cgroups_path, config.resources));
    off_t events_from = events_.end();
    uint64_t oom_before = cgroup_.oom_kills();
    Launched launched = TRY(foreign_ ? launch_foreign() : launch_own(config));
    if (foreign_ && !config.cgroups_path.empty()) {
      if (auto made = Cgroup::open(config.cgroups_path)) cgroup_ = std::move(made).take();
    }
    note_warnings(launched);
    const OciNamespace* pids = config.find_namespace(CLONE_NEWPID);
    bool own_pids = !foreign_ && pids != nullptr && pids->path.empty();
    run_ = Run{launched.pid,        std::move(launched.pidfd),
               launched.start_time, monotonic_ms(),
               events_from,         false,
               oom_before,          own_pids};
    if (!foreign_ && spec_.start_on_attach && record_.restarts == 0)
      hold_start(std::move(launched));
  }
  ::malloc_trim(0);  // the configuration is large, and needed only now
  loop_.after(kCalmMs, [] { release_program_pages(); });
  oom_seen_ = false;
  if (!oom_) (void)watch_oom();  // without: counted at the end of the run
  record_.pid = run_.pid;
  record_.pid_start = run_.start_time;
  begin_run();
  events_.add("start", Json::object().set("pid", run_.pid).set("run", record_.restarts));
  return ok();
}

void Monitor::begin_run() {
  record_.phase = Phase::running;
  record_.started_at = time_now();
  record_.ended_by.clear();
  record_.reason.clear();
  record_.next_restart_at.clear();
  record_.error.reset();
  record_.netns = network_->path();
}

void Monitor::note_warnings(const Launched& launched) {
  warnings_ = cgroup_.warnings();
  if (!foreign_ && cgroup_.directories().empty())
    warnings_.push_back("no cgroups: nothing limits the container, and it cannot be paused");
  warnings_.insert(warnings_.end(), launched.warnings.begin(), launched.warnings.end());
  for (const std::string& text : warnings_)
    events_.add("warning", Json::object().set("message", text));
}

void Monitor::hold_start(Launched launched) {
  waiting_ = std::move(launched);
  waiting_timer_ = loop_.after(kAttachWithinMs, [this] { release_start(); });
}

void Monitor::attached() {
  if (waiting_) release_start();
}

// A failure ends the first process, and is in the record before its end is: see record_end.
void Monitor::release_start() {
  loop_.cancel(std::exchange(waiting_timer_, 0));
  Status started = ::stack::start(*waiting_);
  waiting_.reset();
  if (!started) record_.error = started.failure();
}

Status Monitor::watch_oom() {
  oom_ = TRY(cgroup_.oom_events());
  if (!oom_) return ok();
  return loop_.add(oom_.fd.get(), oom_.events, [this](uint32_t) {
    (void)oom_.take();
    if (run_.pid == 0) return;
    if (oom_seen_ || cgroup_.oom_kills() == run_.oom_before) return;
    oom_seen_ = true;
    events_.add("oom");
  });
}

}  // namespace stack
