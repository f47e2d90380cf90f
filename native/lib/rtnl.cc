#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "netlink.h"

namespace stack::net {

namespace {

constexpr uint16_t kCreate = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
constexpr uint16_t kChange = NLM_F_REQUEST | NLM_F_ACK;
constexpr uint16_t kDump = NLM_F_REQUEST | NLM_F_DUMP;

ifinfomsg link_header(uint32_t index, unsigned flags, unsigned change) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = static_cast<int>(index);
  header.ifi_flags = flags;
  header.ifi_change = change;
  return header;
}

Status check_name(const std::string& name, std::string_view stage) {
  if (!name.empty() && name.size() < IFNAMSIZ && name.find('/') == std::string::npos) return ok();
  return fail(std::string(stage), "not a link name: \"" + name + "\"", EINVAL, name);
}

IpAddress address_of(int family, const Attribute& attribute) {
  IpAddress address;
  address.family = family;
  std::memcpy(address.bytes.data(), attribute.data.data(),
              std::min(attribute.data.size(), address.size()));
  return address;
}

std::string mac_text(std::span<const uint8_t> bytes) {
  std::string text;
  char part[4];
  for (uint8_t byte : bytes) {
    std::snprintf(part, sizeof part, "%s%02x", text.empty() ? "" : ":", byte);
    text += part;
  }
  return text;
}

Link parse_link(const Received& answer) {
  Link link;
  ifinfomsg header{};
  std::memcpy(&header, answer.payload.data(), sizeof header);
  link.index = static_cast<uint32_t>(header.ifi_index);
  link.up = (header.ifi_flags & IFF_UP) != 0;
  auto list = attributes(std::span(answer.payload).subspan(sizeof header));
  if (const auto* name = find(list, IFLA_IFNAME)) link.name = name->string();
  if (const auto* mtu = find(list, IFLA_MTU)) link.mtu = mtu->u32();
  if (const auto* master = find(list, IFLA_MASTER)) link.master = master->u32();
  if (const auto* mac = find(list, IFLA_ADDRESS)) link.mac = mac_text(mac->data);
  if (const auto* info = find(list, IFLA_LINKINFO)) {
    auto nested = attributes(info->data);
    if (const auto* kind = find(nested, IFLA_INFO_KIND)) link.kind = kind->string();
  }
  return link;
}

Route parse_route(const Received& answer) {
  Route route;
  rtmsg header{};
  std::memcpy(&header, answer.payload.data(), sizeof header);
  route.destination.address.family = header.rtm_family;
  route.destination.length = header.rtm_dst_len;
  route.table = header.rtm_table;
  route.type = header.rtm_type;
  for (const Attribute& a : attributes(std::span(answer.payload).subspan(sizeof header))) {
    if (a.type == RTA_DST) route.destination.address = address_of(header.rtm_family, a);
    if (a.type == RTA_GATEWAY) route.gateway = address_of(header.rtm_family, a);
    if (a.type == RTA_OIF) route.index = a.u32();
    if (a.type == RTA_TABLE) route.table = a.u32();
  }
  return route;
}

}  // namespace

Result<Rtnl> Rtnl::open(int netns_fd) {
  return Rtnl(TRY(NetlinkSocket::open(netns_fd, NETLINK_ROUTE)));
}

Result<uint32_t> Rtnl::index_of(const std::string& name) {
  TRY(check_name(name, "find link"));
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  // Any socket answers this one, in its own namespace; it costs a fraction of an RTM_GETLINK.
  if (::ioctl(socket_.fd(), SIOCGIFINDEX, &request) != 0)
    return sys_fail("find link", "ioctl SIOCGIFINDEX", name);
  return static_cast<uint32_t>(request.ifr_ifindex);
}

Result<void> Rtnl::add_bridge(const std::string& name, uint32_t mtu, std::optional<Mac> mac) {
  TRY(check_name(name, "create bridge"));
  Message message(RTM_NEWLINK, kCreate);
  ifinfomsg header = link_header(0, IFF_UP, IFF_UP);
  message.append(&header, sizeof header);
  message.put_string(IFLA_IFNAME, name);
  if (mtu != 0) message.put_u32(IFLA_MTU, mtu);
  if (mac) message.put(IFLA_ADDRESS, mac->data(), mac->size());
  size_t info = message.begin(IFLA_LINKINFO);
  message.put_string(IFLA_INFO_KIND, "bridge");
  message.end(info);
  return socket_.request(message, "create bridge", name);
}

