#include "container_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "monitor_record.h"
#include "netlink.h"
#include "nft.h"

namespace stack {

namespace {

constexpr uint32_t kDnsAddress = 0x7f00000b;  // 127.0.0.11

Result<net::ContainerInterface> interface_of(const InterfaceSpec& spec) {
  net::ContainerInterface interface;
  interface.name = spec.name;
  interface.peer = spec.peer;
  interface.bridge = spec.bridge;
  interface.mac = TRY(net::parse_mac(spec.mac));
  for (const std::string& address : spec.addresses)
    interface.addresses.push_back(TRY(net::parse_prefix(address)));
  if (!spec.gateway4.empty()) interface.gateway4 = TRY(net::parse_ip(spec.gateway4));
  if (!spec.gateway6.empty()) interface.gateway6 = TRY(net::parse_ip(spec.gateway6));
  interface.mtu = spec.mtu;
  return interface;
}

// The namespace of another container: its monitor holds it; failing that, its PID 1.
Result<UniqueFd> joined_netns(const std::string& directory) {
  constexpr const char* kStage = "join network";
  auto record = read_record(directory);
  if (!record)
    return fail(kStage, "the container whose network is to be shared does not run", ENOENT,
                directory);
  if (!record->netns.empty()) {
    if (auto fd = net::open_netns(record->netns)) return fd;
  }
  auto start = process_start_time(record->pid);
  if (record->pid == 0 || !start || *start != record->pid_start)
    return fail(kStage, "the container whose network is to be shared does not run", ESRCH,
                directory);
  return net::open_netns("/proc/" + std::to_string(record->pid) + "/ns/net");
}

Result<UniqueFd> dns_socket(int netns, int type, uint16_t& port) {
  constexpr const char* kStage = "open DNS socket";
  UniqueFd fd = TRY(net::socket_in(netns, AF_INET, type | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(kDnsAddress);
  socklen_t length = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) < 0)
    return sys_fail(kStage, "bind", "127.0.0.11");
  if (type == SOCK_STREAM && ::listen(fd.get(), 64) < 0)
    return sys_fail(kStage, "listen", "127.0.0.11");
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) < 0)
    return sys_fail(kStage, "getsockname", "127.0.0.11");
  port = ntohs(address.sin_port);
  return fd;
}

std::vector<nft::PublishedPort> dnat_of(const NetworkSpec& spec,
                                        const std::vector<BoundPort>& ports) {
  std::vector<nft::PublishedPort> list;
  auto add = [&](const BoundPort& port, const std::string& target) {
    auto address = net::parse_ip(target);
    if (!address) return;
    nft::PublishedPort published{static_cast<uint8_t>(port.udp ? IPPROTO_UDP : IPPROTO_TCP),
                                 std::nullopt, port.host_port, *address, port.container_port};
    if (!port.host_ip.empty()) {
      auto host = net::parse_ip(port.host_ip);
      if (!host || host->family != address->family) return;
      published.host = *host;
    }
    list.push_back(published);
  };
  for (const BoundPort& port : ports) {
    if (!spec.address4.empty()) add(port, spec.address4);
    if (!spec.address6.empty()) add(port, spec.address6);
  }
  return list;
}

}  // namespace

Status ContainerNetwork::open_router() {
  host_ = TRY(net::open_netns("/proc/self/ns/net"));
  if (!spec_->router.empty()) router_ = TRY(net::open_netns(spec_->router));
  return ok();
}

Result<ContainerNetwork> ContainerNetwork::create(const NetworkSpec& spec) {
  ContainerNetwork network(spec);
  TRY(network.open_router());
  switch (spec.mode) {
    case NetworkMode::host:
      return network;
    case NetworkMode::join:
      network.netns_ = TRY(joined_netns(spec.join));
      return network;
    case NetworkMode::none:
    case NetworkMode::isolated:
      network.netns_ = TRY(net::create_netns());
      break;
  }
  std::vector<net::ContainerInterface> interfaces;
  for (const InterfaceSpec& interface : spec.interfaces)
    interfaces.push_back(TRY(interface_of(interface)));
  if (!interfaces.empty() && !network.router_)
    return fail("attach network", "interfaces without a router", EINVAL, "network.router");
  TRY(net::attach_container(network.netns(), network.router_.get(), interfaces, &network.peers_));
  if (spec.dns) TRY(network.open_dns(false));
  return network;
}

Result<ContainerNetwork> ContainerNetwork::adopt(const NetworkSpec& spec, pid_t pid) {
  ContainerNetwork network(spec);
  TRY(network.open_router());
  if (spec.mode == NetworkMode::host) return network;
  network.netns_ = TRY(net::open_netns("/proc/" + std::to_string(pid) + "/ns/net"));
  if (spec.mode == NetworkMode::isolated && network.router_ && !spec.interfaces.empty()) {
    net::Rtnl router = TRY(net::Rtnl::open(network.router_.get()));
    for (const InterfaceSpec& interface : spec.interfaces)
      if (auto index = router.index_of(interface.peer)) network.peers_.push_back(*index);
  }
  if (spec.dns && spec.mode != NetworkMode::join) TRY(network.open_dns(true));
  return network;
}

Status ContainerNetwork::open_dns(bool replace) {
  uint16_t udp = 0, tcp = 0;
  dns_udp_ = TRY(dns_socket(netns(), SOCK_DGRAM, udp));
  dns_tcp_ = TRY(dns_socket(netns(), SOCK_STREAM, tcp));
  if (replace) {
    nft::Batch batch;  // the rules of the monitor before: they lead to its sockets
    batch.add_table(NFPROTO_IPV4, "stack-dns");
    batch.delete_table(NFPROTO_IPV4, "stack-dns");
    TRY(batch.commit(netns(), "redirect DNS"));
  }
  return nft::redirect_dns(netns(), udp, tcp);
}

std::string ContainerNetwork::path() const {
  if (!netns_) return "/proc/self/ns/net";
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(netns_.get());
}

std::string ContainerNetwork::address4() const { return router_ ? spec_->address4 : "127.0.0.1"; }

std::string ContainerNetwork::address6() const { return router_ ? spec_->address6 : "::1"; }

Status ContainerNetwork::publish(const std::vector<BoundPort>& ports) {
  if (spec_->nat_table.empty() || ports.empty()) return ok();
  auto list = dnat_of(*spec_, ports);
  TRY(nft::publish_ports(-1, spec_->nat_table, list));
  published_ = ports;
  std::vector<uint16_t> udp;
  for (const BoundPort& port : ports)
    if (port.udp) udp.push_back(port.host_port);
  if (!udp.empty()) return nft::forget_udp(-1, udp);
  return ok();
}

Status ContainerNetwork::publish_again() const {
  auto list = dnat_of(*spec_, published_);
  return nft::publish_ports(-1, spec_->nat_table, list, nft::Publishing::again);
}

void ContainerNetwork::unpublish() {
  if (published_.empty()) return;
  (void)nft::unpublish_ports(-1, spec_->nat_table, dnat_of(*spec_, published_));
  std::vector<uint16_t> udp;
  for (const BoundPort& port : published_)
    if (port.udp) udp.push_back(port.host_port);
  if (!udp.empty()) (void)nft::forget_udp(-1, udp);
  published_.clear();
}

Status ContainerNetwork::close() {
  unpublish();
  Status detached;
  if (router_) detached = net::detach_container(router_.get(), peers_);
  peers_.clear();
  dns_udp_.reset();
  dns_tcp_.reset();
  netns_.reset();
  router_.reset();
  return detached;
}

}  // namespace stack
