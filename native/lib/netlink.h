#pragma once
// rtnetlink spoken by hand: links, addresses, routes and network namespaces. No libmnl, no `ip`
// program. Sources: rtnetlink(7), netlink(7), include/uapi/linux/{rtnetlink,if_link,veth}.h.
// Whatever enters a namespace moves the calling thread for a moment and brings it back: callers are
// single-threaded (the monitor) or use a thread of their own (the addon).

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fd.h"
#include "result.h"

struct nlmsghdr;

namespace stack::net {

// ---- addresses -------------------------------------------------------------------------------

struct IpAddress {
  int family = 0;  // AF_INET or AF_INET6
  std::array<uint8_t, 16> bytes{};
  [[nodiscard]] size_t size() const;
  [[nodiscard]] std::string text() const;
  bool operator==(const IpAddress&) const = default;
};

struct Prefix {
  IpAddress address;
  uint8_t length = 0;
  [[nodiscard]] std::string text() const;  // 10.0.0.2/24
};

using Mac = std::array<uint8_t, 6>;

Result<IpAddress> parse_ip(std::string_view text);
/// `10.0.0.2/24`; without a length the host's own (/32, /128).
Result<Prefix> parse_prefix(std::string_view text);
/// `02:42:ac:11:00:02`.
Result<Mac> parse_mac(std::string_view text);

// ---- namespaces ------------------------------------------------------------------------------

/// A new network namespace as a descriptor, its `lo` up. It lives as long as somebody holds it.
Result<UniqueFd> create_netns();
/// Opens a pinned or /proc namespace file, and refuses anything that is not a network namespace.
Result<UniqueFd> open_netns(const std::string& path);

/// The calling thread is inside the namespace until the end of the scope. -1: stays where it is.
class NetnsScope {
 public:
  static Result<NetnsScope> enter(int netns_fd);
  /// Already elsewhere: goes back to `back` at the end of the scope.
  static NetnsScope from(UniqueFd back) { return NetnsScope(std::move(back)); }
  NetnsScope(NetnsScope&& other) noexcept;
  NetnsScope& operator=(NetnsScope&&) = delete;
  NetnsScope(const NetnsScope&) = delete;
  NetnsScope& operator=(const NetnsScope&) = delete;
  /// If the way back is closed, everything here that begins in the own namespace first tries it
  /// again, and fails as long as it does.
  ~NetnsScope();

 private:
  explicit NetnsScope(UniqueFd back) : back_(std::move(back)) {}
  UniqueFd back_;
};

/// For who is about to do something else in this thread's own namespace: start a program, clone.
Status return_home();

/// socket(2) born in a namespace (-1: the current one). SOCK_CLOEXEC is added.
Result<UniqueFd> socket_in(int netns_fd, int domain, int type, int protocol);

// ---- messages --------------------------------------------------------------------------------

/// One netlink message under construction: header, family header, attributes (nested to any depth).
class Message {
 public:
  Message(uint16_t type, uint16_t flags);
  void append(const void* data, size_t size);  // fixed header after nlmsghdr
  void put(uint16_t type, const void* data, size_t size);
  void put_string(uint16_t type, std::string_view text);  // with its NUL
  void put_u8(uint16_t type, uint8_t value);
  void put_u16(uint16_t type, uint16_t value);
  void put_u32(uint16_t type, uint32_t value);
  void put_be16(uint16_t type, uint16_t value);
  void put_be32(uint16_t type, uint32_t value);
  void put_be64(uint16_t type, uint64_t value);
  [[nodiscard]] size_t begin(uint16_t type);  // nested attribute; pass the value to end()
  void end(size_t at);
  void set_sequence(uint32_t sequence);
  void add_flags(uint16_t flags);
  [[nodiscard]] std::span<const uint8_t> finish();
  /// What comes after nlmsghdr.
  [[nodiscard]] std::span<const uint8_t> body() const;