Result<void> Rtnl::add_veth(const VethRequest& request) {
  TRY(check_name(request.name, "create veth"));
  TRY(check_name(request.peer_name, "create veth"));
  Message message(RTM_NEWLINK, kCreate);
  ifinfomsg header = link_header(0, IFF_UP, IFF_UP);
  message.append(&header, sizeof header);
  message.put_string(IFLA_IFNAME, request.name);
  if (request.mtu != 0) message.put_u32(IFLA_MTU, request.mtu);
  if (request.master != 0) message.put_u32(IFLA_MASTER, request.master);
  size_t info = message.begin(IFLA_LINKINFO);
  message.put_string(IFLA_INFO_KIND, "veth");
  size_t data = message.begin(IFLA_INFO_DATA);
  size_t peer = message.begin(VETH_INFO_PEER);
  // The peer is registered before it is paired, and a veth without its peer cannot come up
  // (ENOTCONN).
  ifinfomsg peer_header = link_header(0, 0, 0);
  message.append(&peer_header, sizeof peer_header);
  message.put_string(IFLA_IFNAME, request.peer_name);
  if (request.mtu != 0) message.put_u32(IFLA_MTU, request.mtu);
  if (request.peer_mac)
    message.put(IFLA_ADDRESS, request.peer_mac->data(), request.peer_mac->size());
  if (request.peer_netns >= 0)
    message.put_u32(IFLA_NET_NS_FD, static_cast<uint32_t>(request.peer_netns));
  message.end(peer);
  message.end(data);
  message.end(info);
  return socket_.request(message, "create veth", request.name);
}

Result<void> Rtnl::set_up(uint32_t index, bool up) {
  Message message(RTM_NEWLINK, kChange);
  ifinfomsg header = link_header(index, up ? IFF_UP : 0, IFF_UP);
  message.append(&header, sizeof header);
  return socket_.request(message, up ? "set link up" : "set link down", {});
}

Result<void> Rtnl::set_master(uint32_t index, uint32_t master) {
  Message message(RTM_NEWLINK, kChange);
  ifinfomsg header = link_header(index, 0, 0);
  message.append(&header, sizeof header);
  message.put_u32(IFLA_MASTER, master);
  return socket_.request(message, "set master", {});
}

Result<void> Rtnl::set_bridge_port(uint32_t index, std::optional<bool> hairpin,
                                   std::optional<bool> isolated) {
  Message message(RTM_SETLINK, kChange);
  ifinfomsg header = link_header(index, 0, 0);
  header.ifi_family = AF_BRIDGE;
  message.append(&header, sizeof header);
  size_t port = message.begin(IFLA_PROTINFO);
  if (hairpin) message.put_u8(IFLA_BRPORT_MODE, *hairpin ? 1 : 0);
  if (isolated) message.put_u8(IFLA_BRPORT_ISOLATED, *isolated ? 1 : 0);
  message.end(port);
  return socket_.request(message, "set bridge port", {});
}

Result<void> Rtnl::delete_link(const std::string& name) {
  TRY(check_name(name, "delete link"));
  Message message(RTM_DELLINK, kChange);
  ifinfomsg header = link_header(0, 0, 0);
  message.append(&header, sizeof header);
  message.put_string(IFLA_IFNAME, name);
  return socket_.request(message, "delete link", name);
}

Result<void> Rtnl::delete_link(uint32_t index) {
  Message message(RTM_DELLINK, kChange);
  ifinfomsg header = link_header(index, 0, 0);
  message.append(&header, sizeof header);
  return socket_.request(message, "delete link", {});
}

Result<void> Rtnl::add_address(uint32_t index, const Prefix& address) {
  Message message(RTM_NEWADDR, kCreate);
  ifaddrmsg header{};
  header.ifa_family = static_cast<uint8_t>(address.address.family);
  header.ifa_prefixlen = address.length;
  header.ifa_index = index;
  bool six = address.address.family == AF_INET6;
  if (six) header.ifa_flags = IFA_F_NODAD;
  message.append(&header, sizeof header);
  size_t size = address.address.size();
  message.put(IFA_LOCAL, address.address.bytes.data(), size);
  message.put(IFA_ADDRESS, address.address.bytes.data(), size);
  if (!six && address.length < 31) {
    std::array<uint8_t, 4> broadcast{};
    for (size_t i = 0; i < 4; ++i) {
      int host_bits = std::clamp(static_cast<int>((i + 1) * 8) - address.length, 0, 8);
      broadcast[i] = address.address.bytes[i] | static_cast<uint8_t>((1 << host_bits) - 1);
    }
    message.put(IFA_BROADCAST, broadcast.data(), broadcast.size());
  }
  return socket_.request(message, "add address", address.text());
}

namespace {

Message route_message(uint16_t type, uint16_t flags, const Prefix& destination,
                      const std::optional<IpAddress>& gateway, uint32_t index, bool onlink) {
  Message message(type, flags);
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(destination.address.family);
  header.rtm_dst_len = destination.length;
  header.rtm_table = RT_TABLE_MAIN;
  if (type == RTM_NEWROUTE) {
    header.rtm_protocol = RTPROT_STATIC;
    header.rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    header.rtm_type = RTN_UNICAST;
    if (onlink) header.rtm_flags = RTNH_F_ONLINK;
  } else {
    header.rtm_scope = RT_SCOPE_NOWHERE;
  }
  message.append(&header, sizeof header);
  if (destination.length > 0)
    message.put(RTA_DST, destination.address.bytes.data(), destination.address.size());
  if (gateway) message.put(RTA_GATEWAY, gateway->bytes.data(), gateway->size());
  if (index != 0) message.put_u32(RTA_OIF, index);
  return message;
}

}  // namespace

