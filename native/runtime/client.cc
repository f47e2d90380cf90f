#include "client.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "agent_keeper.h"
#include "exec_session.h"
#include "monitor.h"

namespace stack {

namespace {

constexpr size_t kLongestLine = 1 << 20;
constexpr size_t kCongested = 128 << 10;
constexpr size_t kDropAttached = 1 << 20;
constexpr size_t kReadChunk = 16384;
constexpr int64_t kLingerMs = 2000;

}  // namespace

Client::~Client() { close(); }

Status Client::watch() {
  events_ = EPOLLIN;
  auto self = weak_from_this();
  return server_.monitor().loop().add(fd_.get(), events_, [self](uint32_t events) {
    if (auto client = self.lock()) client->on_events(events);
  });
}

void Client::close() {
  if (!fd_) return;
  server_.monitor().loop().remove(fd_.get());
  fd_.reset();
  if (exec_) exec_->client_went();
  exec_.reset();
  drained_ = nullptr;
  bool lost_agent = agent_ && !goodbye_;
  agent_ = false;
  server_.forget(this, lost_agent);
}

void Client::rewatch() {
  if (!fd_) return;
  uint32_t wanted = (reading_paused_ || input_ended_ ? 0u : uint32_t{EPOLLIN}) |
                    (out_.empty() ? 0u : uint32_t{EPOLLOUT});
  if (wanted == events_) return;
  events_ = wanted;
  (void)server_.monitor().loop().modify(fd_.get(), events_);
}

void Client::on_events(uint32_t events) {
  auto keep = shared_from_this();
  if ((events & EPOLLOUT) != 0 && !flush()) return;
  if ((events & EPOLLIN) != 0)
    read();
  else if ((events & (EPOLLHUP | EPOLLERR)) != 0)
    close();
}

void Client::read() {
  char buffer[kReadChunk];
  ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (lingering_) {
    if (n <= 0) close();
    return;
  }
  if (n <= 0) {
    // Who has only ended its requests may still wait for an answer; one that has gone shows by
    // EPOLLHUP.
    input_ended_ = true;
    if (n < 0 || subscribed_) close();
    if (open()) rewatch();
    return;
  }
  std::string_view bytes(buffer, static_cast<size_t>(n));
  if (mode_ == Mode::lines)
    in_.append(bytes);
  else
    frames_.feed(bytes);
  process();
}

void Client::read_now() {
  auto keep = shared_from_this();
  if (open() && mode_ == Mode::lines && !input_ended_) read();
}

void Client::process() {
  if (mode_ == Mode::lines) process_lines();
  if (mode_ != Mode::lines && open()) process_frames();
}

void Client::process_lines() {
  while (mode_ == Mode::lines && open()) {
    size_t end = in_.find('\n');
    if (end == std::string::npos) {
      if (in_.size() > kLongestLine) close();
      return;
    }
    auto request = Json::parse(std::string_view(in_).substr(0, end));
    in_.erase(0, end + 1);
    if (!request)
      fail(request.failure());
    else
      handle(*request);
  }
  if (mode_ != Mode::lines) {
    frames_.feed(in_);
    in_ = {};
  }
}

void Client::process_frames() {
  FrameType type{};
  std::string_view payload;
  while (open() && !reading_paused_) {
    switch (frames_.next(type, payload)) {
      case FrameReader::Next::more:
        return;
      case FrameReader::Next::malformed:
        close();
        return;
      case FrameReader::Next::frame:
        handle_frame(type, payload);
    }
  }
}

void Client::handle_frame(FrameType type, std::string_view payload) {
  if (mode_ == Mode::attach) {
    attached_frame(type, payload);
    return;
  }
  if (!exec_) return;
  if (type == FrameType::control) {
    if (auto control = Json::parse(payload)) exec_->control(*control);
  } else if (type == FrameType::input && payload.empty()) {
    exec_->end_input();
  } else if (type == FrameType::input && !exec_->input(payload)) {
    reading_paused_ = true;
    exec_->when_input_ready([self = weak_from_this()] {
      auto client = self.lock();
      if (!client) return;
      client->reading_paused_ = false;
      client->rewatch();
      client->process();
    });
    rewatch();
  }
}

void Client::attached_frame(FrameType type, std::string_view payload) {
  Monitor& monitor = server_.monitor();
  if (type == FrameType::control) {
    auto control = Json::parse(payload);
    if (!control) return;
    const Json& size = (*control)["resize"];
    if (size.is_object())
      (void)monitor.stdio().resize(static_cast<uint16_t>(size["rows"].as_uint()),
                                   static_cast<uint16_t>(size["cols"].as_uint()));
    if ((*control)["signal"].is_integer())
      (void)monitor.kill(static_cast<int>((*control)["signal"].as_int()), false);
    return;
  }
  if (type != FrameType::input || !wants_input_) return;
  if (payload.empty()) {
    monitor.stdio().close_input();
    return;
  }
  input_.append(payload);
  (void)push_input();
}

// False: the container does not take more now, and the client is not read until it does.
bool Client::push_input() {
  Stdio& stdio = server_.monitor().stdio();
  while (!input_.empty()) {
    size_t taken = stdio.write_input(input_);
    input_.erase(0, taken);
    if (taken > 0) continue;
    reading_paused_ = true;
    stdio.when_input_ready([self = weak_from_this()] {
      auto client = self.lock();
      if (!client || !client->push_input()) return;
      client->reading_paused_ = false;
      client->rewatch();
      client->process();
    });
    rewatch();
    return false;
  }
  return true;
}

bool Client::flush() {
  size_t done = 0;
  while (done < out_.size()) {
    ssize_t n =
        ::send(fd_.get(), out_.data() + done, out_.size() - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) {
      close();
      return false;
    }
    if (n < 0) break;
    done += static_cast<size_t>(n);
  }
  out_.erase(0, done);
  if (out_.empty() && out_.capacity() > kReadChunk) out_.shrink_to_fit();
  if (out_.empty() && closing_) {
    finish_writing();
    return false;
  }
  rewatch();
  if (drained_ && !congested()) std::exchange(drained_, nullptr)();
  return out_.empty();
}

bool Client::congested() const { return out_.size() > kCongested; }

void Client::send(const Json& line) {
  if (!fd_) return;
  line.dump_to(out_);
  out_ += '\n';
  flush();
}

void Client::send_frame(FrameType type, std::string_view payload) {
  if (!fd_) return;
  append_frame(out_, type, payload);
  flush();
}

void Client::send_control(const Json& payload) { send_frame(FrameType::control, payload.dump()); }

void Client::close_after_writing() {
  closing_ = true;
  if (out_.empty()) finish_writing();
}

// Who still writes (its end of input, say) would lose what it has not read yet, were the socket
// closed now: unix(7) answers the write with EPIPE and the read with ECONNRESET. So wait for its
// own end.
void Client::finish_writing() {
  if (mode_ == Mode::lines || input_ended_) {
    close();
    return;
  }
  if (lingering_) return;
  lingering_ = true;
  reading_paused_ = false;
  ::shutdown(fd_.get(), SHUT_WR);
  rewatch();
  server_.monitor().loop().after(kLingerMs, [self = weak_from_this()] {
    if (auto client = self.lock()) client->close();
  });
}

bool Client::linger(int timeout_ms) {
  if (!fd_ || !lingering_) return false;
  pollfd wait{fd_.get(), POLLIN, 0};
  if (::poll(&wait, 1, timeout_ms) > 0) read();
  return open();
}

void Client::notify(const Json& state) {
  send(Json::object().set("event", "state").set("state", state));
  if (out_.size() > kDropAttached) close();
}

void Client::output(int stream, std::string_view bytes) {
  if (mode_ != Mode::attach || !(stream == 1 ? wants_output_ : wants_error_)) return;
  auto keep = shared_from_this();
  send_frame(stream == 1 ? FrameType::output : FrameType::error, bytes);
  if (out_.size() > kDropAttached) close();
}

void Client::finish_attachment(const Json& state) {
  if (mode_ != Mode::attach) return;
  auto keep = shared_from_this();
  send_control(Json::object().set("state", state));
  close_after_writing();
}

}  // namespace stack
