// What the monitor asks of init, and what init tells it.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "clock_text.h"
#include "supervisor.h"

namespace stack {

namespace {

constexpr const char* kStage = "process";
constexpr size_t kLongestMessage = 65536;

}  // namespace

void Supervisor::accept_monitor() {
  for (;;) {
    UniqueFd fd(::accept4(data_.socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    int number = fd.get();
    auto handler = [this, number](uint32_t events) {
      if ((events & EPOLLOUT) != 0 && connections_.contains(number)) {
        (void)loop_.modify(number, EPOLLIN);
        behind_.erase(number);
        (void)send(number, snapshot());
      }
      if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) on_message(number);
    };
    if (!loop_.add(number, EPOLLIN, handler).ok()) continue;
    connections_[number] = std::move(fd);
    (void)send(number, snapshot());
  }
}

void Supervisor::on_message(int connection) {
  std::string buffer(kLongestMessage, 0);
  for (;;) {
    ssize_t n = ::recv(connection, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {  // the monitor has gone; the next one comes by itself
      loop_.remove(connection);
      connections_.erase(connection);
      behind_.erase(connection);
      std::erase_if(waiters_, [&](const Waiter& each) { return each.connection == connection; });
      return;
    }
    auto request = Json::parse(std::string_view(buffer).substr(0, static_cast<size_t>(n)));
    if (request) handle(connection, *request);
  }
}

void Supervisor::handle(int connection, const Json& request) {
  int64_t id = request["id"].as_int();
  const std::string& name = request["process"].as_string();
  const std::string& action = request["action"].as_string();
  auto refuse = [&](const std::string& why, int err) {
    Failure failure = fail(kStage, why, err, name);
    reply(connection, id, &failure);
  };
  auto found = std::ranges::find_if(spec_.processes, [&](const auto& p) { return p.name == name; });
  if (found == spec_.processes.end()) return refuse("there is no process " + name, ENOENT);
  size_t process = static_cast<size_t>(found - spec_.processes.begin());
  if (board_.stopping()) return refuse("the container is stopping", EBUSY);
  int64_t now = monotonic_ms();
  int64_t grace = request["graceMs"].as_int(-2);
  changed_ = true;
  if (action == "kill") {
    int signal = static_cast<int>(request["signal"].as_int(SIGKILL));
    if (signal < 1 || signal > 64) return refuse("no such signal", EINVAL);
    if (board_.status()[process].pid <= 0) return refuse(name + " does not run", ESRCH);
    // As with containers: what a user ends by hand is not started again.
    if (signal == SIGKILL || signal == found->stop_signal) board_.mark_stopped_by_hand(process);
    if (signal == SIGKILL) kill_cgroup(data_.processes[process]);
    signal_process(process, signal);
    return reply(connection, id, nullptr);
  }
  if (action == "ready") {
    const Slot& slot = slots_[process];
    bool same = board_.status()[process].restarts == request["restarts"].as_int(-1);
    if (!same || !slot.readiness || !slot.readiness->told(request["probe"].as_uint()))
      return refuse("nobody waits for this", ESRCH);
    return reply(connection, id, nullptr);
  }
  if (action == "stop") {
    board_.stop(process, now, grace);
    waiters_.push_back({connection, id, process, Waiter::For::ended});
    return;
  }
  if (action == "start" || action == "restart") {
    bool runs = board_.status()[process].pid > 0 && action == "start" &&
                board_.status()[process].phase != ProcessPhase::stopping;
    if (runs) return reply(connection, id, nullptr);
    Waiter waiter{connection, id, process, Waiter::For::executed, starts_[process]};
    if (action == "start")
      (void)board_.start(process, now);
    else
      (void)board_.restart(process, now, grace);
    waiters_.push_back(waiter);
    return;
  }
  refuse("unknown action \"" + action + "\"", ENOSYS);
}

void Supervisor::answer_waiters() {
  std::erase_if(waiters_, [this](const Waiter& waiter) {
    const ProcessStatus& status = board_.status()[waiter.process];
    if (waiter.what == Waiter::For::ended) {
      if (status.pid > 0 || slots_[waiter.process].ending) return false;
      reply(waiter.connection, waiter.id, nullptr);
      return true;
    }
    if (starts_[waiter.process] > waiter.starts) {
      reply(waiter.connection, waiter.id, nullptr);
      return true;
    }
    bool alive = status.pid > 0 || slots_[waiter.process].ending;
    bool coming = status.phase == ProcessPhase::starting || status.phase == ProcessPhase::waiting ||
                  (status.phase == ProcessPhase::backoff && status.start_failure == 0);
    if (alive || (coming && !board_.stopping())) return false;
    Failure failure = fail(kStage, status.reason.empty() ? "it has not started" : status.reason,
                           status.start_failure == 127 ? ENOENT : EINVAL,
                           spec_.processes[waiter.process].name);
    reply(waiter.connection, waiter.id, &failure);
    return true;
  });
}

void Supervisor::reply(int connection, int64_t id, const Failure* failure) {
  // What it asked for is to be in the state that it has when it gets the answer.
  if (changed_) publish();
  Json message = Json::object();
  message.set("reply", id).set("ok", failure == nullptr);
  if (failure != nullptr) message.set("error", failure_to_json(*failure));
  (void)send(connection, message);
}

bool Supervisor::send(int connection, const Json& message) {
  std::string text = message.dump();
  ssize_t n;
  do {
    n = ::send(connection, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) {
    behind_[connection] = true;
    (void)loop_.modify(connection, EPOLLIN | EPOLLOUT);
  }
  return n >= 0;
}

Json Supervisor::snapshot() const {
  Json processes = Json::array();
  for (size_t i = 0; i < slots_.size(); ++i)
    processes.push(to_json(spec_.processes[i], board_.status()[i]));
  Json body = Json::object();
  body.set("processes", std::move(processes));
  body.set("expected", !daemons_->waiting()).set("missing", daemons_->missing());
  body.set("orphans", daemons_->orphans()).set("problem", daemons_->problem());
  body.set("run", data_.run);
  return Json::object().set("supervision", std::move(body));
}

void Supervisor::publish() {
  changed_ = false;
  if (connections_.empty()) return;
  Json message = snapshot();
  for (auto& [fd, connection] : connections_)
    if (!behind_.contains(fd)) (void)send(fd, message);
}

void Supervisor::event(std::string_view type, const Json& fields) {
  if (data_.events_fd < 0) return;
  Json line = Json::object();
  line.set("v", 1).set("t", time_now()).set("type", type);
  for (const auto& [name, value] : fields.members()) line.set(name, value);
  (void)write_all(data_.events_fd, line.dump() + "\n");
}

void Supervisor::process_event(std::string_view type, size_t process, Json fields) {
  Json line = Json::object();
  line.set("process", spec_.processes[process].name);
  for (const auto& [name, value] : fields.members()) line.set(name, value);
  line.set("run", data_.run);
  event(type, line);
}

}  // namespace stack
