#pragma once
// nftables spoken by hand: one Batch is one transaction, all or nothing.
// Sources: include/uapi/linux/netfilter/{nf_tables,nfnetlink}.h; nft(8) for what the rules mean.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netlink.h"

namespace stack::nft {

/// nfnetlink families: NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_BRIDGE.
Result<uint8_t> parse_family(std::string_view name);
std::string_view family_name(uint8_t family);

/// The expressions of one rule, in the order in which the kernel runs them.
/// Registers are NFT_REG32_00 … (8 … 23), four bytes each, or NFT_REG_1 … (1 … 4), sixteen each.
class Rule {
 public:
  Rule& meta(uint32_t key, uint32_t dreg);
  Rule& ct(uint32_t key, uint32_t dreg);
  Rule& payload(uint32_t base, uint32_t offset, uint32_t length, uint32_t dreg);
  /// Writes `sreg` into the packet and mends the checksum at `checksum_offset` of the same header
  /// (< 0: none).
  Rule& payload_set(uint32_t base, uint32_t offset, uint32_t length, uint32_t sreg,
                    int checksum_offset);
  Rule& cmp(uint32_t op, uint32_t sreg, std::span<const uint8_t> value);
  Rule& bitwise(uint32_t sreg, uint32_t dreg, std::span<const uint8_t> mask,
                std::span<const uint8_t> xor_value);
  Rule& immediate(uint32_t dreg, std::span<const uint8_t> value);
  /// NF_ACCEPT, NF_DROP, NFT_RETURN, NFT_JUMP …; `chain` for jump and goto.
  Rule& verdict(int32_t code, std::string_view chain = {});
  /// Is the key in the set; with `dreg`, the map's value goes there.
  Rule& lookup(std::string_view set, uint32_t sreg, std::optional<uint32_t> dreg,
               bool inverted = false);
  Rule& fib(uint32_t result, uint32_t flags, uint32_t dreg);
  /// `type`: NFT_NAT_SNAT or NFT_NAT_DNAT; a port register of 0: the port stays.
  Rule& nat(uint32_t type, uint32_t family, uint32_t address_reg, uint32_t port_reg);
  Rule& masquerade();
  Rule& counter();

  /// NFTA_LIST_ELEM attributes.
  [[nodiscard]] std::span<const uint8_t> bytes() const { return list_.body(); }

 private:
  struct Open {
    size_t element;
    size_t data;
  };
  Open begin(std::string_view name);
  Rule& end(Open open);
  net::Message list_{0, 0};
};

struct Chain {
  std::string table;
  std::string name;
  std::string type;  // "filter", "nat", "route"; "" for a chain that is only jumped to
  uint32_t hook = 0;
  int32_t priority = 0;
  uint32_t policy = 1;  // NF_ACCEPT
};

struct Set {
  std::string table;
  std::string name;
  uint32_t id = 0;  // any number, unique in the batch
  uint32_t flags = 0;
  uint32_t key_type = 0;  // nft's own numbers, so that `nft list` prints it; concatenated by << 6
  uint32_t key_length = 0;
  uint32_t data_type = 0;  // 0: a set, else a map
  uint32_t data_length = 0;
};

struct Element {
  std::vector<uint8_t> key;
  std::vector<uint8_t> data;  // of a map; empty when deleting
  bool interval_end = false;
};

struct RuleInfo {
  uint8_t family = 0;
  std::string table;
  std::string chain;
  uint64_t handle = 0;
  std::vector<uint8_t> expressions;  // NFTA_RULE_EXPRESSIONS as the kernel tells it
  std::vector<uint8_t> userdata;
};

struct ChainInfo {
  uint8_t family = 0;
  std::string table;
  std::string name;
  std::string type;
  std::optional<uint32_t> hook;
  int32_t priority = 0;
  uint32_t policy = 1;
};

/// One transaction. Everything happens, or nothing.
class Batch {
 public:
  void add_table(uint8_t family, std::string_view table);
  /// With all it holds. A missing one is a failure (ENOENT): put `add_table` before it where that
  /// is no fault.
  void delete_table(uint8_t family, std::string_view table);
  void add_chain(uint8_t family, const Chain& chain);
  void delete_chain(uint8_t family, std::string_view table, std::string_view chain);
  /// At the end of the chain, or with `head` before all others.
  void add_rule(uint8_t family, std::string_view table, std::string_view chain, const Rule& rule,
                bool head = false, std::span<const uint8_t> userdata = {});
  void delete_rule(uint8_t family, std::string_view table, std::string_view chain, uint64_t handle);
  void flush_chain(uint8_t family, std::string_view table, std::string_view chain);
  void add_set(uint8_t family, const Set& set);
  /// `exclusive`: EEXIST if the key is there already.
  void add_elements(uint8_t family, std::string_view table, std::string_view set,
                    std::span<const Element> elements, bool exclusive = false);
  /// A missing one fails the batch (ENOENT).
  void delete_elements(uint8_t family, std::string_view table, std::string_view set,
                       std::span<const Element> elements);
  /// Number of commands so far.
  [[nodiscard]] size_t size() const { return messages_.size(); }
  /// Commits inside a namespace (-1: the current one). `failed_index` (may be null): which command
  /// failed.
  Result<void> commit(int netns_fd, std::string_view stage, size_t* failed_index = nullptr);

 private:
  static net::Message message(uint16_t type, uint16_t flags, uint8_t family);
  void push(net::Message message);
  std::vector<net::Message> messages_;
};

Result<std::vector<ChainInfo>> list_chains(int netns_fd);
Result<std::vector<RuleInfo>> list_rules(int netns_fd, uint8_t family, std::string_view table,
                                         std::string_view chain);

// ---- what the monitor needs ------------------------------------------------------------------

/// Inside a container's namespace: what goes to 127.0.0.11:53 reaches the given ports there, and
/// the answers come back from port 53. Stateless (the header is rewritten), so the namespace needs
/// no connection tracking. One transaction. `udp_port`, `tcp_port` in host byte order.
Result<void> redirect_dns(int container_netns, uint16_t udp_port, uint16_t tcp_port);

/// One published port. `host` unset: every local address of that family (the family of
/// `container`).
struct PublishedPort {
  uint8_t protocol = 0;  // IPPROTO_TCP or IPPROTO_UDP
  std::optional<net::IpAddress> host;
  uint16_t host_port = 0;
  net::IpAddress container;  // its family decides which map is used
  uint16_t container_port = 0;
};

/// `again`: elements that are there with the same target are left alone, unseen by who watches.
enum class Publishing { first, again };

/// Adds map elements in the host's table (MonitorSpec.network.natTable), all in one transaction. An
/// element that a killed monitor left for the same key is replaced. Loopback host addresses are
/// skipped: DNAT cannot serve them, the relay does. No element to add: no transaction.
Result<void> publish_ports(int host_netns, std::string_view table,
                           std::span<const PublishedPort> ports,
                           Publishing publishing = Publishing::first);
/// Removes them. Missing elements, or a missing table, are no failure.
Result<void> unpublish_ports(int host_netns, std::string_view table,
                             std::span<const PublishedPort> ports);
/// Forgets the host's connection tracking entries of UDP for these host ports, so that a client
/// that goes on sending is not held to the old destination. Without nf_conntrack this does nothing.
Result<void> forget_udp(int host_netns, std::span<const uint16_t> host_ports);

}  // namespace stack::nft