Result<void> Rtnl::add_route(const Prefix& destination, const std::optional<IpAddress>& gateway,
                             uint32_t index, const std::optional<IpAddress>& source, bool onlink) {
  Message message = route_message(RTM_NEWROUTE, kCreate, destination, gateway, index, onlink);
  if (source) message.put(RTA_PREFSRC, source->bytes.data(), source->size());
  return socket_.request(message, "add route", destination.text());
}

Result<void> Rtnl::delete_route(const Prefix& destination, const std::optional<IpAddress>& gateway,
                                uint32_t index) {
  Message message = route_message(RTM_DELROUTE, kChange, destination, gateway, index, false);
  return socket_.request(message, "delete route", destination.text());
}

Result<std::vector<Link>> Rtnl::links() {
  Message message(RTM_GETLINK, kDump);
  ifinfomsg header = link_header(0, 0, 0);
  message.append(&header, sizeof header);
  message.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  std::vector<Link> links;
  for (const Received& answer : TRY(socket_.query(message, "list links")))
    if (answer.type == RTM_NEWLINK && answer.payload.size() >= sizeof(ifinfomsg))
      links.push_back(parse_link(answer));
  return links;
}

Result<std::vector<Address>> Rtnl::addresses() {
  Message message(RTM_GETADDR, kDump);
  ifaddrmsg header{};
  message.append(&header, sizeof header);
  std::vector<Address> addresses;
  for (const Received& answer : TRY(socket_.query(message, "list addresses"))) {
    if (answer.type != RTM_NEWADDR || answer.payload.size() < sizeof header) continue;
    std::memcpy(&header, answer.payload.data(), sizeof header);
    auto list = attributes(std::span(answer.payload).subspan(sizeof header));
    const Attribute* local = find(list, IFA_LOCAL);
    if (local == nullptr) local = find(list, IFA_ADDRESS);
    if (local == nullptr) continue;
    addresses.push_back(
        {header.ifa_index, {address_of(header.ifa_family, *local), header.ifa_prefixlen}});
  }
  return addresses;
}

Result<std::vector<Route>> Rtnl::routes() {
  std::vector<Route> routes;
  for (int family : {AF_INET, AF_INET6}) {
    Message message(RTM_GETROUTE, kDump);
    rtmsg header{};
    header.rtm_family = static_cast<uint8_t>(family);
    message.append(&header, sizeof header);
    auto answers = socket_.query(message, "list routes");
    if (!answers.ok()) {
      // A kernel without IPv6 has no routes of it.
      if (family == AF_INET6) continue;
      return answers.failure();
    }
    for (const Received& answer : *answers)
      if (answer.type == RTM_NEWROUTE && answer.payload.size() >= sizeof(rtmsg))
        routes.push_back(parse_route(answer));
  }
  return routes;
}

// ---- a container's interfaces ----------------------------------------------------------------

namespace {

Status attach_one(Rtnl& container, Rtnl& router, int container_netns,
                  const ContainerInterface& interface) {
  VethRequest request;
  request.name = interface.peer;
  request.master = TRY(router.index_of(interface.bridge));
  request.mtu = interface.mtu;
  request.peer_name = interface.name;
  request.peer_netns = container_netns;
  request.peer_mac = interface.mac;
  auto made = router.add_veth(request);
  if (!made.ok() && made.failure().err == EEXIST && router.index_of(interface.peer).ok()) {
    TRY(router.delete_link(interface.peer));
    made = router.add_veth(request);
  }
  if (!made.ok()) return made;
  uint32_t index = TRY(container.index_of(interface.name));
  TRY(container.set_up(index, true));
  for (const Prefix& address : interface.addresses) TRY(container.add_address(index, address));
  for (const auto& gateway : {interface.gateway4, interface.gateway6}) {
    if (!gateway) continue;
    Prefix anywhere;
    anywhere.address.family = gateway->family;
    TRY(container.add_route(anywhere, gateway, index, std::nullopt, false));
  }
  return ok();
}

}  // namespace

Result<void> attach_container(int container_netns, int router_netns,
                              std::span<const ContainerInterface> interfaces,
                              std::vector<uint32_t>* peers) {
  if (interfaces.empty()) return ok();
  Rtnl container = TRY(Rtnl::open(container_netns));
  Rtnl router = TRY(Rtnl::open(router_netns));
  for (const ContainerInterface& interface : interfaces) {
    TRY(attach_one(container, router, container_netns, interface));
    if (peers != nullptr) peers->push_back(TRY(router.index_of(interface.peer)));
  }
  return ok();
}

Result<void> detach_container(int router_netns, std::span<const uint32_t> peers) {
  if (peers.empty()) return ok();
  Rtnl router = TRY(Rtnl::open(router_netns));
  for (uint32_t peer : peers) {
    auto gone = router.delete_link(peer);
    if (!gone.ok() && gone.failure().err != ENODEV) return gone;
  }
  return ok();
}

}  // namespace stack::net
