// The operations of `monitor.sock`: parse, call, answer.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "client.h"
#include "exec_session.h"
#include "monitor.h"
#include "probe.h"
#include "process_link.h"

namespace stack {

namespace {

constexpr int64_t kVersion = 1;
constexpr size_t kReason = 4096;

EndCause end_cause(const Json& request) {
  return {request["by"].as_string() == "health" ? "health" : "stop",
          request["reason"].as_string().substr(0, kReason)};
}

Json state_of(const Monitor& monitor) {
  return Json::object().set("state", to_json(monitor.record()));
}

}  // namespace

void Client::fail(const Failure& failure) {
  send(Json::object().set("ok", false).set("error", failure_to_json(failure)));
}

void Client::reply(Json body) {
  Json line = Json::object();
  line.set("ok", true);
  for (const auto& [name, value] : body.members()) line.set(name, value);
  send(line);
}

void Client::answer(const Status& status) {
  if (status)
    reply(Json::object());
  else
    fail(status.failure());
}

void Client::answer_state(const Status& status) {
  if (status)
    reply(state_of(server_.monitor()));
  else
    fail(status.failure());
}

void Client::handle(const Json& request) {
  Monitor& monitor = server_.monitor();
  const std::string& op = request["op"].as_string();
  if (request["bye"].as_bool()) {
    goodbye_ = true;
    return;
  }
  if (int64_t version = request["v"].as_int(kVersion); version != kVersion)
    return fail(
        ::stack::fail(op, "this monitor speaks version 1, not " + std::to_string(version), EPROTO));
  if (op == "state") return reply(state_of(monitor));
  if (op == "stop") return handle_stop(request);
  if (op == "restart") return handle_restart(request);
  if (op == "kill")
    return answer(monitor.kill(static_cast<int>(request["signal"].as_int(SIGKILL)),
                               request["all"].as_bool()));
  if (op == "pause") return answer(monitor.pause());
  if (op == "unpause") return answer(monitor.unpause());
  if (op == "wait") return handle_wait();
  if (op == "subscribe") return handle_subscribe(request);
  if (op == "exec") return handle_exec(request);
  if (op == "attach") return handle_attach(request);
  if (op == "resize")
    return answer(monitor.stdio().resize(static_cast<uint16_t>(request["rows"].as_uint()),
                                         static_cast<uint16_t>(request["cols"].as_uint())));
  if (op == "dns-sockets") return handle_dns_sockets();
  if (op == "publish") return answer(monitor.publish_again());
  if (op == "update") return answer(monitor.update(request));
  if (op == "limits") return handle_limits(request);
  if (op == "probe") return handle_probe(request);
  if (op == "process") return handle_process(request);
  fail(::stack::fail("request", "unknown operation \"" + op + "\"", ENOSYS));
}

void Client::handle_stop(const Json& request) {
  Monitor& monitor = server_.monitor();
  int signal = static_cast<int>(request["signal"].as_int(monitor.spec().stop.signal));
  if (signal < 1 || signal > 64)
    return fail(::stack::fail("stop", "no such signal: " + std::to_string(signal), EINVAL));
  int64_t grace = request["graceMs"].as_int(monitor.spec().stop.grace_ms);
  auto done = [self = weak_from_this(), &monitor](const StopOutcome& outcome) {
    auto client = self.lock();
    if (!client) return;
    Json body = state_of(monitor);
    body.set("ignored", outcome.ignored).set("killed", outcome.killed);
    client->reply(std::move(body));
  };
  monitor.stop(signal, grace, end_cause(request), std::move(done));
}

void Client::handle_restart(const Json& request) {
  Monitor& monitor = server_.monitor();
  int64_t grace = request["graceMs"].as_int(monitor.spec().stop.grace_ms);
  auto done = [self = weak_from_this()](const Status& status) {
    if (auto client = self.lock()) client->answer_state(status);
  };
  monitor.restart(grace, end_cause(request), std::move(done));
}

void Client::handle_limits(const Json& request) {
  auto altered = server_.monitor().altered_limits(request["restore"].as_bool());
  if (!altered.ok()) return fail(altered.failure());
  Json list = Json::array();
  for (const Cgroup::AlteredLimit& limit : *altered) {
    list.push(Json::object()
                  .set("file", limit.file)
                  .set("wanted", limit.wanted)
                  .set("actual", limit.actual));
  }
  reply(Json::object().set("altered", std::move(list)));
}

void Client::handle_wait() {
  Monitor& monitor = server_.monitor();
  monitor.when_ended([self = weak_from_this(), &monitor] {
    if (auto client = self.lock()) client->reply(state_of(monitor));
  });
}

void Client::handle_subscribe(const Json& request) {
  subscribed_ = true;
  agent_ = request["role"].as_string() == "agent";
  reply(state_of(server_.monitor()));
  if (agent_) server_.monitor().agent_came();
}

void Client::handle_exec(const Json& request) {
  auto started = ExecSession::start(server_.monitor(), request);
  if (!started) return fail(started.failure());
  std::shared_ptr<ExecSession> session = *started;
  if (request["detach"].as_bool()) {
    reply(Json::object().set("pid", session->pid()));
    session->client_went();
    return;
  }
  if (request["capture"].is_integer()) {
    session->capture_for(shared_from_this(), request["capture"].as_uint());
    if (request["isolate"].as_bool()) exec_ = session;  // it ends with us
    return;
  }
  reply(Json::object().set("pid", session->pid()));
  mode_ = Mode::exec;
  exec_ = session;
  session->stream_to(shared_from_this());
}

void Client::handle_attach(const Json& request) {
  reply(Json::object());
  mode_ = Mode::attach;
  wants_input_ = request["stdin"].as_bool();
  wants_output_ = request["stdout"].as_bool();
  wants_error_ = request["stderr"].as_bool();
  if (request["replay"].as_bool()) {
    std::string output = server_.monitor().stdio().take_replay(1),
                error = server_.monitor().stdio().take_replay(2);
    if (wants_output_ && !output.empty()) send_frame(FrameType::output, output);
    if (wants_error_ && !error.empty()) send_frame(FrameType::error, error);
    if (!open()) return;
  }
  if (request["rows"].is_integer())
    (void)server_.monitor().stdio().resize(static_cast<uint16_t>(request["rows"].as_uint()),
                                           static_cast<uint16_t>(request["cols"].as_uint()));
  server_.monitor().attached();
}

void Client::handle_dns_sockets() {
  const ContainerNetwork& network = server_.monitor().network();
  if (!network.has_dns())
    return fail(::stack::fail("dns-sockets", "the container has no DNS of ours", ENOENT));
  const int fds[2] = {network.dns_udp(), network.dns_tcp()};
  // After all earlier replies; the few bytes fit into the socket's empty buffer.
  if (!flush())
    return fail(::stack::fail("dns-sockets", "earlier replies are not read yet", EAGAIN));
  auto sent = send_fds(fd_.get(), "{\"ok\":true,\"count\":2}\n", fds, 2);
  if (!sent) close();
}

void Client::handle_process(const Json& request) {
  Monitor& monitor = server_.monitor();
  if (monitor.processes() == nullptr)
    return fail(::stack::fail("process", "the container has no supervised processes", ENOENT,
                              request["process"].as_string()));
  monitor.processes()->request(request, [self = weak_from_this()](const Status& status) {
    if (auto client = self.lock()) client->answer_state(status);
  });
}

void Client::handle_probe(const Json& request) {
  const std::string& kind = request["kind"].as_string();
  if (kind == "file") return reply(probe_file(server_.monitor(), request["path"].as_string()));
  if (kind != "tcp" && kind != "http")
    return fail(::stack::fail("probe", "kind must be tcp, http or file", EINVAL));
  probe(server_.monitor(), request, [self = weak_from_this()](Json body) {
    if (auto client = self.lock()) client->reply(std::move(body));
  });
}

}  // namespace stack
