// Parsing in native/lib/netlink: what is written in a stack file, and what comes from a socket.
// Built with the sanitizers by test/integration/network-native.test.ts; says what failed and ends
// with 1.
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cstdio>
#include <random>

#include "netlink.h"
#include "nft.h"

using namespace stack;

namespace {

int failures = 0;

void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "FAILED: %s\n", what);
  ++failures;
}

void addresses() {
  for (const char* text : {"10.0.0.1", "::", "::1", "fd00::1:2", "2001:db8:1:1:1:1:1:1"}) {
    auto ip = net::parse_ip(text);
    check(ip.ok() && ip->text() == text, text);
  }
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "x", ":::", "1.2.3.4 "})
    check(!net::parse_ip(text).ok(), "what is no address is refused");
  auto prefix = net::parse_prefix("10.0.0.2/24");
  check(prefix.ok() && prefix->length == 24 && prefix->text() == "10.0.0.2/24",
        "a prefix keeps its host bits");
  check(net::parse_prefix("10.0.0.2").ok() && net::parse_prefix("10.0.0.2")->length == 32,
        "without a length it is the host alone");
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "::/129"})
    check(!net::parse_prefix(text).ok(), text);
  auto mac = net::parse_mac("02:42:ac:11:00:0f");
  check(mac.ok() && (*mac)[0] == 2 && (*mac)[5] == 15, "a MAC address is read");
  for (const char* text :
       {"", "02:42:ac:11:00", "02:42:ac:11:00:0g", "02:42:ac:11:00:0", "024:2:ac:11:00:0f"})
    check(!net::parse_mac(text).ok(), "what is no MAC address is refused");
}

void messages() {
  net::Message message(1, NLM_F_REQUEST);
  message.put_string(1, "a");
  size_t outer = message.begin(2);
  message.put_u32(3, 0x01020304);
  message.put_be16(4, 53);
  size_t inner = message.begin(5);
  message.end(inner);
  message.end(outer);
  auto list = net::attributes(message.body());
  const net::Attribute* name = net::find(list, 1);
  const net::Attribute* nested = net::find(list, 2);
  check(list.size() == 2 && name != nullptr && name->string() == "a",
        "attributes are read as written");
  check(nested != nullptr && net::attributes(nested->data).size() == 3, "nested ones too");
  check(message.finish().size() % 4 == 0, "messages are aligned");
}

/// No byte that the kernel (or anybody) sends may make us read outside.
void garbage() {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> bytes(random() % 64);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % 16);
    for (const net::Attribute& attribute : net::attributes(bytes)) {
      (void)attribute.u32();
      (void)attribute.be64();
      (void)attribute.string();
      (void)net::attributes(attribute.data);
    }
  }
}

void names() {
  check(nft::parse_family("inet").ok() && !nft::parse_family("arp2").ok(), "families have names");
  auto rtnl = net::Rtnl::open();
  check(rtnl.ok(), "a netlink socket opens");
  if (!rtnl.ok()) return;
  auto missing = rtnl->index_of("no-such-link");
  check(!missing.ok() && missing.failure().err == ENODEV, "a missing link is ENODEV");
  check(!rtnl->index_of("a-name-that-is-far-too-long").ok(), "a long name is refused, not cut");
  check(!rtnl->delete_link("").ok(), "an empty name deletes nothing");
  auto lo = rtnl->index_of("lo");
  check(lo.ok() && *lo == 1, "lo is found");
}

}  // namespace

int main() {
  addresses();
  messages();
  garbage();
  names();
  return failures == 0 ? 0 : 1;
}
