#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control.h"
#include "fd.h"
#include "frame.h"
#include "json.h"
#include "loop.h"

namespace stack {

class ExecSession;

/**
 * One connection on `monitor.sock`. Speaks lines of JSON until `exec` or `attach`, frames from then
 * on. What it does not read is queued up to a bound: who attached and is slow is dropped, so that
 * neither the container nor the monitor waits for it; a process started by exec waits instead.
 */
class Client : public std::enable_shared_from_this<Client> {
 public:
  Client(ControlServer& server, UniqueFd fd) : server_(server), fd_(std::move(fd)) {}
  ~Client();
  Status watch();

  void send(const Json& line);
  void send_frame(FrameType type, std::string_view payload);
  void send_control(const Json& payload);
  /** Closes when everything is written. */
  void close_after_writing();
  void close();
  bool open() const { return fd_.valid(); }
  /** After the last frame: waits for the client's own end. False: it came, or there is none to wait
   * for. */
  bool linger(int timeout_ms);

  /** More is queued than a source that can wait should add to; when_drained tells when it may
   * again. */
  bool congested() const;
  void when_drained(std::function<void()> task) { drained_ = std::move(task); }
  /** Writes what it can. True: nothing is left. */
  bool flush();
  int fd() const { return fd_.get(); }
  /** Handles what has come already. */
  void read_now();

  bool subscribed() const { return subscribed_; }
  bool is_agent() const { return agent_; }
  void notify(const Json& state);
  /** Output of the container, for those who attached. */
  void output(int stream, std::string_view bytes);
  /** The container has ended: the last frame of an attachment. */
  void finish_attachment(const Json& state);

 private:
  void on_events(uint32_t events);
  void finish_writing();
  void read();
  void process();
  void process_lines();
  void process_frames();
  void handle_frame(FrameType type, std::string_view payload);
  void attached_frame(FrameType type, std::string_view payload);
  bool push_input();
  void rewatch();

  // control_requests.cc
  void handle(const Json& request);
  void fail(const Failure& failure);
  void reply(Json body);
  void handle_stop(const Json& request);
  void handle_restart(const Json& request);
  void handle_limits(const Json& request);
  void handle_wait();
  void handle_subscribe(const Json& request);
  void handle_exec(const Json& request);
  void handle_attach(const Json& request);
  void handle_dns_sockets();
  void handle_probe(const Json& request);
  void handle_process(const Json& request);
  void answer(const Status& status);
  void answer_state(const Status& status);  // with the container's state

  enum class Mode : uint8_t { lines, exec, attach };

  ControlServer& server_;
  UniqueFd fd_;
  Mode mode_ = Mode::lines;
  std::string in_;
  std::string out_;
  FrameReader frames_;
  bool closing_ = false;
  bool lingering_ = false;
  bool reading_paused_ = false;
  bool input_ended_ = false;
  bool subscribed_ = false;
  bool agent_ = false;
  bool goodbye_ = false;
  bool wants_input_ = false, wants_output_ = false, wants_error_ = false;
  std::string input_;  // for the container, not accepted yet
  uint32_t events_ = 0;
  std::shared_ptr<ExecSession> exec_;
  std::function<void()> drained_;
};

}  // namespace stack
