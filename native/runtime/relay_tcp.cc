#include "relay_tcp.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include <algorithm>

namespace stack {
namespace {

/** As much as a pipe holds by default (pipe(7)). */
constexpr size_t kChunk = 65536;

constexpr uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

void no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/** The peer sees a reset instead of a clean end: what it sent may be lost. */
void reset_on_close(int fd) {
  linger hard{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

}  // namespace

TcpRelay::~TcpRelay() {
  while (!connections_.empty()) drop(connections_.begin()->first, true);
}

void TcpRelay::add(UniqueFd client, UniqueFd upstream) {
  uint64_t id = next_++;
  no_delay(client.get());
  no_delay(upstream.get());
  auto connection = std::make_unique<Connection>();
  connection->client = std::move(client);
  connection->upstream = std::move(upstream);
  int client_fd = connection->client.get();
  int upstream_fd = connection->upstream.get();
  connections_.emplace(id, std::move(connection));
  auto watch = [&](int fd, bool from_client) {
    return loop_.add(fd, kEvents,
                     [this, id, from_client](uint32_t events) { on_event(id, from_client, events); });
  };
  if (!watch(client_fd, true).ok() || !watch(upstream_fd, false).ok()) drop(id, true);
}

void TcpRelay::on_event(uint64_t id, bool from_client, uint32_t events) {
  auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  if (!connection.connected) {
    if (from_client) {
      // The client may send before the container has accepted; look again once it has.
      if ((events & (EPOLLERR | EPOLLHUP)) != 0) drop(id, true);
      return;
    }
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(connection.upstream.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return drop(id, true);
    if ((events & EPOLLOUT) == 0) return;
    connection.connected = true;
  }
  if ((events & EPOLLERR) != 0) return drop(id, true);
  if (!pump(connection)) return drop(id, true);
  if (connection.up.shut && connection.down.shut) drop(id, false);
}

/** Both directions until neither moves any more. False: the connection is broken. */
bool TcpRelay::pump(Connection& connection) {
  return move(connection.client.get(), connection.upstream.get(), connection.up) &&
         move(connection.upstream.get(), connection.client.get(), connection.down);
}

bool TcpRelay::move(int from, int to, Flow& flow) {
  if (!flow.write_end) {
    auto made = make_pipe(O_NONBLOCK);
    if (!made.ok()) return false;
    flow.read_end = std::move(made->first);
    flow.write_end = std::move(made->second);
  }
  for (;;) {
    bool moved = false;
    if (!flow.ended && flow.waiting < kChunk) {
      ssize_t n = splice(from, nullptr, flow.write_end.get(), nullptr, kChunk - flow.waiting,
                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (n > 0) {
        flow.waiting += static_cast<size_t>(n);
        moved = true;
      } else if (n == 0) {
        flow.ended = true;
      } else if (errno != EAGAIN && errno != EINTR) {
        return false;
      }
    }
    if (flow.waiting > 0) {
      ssize_t n = splice(flow.read_end.get(), nullptr, to, nullptr, flow.waiting,
                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (n > 0) {
        flow.waiting -= static_cast<size_t>(n);
        moved = true;
      } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        return false;
      }
    }
    if (flow.ended && flow.waiting == 0 && !flow.shut) {
      flow.shut = true;
      shutdown(to, SHUT_WR);
    }
    if (!moved) return true;
  }
}

void TcpRelay::drop(uint64_t id, bool reset) {
  auto found = connections_.find(id);
  if (found == connections_.end()) return;
  std::unique_ptr<Connection> connection = std::move(found->second);
  connections_.erase(found);
  for (int fd : {connection->client.get(), connection->upstream.get()}) {
    loop_.remove(fd);
    if (reset) reset_on_close(fd);
  }
}

}  // namespace stack
