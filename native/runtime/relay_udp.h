#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "fd.h"
#include "loop.h"
#include "relay.h"
#include "relay_socket.h"

namespace stack {

/**
 * One published UDP port: a session for each client address (and each local address that it spoke to, so that
 * the answer comes from there), with a socket of its own towards the container.
 */
class UdpRelay {
 public:
  /** `listener` is bound, non-blocking, and stays the caller's; packets' local addresses are asked for here. */
  UdpRelay(EventLoop& loop, int listener, SocketAddress target, int via_netns, int host_netns);
  ~UdpRelay();
  UdpRelay(const UdpRelay&) = delete;
  UdpRelay& operator=(const UdpRelay&) = delete;

  Status start();

 private:
  struct Session {
    UniqueFd socket;
    SocketAddress client;
    /** Ancillary data that makes the answer leave from the address that was asked. */
    std::string source;
    int64_t last_used = 0;
  };

  void on_listener();
  void on_session(const std::string& key);
  Session* session_for(const SocketAddress& client, std::string source);
  void sweep();
  void close_session(const std::string& key);

  EventLoop& loop_;
  int listener_;
  SocketAddress target_;
  int via_netns_, host_netns_;
  EventLoop::TimerId sweeper_ = 0;
  std::unordered_map<std::string, std::unique_ptr<Session>> sessions_;
};

}  // namespace stack
