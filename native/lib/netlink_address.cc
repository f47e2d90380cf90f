#include <arpa/inet.h>
#include <sys/socket.h>

#include <charconv>

#include "netlink.h"

namespace stack::net {

size_t IpAddress::size() const { return family == AF_INET6 ? 16 : 4; }

std::string IpAddress::text() const {
  char buffer[INET6_ADDRSTRLEN] = {};
  if (inet_ntop(family, bytes.data(), buffer, sizeof buffer) == nullptr) return {};
  return buffer;
}

std::string Prefix::text() const { return address.text() + "/" + std::to_string(length); }

Result<IpAddress> parse_ip(std::string_view text) {
  IpAddress address;
  std::string copy(text);
  address.family = copy.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (inet_pton(address.family, copy.c_str(), address.bytes.data()) != 1)
    return fail("parse address", "not an IP address: \"" + copy + "\"", EINVAL, copy);
  return address;
}

Result<Prefix> parse_prefix(std::string_view text) {
  size_t slash = text.find('/');
  Prefix prefix;
  prefix.address = TRY(parse_ip(text.substr(0, slash)));
  unsigned limit = static_cast<unsigned>(prefix.address.size() * 8);
  unsigned length = limit;
  if (slash != std::string_view::npos) {
    std::string_view digits = text.substr(slash + 1);
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (error != std::errc() || end != digits.data() + digits.size() || length > limit)
      return fail("parse prefix", "not a prefix: \"" + std::string(text) + "\"", EINVAL,
                  std::string(text));
  }
  prefix.length = static_cast<uint8_t>(length);
  return prefix;
}

Result<Mac> parse_mac(std::string_view text) {
  Mac mac{};
  bool good = text.size() == 17;
  for (size_t i = 0; good && i < mac.size(); ++i) {
    const char* at = text.data() + i * 3;
    auto [end, error] = std::from_chars(at, at + 2, mac[i], 16);
    good = error == std::errc() && end == at + 2 && (i == 5 || (at[2] == ':' || at[2] == '-'));
  }
  if (!good)
    return fail("parse MAC address", "not a MAC address: \"" + std::string(text) + "\"", EINVAL,
                std::string(text));
  return mac;
}

}  // namespace stack::net
