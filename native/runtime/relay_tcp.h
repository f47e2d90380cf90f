#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "fd.h"
#include "loop.h"
#include "relay_socket.h"

namespace stack {

/** TCP connections between clients and the container. */
class TcpRelay {
 public:
  explicit TcpRelay(EventLoop& loop) : loop_(loop) {}
  ~TcpRelay();
  TcpRelay(const TcpRelay&) = delete;
  TcpRelay& operator=(const TcpRelay&) = delete;

  /** Takes over a client that was accepted and a non-blocking socket on which connect() was called. */
  void add(UniqueFd client, UniqueFd upstream);

 private:
  /** One direction: what was read from one side and waits in a pipe for the other. */
  struct Flow {
    UniqueFd read_end, write_end;
    size_t waiting = 0;
    bool ended = false;  // end of input was seen
    bool shut = false;   // and passed on
  };
  struct Connection {
    UniqueFd client, upstream;
    Flow up, down;
    bool connected = false;
  };

  void on_event(uint64_t id, bool from_client, uint32_t events);
  bool pump(Connection& connection);
  bool move(int from, int to, Flow& flow);
  void drop(uint64_t id, bool reset);

  EventLoop& loop_;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  uint64_t next_ = 1;
};

}  // namespace stack
