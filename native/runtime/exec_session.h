#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fd.h"
#include "json.h"
#include "monitor.h"
#include "result.h"

namespace stack {

class Client;

/**
 * One process run by `exec`: its streams to and from a client, or its last output captured, and its
 * end. It lives until the process has ended, also when the client goes before.
 */
class ExecSession : public std::enable_shared_from_this<ExecSession> {
 public:
  /** Starts the process; its user's execve has succeeded. */
  static Result<std::shared_ptr<ExecSession>> start(Monitor& monitor, const Json& request);
  ~ExecSession();

  pid_t pid() const { return pid_; }
  /** Frames go to this client from now on. */
  void stream_to(const std::shared_ptr<Client>& client);
  /** The one line with what was captured goes to this client. */
  void capture_for(const std::shared_ptr<Client>& client, size_t limit);

  /** False: not all was taken; call again nothing before when_input_ready tells. */
  bool input(std::string_view bytes);
  void when_input_ready(std::function<void()> task) { input_ready_ = std::move(task); }
  void end_input();
  void control(const Json& message);
  void client_went();

 private:
  struct Output {
    UniqueFd fd;
    int stream = 1;
    bool watched = false;
  };

  explicit ExecSession(Monitor& monitor) : monitor_(monitor) {}
  Status launch(const Json& request);
  void begin();
  void watch(Output& output);
  void unwatch(Output& output);
  /** False: nothing more now. */
  bool pump(Output& output);
  void deliver(int stream, std::string_view bytes);
  void push_input();
  void ended(ProcessEnd end);
  void report();
  Status make_group();
  void kill_group();
  void hold_back();

  Monitor& monitor_;
  pid_t pid_ = 0;
  bool tty_ = false;
  Output outputs_[2];
  UniqueFd input_;
  std::string pending_input_;
  bool input_watched_ = false;
  bool input_ending_ = false;
  std::function<void()> input_ready_;
  std::weak_ptr<Client> client_;
  std::optional<Cgroup> group_;  // `isolate`
  EventLoop::TimerId resume_timer_ = 0;
  size_t taken_ = 0;  // bytes of output captured so far
  bool capture_ = false;
  size_t capture_limit_ = 0;
  std::string captured_;
  int64_t timeout_ms_ = 0;
  EventLoop::TimerId timer_ = 0;
  bool timed_out_ = false;
  bool ended_ = false;
  ProcessEnd end_;
};

}  // namespace stack
