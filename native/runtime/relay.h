#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fd.h"
#include "loop.h"
#include "monitor_spec.h"
#include "result.h"

namespace stack {

/**
 * Published ports: binds them on the host, so that nobody else can, and relays what arrives to the container:
 * TCP by splice with half-close and back-pressure, UDP with one socket for each client.
 *
 * bind() is called in the host's network namespace before the container starts; serve() when the container's address
 * can be reached. Connections towards the container are born in `via_netns` (the router's, else the
 * container's), so that the host's own filters and routes do not matter; clients then appear as the network's gateway.
 */
class PortRelay {
 public:
  ~PortRelay();
  PortRelay(const PortRelay&) = delete;
  PortRelay& operator=(const PortRelay&) = delete;

  /** On failure nothing stays bound: stage "bind port", path "0.0.0.0:8080/tcp". */
  static Result<std::unique_ptr<PortRelay>> bind(EventLoop& loop, const std::vector<PortSpec>& ports);

  /** What was bound, free ones resolved; host_ip as asked ("" = all addresses, IPv4 and IPv6). */
  const std::vector<BoundPort>& bound() const;

  struct Target {
    /** Where sockets towards the container are born, and where the monitor itself lives. Stay the caller's. */
    int via_netns = -1;
    int host_netns = -1;
    /** "" where the container has none. A client of either family is served by the one that there is. */
    std::string address4, address6;
  };
  /** Begins to accept. What connected meanwhile waited in the backlog. */
  Status serve(const Target& target);

 private:
  class Impl;
  explicit PortRelay(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace stack
