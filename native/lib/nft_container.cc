// What a container's monitor asks of nftables: the way to its DNS, and its published ports.
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>

#include <algorithm>

#include "nft.h"

namespace stack::nft {

namespace {

constexpr std::string_view kDnsTable = "stack-dns";
constexpr std::array<uint8_t, 4> kDnsAddress{127, 0, 0, 11};
constexpr uint16_t kDnsPort = 53;
constexpr uint32_t kSource = 12;  // offsets in the IPv4 header
constexpr uint32_t kDestination = 16;
constexpr int kPriorityRaw = -300;  // before connection tracking, which then sees one port only
constexpr int kPriorityLate = 300;  // after everything else, right before the socket is looked up

std::array<uint8_t, 2> be16(uint16_t value) {
  return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value & 0xff)};
}

/// Packets whose address at `address_offset` is the DNS server's and whose port at `port_offset` is
/// `from`: make it `to`.
Rule rewrite_port(uint8_t protocol, uint32_t address_offset, uint32_t port_offset, uint16_t from,
                  uint16_t to) {
  int checksum = protocol == IPPROTO_UDP ? 6 : 16;
  Rule rule;
  rule.payload(NFT_PAYLOAD_NETWORK_HEADER, address_offset, 4, NFT_REG32_00)
      .cmp(NFT_CMP_EQ, NFT_REG32_00, kDnsAddress)
      .meta(NFT_META_L4PROTO, NFT_REG32_00)
      .cmp(NFT_CMP_EQ, NFT_REG32_00, std::span(&protocol, 1))
      .payload(NFT_PAYLOAD_TRANSPORT_HEADER, port_offset, 2, NFT_REG32_00)
      .cmp(NFT_CMP_EQ, NFT_REG32_00, be16(from))
      .immediate(NFT_REG32_00, be16(to))
      .payload_set(NFT_PAYLOAD_TRANSPORT_HEADER, port_offset, 2, NFT_REG32_00, checksum);
  return rule;
}

}  // namespace

Result<void> redirect_dns(int container_netns, uint16_t udp_port, uint16_t tcp_port) {
  Batch batch;
  batch.add_table(NFPROTO_IPV4, kDnsTable);
  std::string table(kDnsTable);
  batch.add_chain(NFPROTO_IPV4,
                  {table, "ask", "filter", NF_INET_LOCAL_OUT, kPriorityRaw, NF_ACCEPT});
  batch.add_chain(NFPROTO_IPV4,
                  {table, "answer", "filter", NF_INET_LOCAL_IN, kPriorityLate, NF_ACCEPT});
  for (auto [protocol, port] :
       {std::pair<uint8_t, uint16_t>{IPPROTO_UDP, udp_port}, {IPPROTO_TCP, tcp_port}}) {
    batch.add_rule(NFPROTO_IPV4, table, "ask",
                   rewrite_port(protocol, kDestination, 2, kDnsPort, port));
    batch.add_rule(NFPROTO_IPV4, table, "answer",
                   rewrite_port(protocol, kSource, 0, port, kDnsPort));
  }
  return batch.commit(container_netns, "redirect DNS");
}

// ---- published ports -------------------------------------------------------------------------

namespace {

/// The maps that the network room puts into the table; see src/network/rules.ts.
std::string map_of(const PublishedPort& port) {
  return std::string(port.host ? "addr" : "any") + (port.container.family == AF_INET6 ? "6" : "4");
}

void append(std::vector<uint8_t>& to, std::span<const uint8_t> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
  to.resize((to.size() + 3) & ~size_t{3});  // the parts of a concatenation fill whole registers
}

Element element_of(const PublishedPort& port, bool with_data) {
  Element element;
  if (port.host) append(element.key, std::span(port.host->bytes).first(port.host->size()));
  append(element.key, std::span(&port.protocol, 1));
  append(element.key, be16(port.host_port));
  if (!with_data) return element;
  append(element.data, std::span(port.container.bytes).first(port.container.size()));
  append(element.data, be16(port.container_port));
  return element;
}

bool is_loopback(const net::IpAddress& address) {
  if (address.family == AF_INET) return address.bytes[0] == 127;
  return address.text() == "::1";
}

std::vector<PublishedPort> translatable(std::span<const PublishedPort> ports) {
  std::vector<PublishedPort> list;
  for (PublishedPort port : ports) {
    if (port.host && (is_loopback(*port.host) || port.host->family != port.container.family))
      continue;
    if (port.host && std::ranges::all_of(port.host->bytes, [](uint8_t byte) { return byte == 0; }))
      port.host.reset();
    list.push_back(port);
  }
  return list;
}

}  // namespace

