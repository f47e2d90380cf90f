#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "fd.h"
#include "monitor_spec.h"
#include "result.h"

namespace stack {

/**
 * One container's network: its namespace, its interfaces, its way to the DNS server, and the
 * elements of the host's DNAT maps. Lives as long as the monitor, across all restarts of the
 * container.
 */
class ContainerNetwork {
 public:
  /** Makes (or joins) the namespace, and in it the interfaces and the DNS sockets. */
  static Result<ContainerNetwork> create(const NetworkSpec& spec);
  /** Finds the namespace of a living container again; opens new DNS sockets. */
  static Result<ContainerNetwork> adopt(const NetworkSpec& spec, pid_t pid);

  /** -1: the host's. */
  int netns() const { return netns_.get(); }
  /** Where sockets towards the container are born: the router's namespace, else the container's. */
  int via() const { return router_ ? router_.get() : netns_.get(); }
  int host() const { return host_.get(); }
  /** Path that opens the namespace while this process lives. */
  std::string path() const;
  /** Address of the container as `via` sees it. */
  std::string address4() const;
  std::string address6() const;

  bool has_dns() const { return dns_udp_.valid(); }
  int dns_udp() const { return dns_udp_.get(); }
  int dns_tcp() const { return dns_tcp_.get(); }

  /** DNAT for what was bound. Without a table: nothing, everything is relayed. */
  Status publish(const std::vector<BoundPort>& ports);
  /** Puts those elements back after somebody emptied the host's tables. */
  Status publish_again() const;
  /** Takes the elements out of the maps: from now on others may publish the same ports. */
  void unpublish();
  /** Gives everything back: maps, interfaces. Never fails half-way. Takes tens of milliseconds
   * (net::detach_container). Links that cannot be deleted go with their namespace, a moment later. */
  Status close();

 private:
  explicit ContainerNetwork(const NetworkSpec& spec) : spec_(&spec) {}
  Status open_router();
  Status open_dns(bool replace);

  const NetworkSpec* spec_;
  UniqueFd netns_, router_, host_;
  UniqueFd dns_udp_, dns_tcp_;
  std::vector<BoundPort> published_;
  std::vector<uint32_t> peers_;  // indices of our ends in the router
};

}  // namespace stack