 private:
  std::vector<uint8_t> bytes_;
};

struct Attribute {
  uint16_t type = 0;  // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
  std::span<const uint8_t> data;
  [[nodiscard]] uint32_t u32() const;
  [[nodiscard]] uint32_t be32() const;
  [[nodiscard]] uint64_t be64() const;
  [[nodiscard]] std::string string() const;
};

/// Malformed lengths end the list; nothing is read outside `data`.
std::vector<Attribute> attributes(std::span<const uint8_t> data);
const Attribute* find(const std::vector<Attribute>& list, uint16_t type);

struct Received {
  uint16_t type = 0;
  std::vector<uint8_t> payload;  // after nlmsghdr
};

/// One netlink socket. Failures carry the kernel's own words (extended acknowledgement) in
/// `message`.
class NetlinkSocket {
 public:
  /// `protocol`: NETLINK_ROUTE or NETLINK_NETFILTER; born in the namespace (-1: the current one).
  static Result<NetlinkSocket> open(int netns_fd, int protocol);
  /// Sends and waits for the acknowledgement. `stage` names the step in a failure, `path` the
  /// thing.
  Result<void> request(Message& message, std::string_view stage, std::string_view path);
  /// A dump, or a single answer; interrupted dumps are done again.
  Result<std::vector<Received>> query(Message& message, std::string_view stage);
  /// Several messages already framed by nfnetlink's batch begin/end. `first_sequence` is the first
  /// command's; `failed_index` (may be null) gets the number of the command that failed, from 0.
  Result<void> batch(std::span<const uint8_t> bytes, uint32_t first_sequence,
                     std::string_view stage, size_t* failed_index);
  [[nodiscard]] int fd() const { return fd_.get(); }
  uint32_t next_sequence() { return ++sequence_; }

 private:
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

// ---- links, addresses, routes ----------------------------------------------------------------

struct Link {
  uint32_t index = 0;
  std::string name;
  std::string kind;  // "bridge", "veth", "" for a physical one
  uint32_t master = 0;
  uint32_t mtu = 0;
  bool up = false;
  std::string mac;
};

struct Address {
  uint32_t index = 0;
  Prefix prefix;
};

struct Route {
  Prefix destination;  // length 0: default
  std::optional<IpAddress> gateway;
  uint32_t index = 0;
  uint32_t table = 0;
  uint8_t type = 0;  // RTN_UNICAST …
};

/// One end of a veth pair, and the other one, born in its own namespace.
struct VethRequest {
  std::string name;       // end in this socket's namespace
  uint32_t master = 0;    // bridge that it joins; 0: none
  uint32_t mtu = 0;       // of both ends; 0: the kernel's
  std::string peer_name;  // end in `peer_netns`
  int peer_netns = -1;    // -1: the same namespace
  std::optional<Mac> peer_mac;
};

class Rtnl {
 public:
  static Result<Rtnl> open(int netns_fd = -1);
  Result<uint32_t> index_of(const std::string& name);  // ENODEV if there is none
  Result<void> add_bridge(const std::string& name, uint32_t mtu, std::optional<Mac> mac);
  /// This end comes up at once; its peer is for the caller to bring up.
  Result<void> add_veth(const VethRequest& request);
  Result<void> set_up(uint32_t index, bool up);
  Result<void> set_master(uint32_t index, uint32_t master);
  Result<void> set_bridge_port(uint32_t index, std::optional<bool> hairpin,
                               std::optional<bool> isolated);
  Result<void> delete_link(const std::string& name);
  Result<void> delete_link(uint32_t index);
  /// IPv6 addresses are usable at once (no duplicate address detection).
  Result<void> add_address(uint32_t index, const Prefix& address);
  /// `index` 0: by the gateway alone. EEXIST if there is one for that destination.
  Result<void> add_route(const Prefix& destination, const std::optional<IpAddress>& gateway,
                         uint32_t index, const std::optional<IpAddress>& source, bool onlink);
  Result<void> delete_route(const Prefix& destination, const std::optional<IpAddress>& gateway,
                            uint32_t index);
  Result<std::vector<Link>> links();
  Result<std::vector<Address>> addresses();
  Result<std::vector<Route>> routes();

 private:
  explicit Rtnl(NetlinkSocket socket) : socket_(std::move(socket)) {}
  NetlinkSocket socket_;
};

// ---- a container's interfaces ----------------------------------------------------------------

struct ContainerInterface {
  std::string name;    // in the container: eth0
  std::string peer;    // in the router
  std::string bridge;  // in the router
  Mac mac{};
  std::vector<Prefix> addresses;
  std::optional<IpAddress> gateway4;
  std::optional<IpAddress> gateway6;
  uint32_t mtu = 1500;
};

/// The whole network of one container: for each interface a veth pair (made from the router's side,
/// its other end born in the container's namespace, both up, port of the bridge), addresses,
/// default routes. A peer of the same name left by a killed monitor is removed first. Measured:
/// about half a millisecond for one interface. `peers` takes the indices of the ends in the router.
Result<void> attach_container(int container_netns, int router_netns,
                              std::span<const ContainerInterface> interfaces,
                              std::vector<uint32_t>* peers = nullptr);
/// Removes the ends in the router (and with them the pairs), by index: a new run's of the same name
/// stay. Missing ones are no failure. Each waits for a grace period of RCU, 10 to 30 ms, so that
/// nobody should be waiting meanwhile. Not needed when the container's namespace ends, which takes
/// the pairs along, but somebody else may hold that.
Result<void> detach_container(int router_netns, std::span<const uint32_t> peers);

}  // namespace stack::net
