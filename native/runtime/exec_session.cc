#include "exec_session.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "client.h"
#include "exec_process.h"
#include "foreign_runtime.h"

namespace stack {

namespace {

constexpr size_t kChunk = 16384;
// What a process leaves in its pipes when it ends is at most their capacity, unless another one
// goes on writing.
constexpr int kLastChunks = 64;
// `isolate`: how many processes at once, and how much output costs nothing; beyond, as much as a
// pipe holds each time.
constexpr int kGroupProcesses = 256;
constexpr size_t kFreeOutput = 1 << 20;
constexpr int64_t kHoldBackMs = 10;
constexpr int64_t kEmptyCheckMs = 2;
constexpr int kEmptyChecks = 500;

// The processes that were just killed leave it a moment later, and nothing tells when.
void remove_when_empty(EventLoop& loop, std::shared_ptr<Cgroup> group, int checks) {
  auto left = group->processes();
  if (!left || left->empty() || checks == 0) {
    (void)group->remove();
    return;
  }
  (void)group->kill_all();
  loop.after(kEmptyCheckMs, [&loop, group = std::move(group), checks] {
    remove_when_empty(loop, group, checks - 1);
  });
}

}  // namespace

ExecSession::~ExecSession() {
  for (Output& output : outputs_) unwatch(output);
  if (input_watched_) monitor_.loop().remove(input_.get());
  monitor_.loop().cancel(timer_);
  monitor_.loop().cancel(resume_timer_);
  kill_group();
}

// One for each process: the name says whose it is to who looks at a cgroup by hand.
Status ExecSession::make_group() {
  static uint64_t number = 0;
  if (!monitor_.cgroup().valid() || monitor_.foreign() != nullptr) return ok();
  std::string name = "probe-" + std::to_string(++number);
  group_ = TRY(monitor_.cgroup().group(name, kGroupProcesses));
  return ok();
}

void ExecSession::kill_group() {
  if (!group_) return;
  auto group = std::make_shared<Cgroup>(std::move(*group_));
  group_.reset();
  (void)group->kill_all();
  remove_when_empty(monitor_.loop(), std::move(group), kEmptyChecks);
}

Result<std::shared_ptr<ExecSession>> ExecSession::start(Monitor& monitor, const Json& request) {
  std::shared_ptr<ExecSession> session(new ExecSession(monitor));
  TRY(session->launch(request));
  return session;
}

Status ExecSession::launch(const Json& request) {
  const ContainerRecord& record = monitor_.record();
  if (record.phase == ContainerRecord::Phase::paused)
    return fail("exec", "the container is paused", EAGAIN);
  if (!monitor_.running()) return fail("exec", "the container does not run", ESRCH);
  tty_ = request["tty"].as_bool();
  timeout_ms_ = request["timeoutMs"].as_int(0);
  auto prepared = TRY(monitor_.exec_config(request["isolate"].as_bool()));
  const OciConfig& config = prepared->config;
  const ProcessSpec* like = nullptr;
  if (const std::string& name = request["process"].as_string(); !name.empty()) {
    if (const auto& supervision = monitor_.spec().supervision)
      for (const ProcessSpec& each : supervision->processes)
        if (each.name == name) like = &each;
    if (like == nullptr) return fail("exec", "there is no process " + name, ENOENT, name);
  }
  OciProcess process = TRY(exec_process(config, request, record.pid, like));
  ExecOptions options;
  options.pid = record.pid;
  options.start_time = record.pid_start;
  options.config = &config;
  options.process = &process;
  options.cgroup = monitor_.cgroup().valid() ? &monitor_.cgroup() : nullptr;
  if (request["isolate"].as_bool()) TRY(make_group());
  options.group = group_ ? &*group_ : nullptr;
  options.seccomp = &prepared->seccomp;
  options.privileged = request["privileged"].as_bool();
  options.window.ws_row = static_cast<uint16_t>(request["rows"].as_uint());
  options.window.ws_col = static_cast<uint16_t>(request["cols"].as_uint());
  FdPair out, err, in;
  if (!tty_ && !request["detach"].as_bool()) {
    out = TRY(make_pipe());
    err = TRY(make_pipe());
    options.stdout_fd = out.second.get();
    options.stderr_fd = err.second.get();
    if (request["stdin"].as_bool()) {
      in = TRY(make_pipe());
      options.stdin_fd = in.first.get();
    }
  }
  ForeignRuntime* foreign = monitor_.foreign();
  ExecChild child = TRY(foreign != nullptr ? foreign->exec(process, options) : exec_in(options));
  pid_ = child.pid;
  auto self = shared_from_this();
  monitor_.expect_child(pid_, [self](ProcessEnd end) { self->ended(end); });
  if (tty_) {
    outputs_[0].fd = std::move(child.console_master);
    if (outputs_[0].fd) input_ = TRY(duplicate(outputs_[0].fd.get()));
  } else {
    outputs_[0].fd = std::move(out.first);
    outputs_[1] = {std::move(err.first), 2};
    input_ = std::move(in.second);
  }
  for (int fd : {outputs_[0].fd.get(), outputs_[1].fd.get(), input_.get()})
    if (fd >= 0) TRY(set_nonblocking(fd, true));
  return ok();
}

void ExecSession::begin() {
  for (Output& output : outputs_) watch(output);
  if (timeout_ms_ <= 0) return;
  timer_ = monitor_.loop().after(timeout_ms_, [this] {
    timer_ = 0;
    timed_out_ = true;
    if (group_) (void)group_->kill_all();
    ::kill(-pid_, SIGKILL);  // it leads a session of its own
    ::kill(pid_, SIGKILL);
  });
}

void ExecSession::stream_to(const std::shared_ptr<Client>& client) {
  client_ = client;
  begin();
}

void ExecSession::capture_for(const std::shared_ptr<Client>& client, size_t limit) {
  client_ = client;
  capture_ = true;
  capture_limit_ = limit;
  begin();
}

void ExecSession::watch(Output& output) {
  if (!output.fd || output.watched) return;
  auto self = weak_from_this();
  output.watched = monitor_.loop()
                       .add(output.fd.get(), EPOLLIN,
                            [self, &output](uint32_t) {
                              if (auto session = self.lock()) (void)session->pump(output);
                            })
                       .ok();
}

void ExecSession::unwatch(Output& output) {
  if (output.watched) monitor_.loop().remove(output.fd.get());
  output.watched = false;
}

bool ExecSession::pump(Output& output) {
  if (!output.fd) return false;
  char buffer[kChunk];
  ssize_t n = ::read(output.fd.get(), buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) {
    unwatch(output);
    output.fd.reset();
    return false;
  }
  deliver(output.stream, std::string_view(buffer, static_cast<size_t>(n)));
  auto client = client_.lock();
  if (capture_ && !ended_ && (taken_ += static_cast<size_t>(n)) > kFreeOutput) {
    hold_back();
    return false;
  }
  if (capture_ || ended_ || !client || !client->congested()) return true;
  // The process waits for a slow reader, as it would for a slow terminal.
  for (Output& each : outputs_) unwatch(each);
  client->when_drained([self = weak_from_this()] {
    auto session = self.lock();
    if (!session) return;
    for (Output& each : session->outputs_) session->watch(each);
  });
  return true;
}

// Who writes without end is read at a rate that leaves the monitor its time for others.
void ExecSession::hold_back() {
  if (resume_timer_ != 0) return;
  for (Output& each : outputs_) unwatch(each);
  taken_ = kFreeOutput - 4 * kChunk;
  resume_timer_ = monitor_.loop().after(kHoldBackMs, [self = weak_from_this()] {
    auto session = self.lock();
    if (!session) return;
    session->resume_timer_ = 0;
    for (Output& each : session->outputs_) session->watch(each);
  });
}

void ExecSession::deliver(int stream, std::string_view bytes) {
  if (capture_) {
    captured_.append(bytes);
    // Not at each read: moving the rest costs more than a little room.
    if (captured_.size() > 2 * capture_limit_ + kChunk)
      captured_.erase(0, captured_.size() - capture_limit_);
    return;
  }
  if (auto client = client_.lock())
    client->send_frame(stream == 1 ? FrameType::output : FrameType::error, bytes);
}

bool ExecSession::input(std::string_view bytes) {
  if (!input_ || input_ending_) return true;
  pending_input_.append(bytes);
  push_input();
  return pending_input_.empty();
}

void ExecSession::push_input() {
  while (!pending_input_.empty() && input_) {
    ssize_t n = ::write(input_.get(), pending_input_.data(), pending_input_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (input_watched_) return;
      auto self = weak_from_this();
      input_watched_ = monitor_.loop()
                           .add(input_.get(), EPOLLOUT,
                                [self](uint32_t) {
                                  if (auto session = self.lock()) session->push_input();
                                })
                           .ok();
      return;
    }
    if (n < 0)
      pending_input_.clear();  // it has closed its input
    else
      pending_input_.erase(0, static_cast<size_t>(n));
  }
  if (input_watched_) monitor_.loop().remove(input_.get());
  input_watched_ = false;
  if (input_ending_) input_.reset();
  if (input_ready_) std::exchange(input_ready_, nullptr)();
}

void ExecSession::end_input() {
  if (tty_) {
    (void)input("\x04");
    return;
  }
  input_ending_ = true;
  if (pending_input_.empty()) input_.reset();
}

void ExecSession::control(const Json& message) {
  const Json& size = message["resize"];
  if (size.is_object() && tty_ && outputs_[0].fd) {
    winsize window{};
    window.ws_row = static_cast<uint16_t>(size["rows"].as_uint());
    window.ws_col = static_cast<uint16_t>(size["cols"].as_uint());
    ::ioctl(outputs_[0].fd.get(), TIOCSWINSZ, &window);
  }
  int64_t signal = message["signal"].as_int(0);
  if (!ended_ && signal > 0 && signal <= 64) ::kill(pid_, static_cast<int>(signal));
}

// The process goes on, as under Docker: its output goes nowhere, its input has ended, its terminal
// hangs up.
void ExecSession::client_went() {
  client_.reset();
  if (tty_) {
    for (Output& output : outputs_) {
      unwatch(output);
      output.fd.reset();
    }
  }
  if (input_watched_) monitor_.loop().remove(input_.get());
  input_watched_ = false;
  pending_input_.clear();
  input_ready_ = nullptr;
  input_.reset();
  if (group_) {  // nobody is left who would read its verdict
    (void)group_->kill_all();
    return;
  }
  for (Output& output : outputs_) watch(output);
}

void ExecSession::ended(ProcessEnd end) {
  ended_ = true;
  end_ = end;
  monitor_.loop().cancel(std::exchange(timer_, 0));
  monitor_.loop().cancel(std::exchange(resume_timer_, 0));
  kill_group();
  // What it wrote is all there now; what its children may yet write is not waited for.
  for (Output& output : outputs_) {
    for (int i = 0; i < kLastChunks && pump(output); ++i) {
    }
    unwatch(output);
    output.fd.reset();
  }
  report();
}

void ExecSession::report() {
  auto client = client_.lock();
  if (!client) return;
  if (!capture_) {
    Json exit = Json::object().set("code", end_.code).set("signal", end_.signal);
    client->send_control(Json::object().set("exit", std::move(exit)));
    client->close_after_writing();
    return;
  }
  if (captured_.size() > capture_limit_) captured_.erase(0, captured_.size() - capture_limit_);
  Json line = Json::object();
  line.set("ok", true).set("exitCode", end_.code).set("signal", end_.signal);
  line.set("timedOut", timed_out_).set("output", captured_);
  client->send(line);
}

}  // namespace stack