Result<void> publish_ports(int host_netns, std::string_view table,
                           std::span<const PublishedPort> all, Publishing publishing) {
  std::vector<PublishedPort> ports = translatable(all);
  if (ports.empty()) return ok();
  bool exclusive = publishing == Publishing::first;
  std::vector<bool> stale(ports.size());
  for (size_t attempt = 0;; ++attempt) {
    Batch batch;
    std::vector<size_t> owner;  // command → port
    for (size_t i = 0; i < ports.size(); ++i) {
      std::string map = map_of(ports[i]);
      Element bare = element_of(ports[i], false);
      Element full = element_of(ports[i], true);
      if (stale[i]) {
        batch.delete_elements(NFPROTO_INET, table, map, std::span(&bare, 1));
        owner.push_back(i);
      }
      batch.add_elements(NFPROTO_INET, table, map, std::span(&full, 1), exclusive);
      owner.push_back(i);
    }
    size_t failed = 0;
    auto done = batch.commit(host_netns, "publish ports", &failed);
    if (done.ok()) return done;
    int error = done.failure().err;
    bool again =
        (error == EEXIST || error == EBUSY) && failed < owner.size() && !stale[owner[failed]];
    if (!again || attempt > ports.size()) return done;
    stale[owner[failed]] = true;
  }
}

Result<void> unpublish_ports(int host_netns, std::string_view table,
                             std::span<const PublishedPort> all) {
  std::vector<PublishedPort> ports = translatable(all);
  while (!ports.empty()) {
    Batch batch;
    for (const PublishedPort& port : ports) {
      Element bare = element_of(port, false);
      batch.delete_elements(NFPROTO_INET, table, map_of(port), std::span(&bare, 1));
    }
    size_t failed = 0;
    auto done = batch.commit(host_netns, "unpublish ports", &failed);
    if (done.ok()) return done;
    if (done.failure().err != ENOENT || failed >= ports.size()) return done;
    ports.erase(ports.begin() + static_cast<ptrdiff_t>(failed));
  }
  return ok();
}

// ---- connection tracking ---------------------------------------------------------------------

namespace {

constexpr uint16_t ct_command(uint16_t type) {
  return static_cast<uint16_t>((NFNL_SUBSYS_CTNETLINK << 8) | type);
}

net::Message ct_message(uint16_t type, uint16_t flags, uint8_t family) {
  net::Message message(ct_command(type), static_cast<uint16_t>(NLM_F_REQUEST | flags));
  nfgenmsg header{family, NFNETLINK_V0, 0};
  message.append(&header, sizeof header);
  return message;
}

/// The original direction's tuple, if it is UDP to one of the ports.
const net::Attribute* udp_tuple(const std::vector<net::Attribute>& entry,
                                std::span<const uint16_t> ports) {
  const net::Attribute* tuple = net::find(entry, CTA_TUPLE_ORIG);
  if (tuple == nullptr) return nullptr;
  auto parts = net::attributes(tuple->data);
  const net::Attribute* proto = net::find(parts, CTA_TUPLE_PROTO);
  if (proto == nullptr) return nullptr;
  auto fields = net::attributes(proto->data);
  const net::Attribute* number = net::find(fields, CTA_PROTO_NUM);
  const net::Attribute* port = net::find(fields, CTA_PROTO_DST_PORT);
  if (number == nullptr || port == nullptr || number->data.empty() || port->data.size() < 2)
    return nullptr;
  if (number->data[0] != IPPROTO_UDP) return nullptr;
  auto value = static_cast<uint16_t>((port->data[0] << 8) | port->data[1]);
  return std::ranges::find(ports, value) == ports.end() ? nullptr : tuple;
}

}  // namespace

Result<void> forget_udp(int host_netns, std::span<const uint16_t> host_ports) {
  if (host_ports.empty()) return ok();
  auto socket = TRY(net::NetlinkSocket::open(host_netns, NETLINK_NETFILTER));
  auto message = ct_message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);
  auto entries = socket.query(message, "list connections");
  // A kernel without ctnetlink has nothing to forget by this way.
  if (!entries.ok())
    return entries.failure().err == EINVAL || entries.failure().err == EOPNOTSUPP
               ? ok()
               : Status(entries.failure());
  for (const net::Received& entry : *entries) {
    if (entry.payload.size() < sizeof(nfgenmsg)) continue;
    auto list = net::attributes(std::span(entry.payload).subspan(sizeof(nfgenmsg)));
    const net::Attribute* tuple = udp_tuple(list, host_ports);
    if (tuple == nullptr) continue;
    auto remove = ct_message(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, entry.payload[0]);
    remove.put(CTA_TUPLE_ORIG | NLA_F_NESTED, tuple->data.data(), tuple->data.size());
    auto gone = socket.request(remove, "forget connection", {});
    if (!gone.ok() && gone.failure().err != ENOENT) return gone;
  }
  return ok();
}

}  // namespace stack::nft
