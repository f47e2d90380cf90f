#include "control.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>

#include "agent_keeper.h"
#include "client.h"
#include "monitor.h"

namespace stack {

namespace {

constexpr const char* kName = "monitor.sock";
constexpr int64_t kFinishMs = 1000;

bool may_connect(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

}  // namespace

ControlServer::ControlServer(Monitor& monitor, UniqueFd socket, int directory)
    : monitor_(monitor), socket_(std::move(socket)), directory_(directory) {}

Result<std::unique_ptr<ControlServer>> ControlServer::open(Monitor& monitor, int directory) {
  constexpr const char* kStage = "open monitor.sock";
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return sys_fail(kStage, "socket");
  // Through the directory's descriptor: a data root may be deeper than the 108 bytes of sun_path.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, kName);
  if (::unlinkat(directory, kName, 0) < 0 && errno != ENOENT)
    return sys_fail(kStage, "unlinkat", kName);
  mode_t mask = ::umask(0177);
  int bound = ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  int err = errno;
  ::umask(mask);
  if (bound < 0) return sys_fail(kStage, "bind", kName, err);
  std::unique_ptr<ControlServer> server(new ControlServer(monitor, std::move(socket), directory));
  if (::listen(server->socket_.get(), 128) < 0) return sys_fail(kStage, "listen", kName);
  ControlServer* self = server.get();
  TRY(monitor.loop().add(self->socket_.get(), EPOLLIN, [self](uint32_t) { self->accept_all(); }));
  return server;
}

ControlServer::~ControlServer() {
  if (socket_) {  // the start has failed: nobody will answer there
    monitor_.loop().remove(socket_.get());
    ::unlinkat(directory_, kName, 0);
  }
  auto clients = std::move(clients_);
  clients_.clear();
}

void ControlServer::accept_all() {
  for (;;) {
    UniqueFd fd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    if (!may_connect(fd.get())) continue;
    auto client = std::make_shared<Client>(*this, std::move(fd));
    if (!client->watch().ok()) continue;
    clients_.push_back(std::move(client));
  }
}

void ControlServer::forget(Client* client, bool lost_agent) {
  std::erase_if(clients_, [client](const auto& each) { return each.get() == client; });
  if (lost_agent && !has_agent()) monitor_.agent_went();
}

bool ControlServer::has_agent() const {
  return std::ranges::any_of(clients_, [](const auto& client) { return client->is_agent(); });
}

void ControlServer::state_changed() {
  Json state = to_json(monitor_.record());
  auto clients = clients_;  // a dead one removes itself
  for (const auto& client : clients)
    if (client->subscribed()) client->notify(state);
}

void ControlServer::output(int stream, std::string_view bytes) {
  if (clients_.empty()) return;
  auto clients = clients_;
  for (const auto& client : clients) client->output(stream, bytes);
}

void ControlServer::finish() {
  // Who asked in this very moment gets an answer too; who comes later finds no socket, and
  // state.json.
  ::unlinkat(directory_, kName, 0);
  accept_all();
  for (const auto& client : std::vector(clients_)) client->read_now();
  monitor_.loop().remove(socket_.get());
  socket_.reset();
  Json state = to_json(monitor_.record());
  auto clients = clients_;
  for (const auto& client : clients) client->finish_attachment(state);
  int64_t deadline = monotonic_ms() + kFinishMs;
  for (const auto& client : clients) {
    while (client->open() && !client->flush() && client->open() && monotonic_ms() < deadline) {
      pollfd wait{client->fd(), POLLOUT, 0};
      ::poll(&wait, 1, static_cast<int>(std::max<int64_t>(deadline - monotonic_ms(), 0)));
    }
    while (monotonic_ms() < deadline &&
           client->linger(static_cast<int>(std::max<int64_t>(deadline - monotonic_ms(), 0)))) {
    }
  }
}

}  // namespace stack
