#include "relay_socket.h"

#include "netlink.h"

#include <arpa/inet.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>

namespace stack {

uint16_t SocketAddress::port() const {
  if (family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
}

void SocketAddress::set_port(uint16_t port) {
  if (family() == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(storage).sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in&>(storage).sin_port = htons(port);
  }
}

std::string SocketAddress::key() const {
  std::string key(1, static_cast<char>(family()));
  auto append = [&key](const void* data, size_t size) {
    key.append(static_cast<const char*>(data), size);
  };
  if (family() == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    append(&v6.sin6_addr, sizeof v6.sin6_addr);
    append(&v6.sin6_port, sizeof v6.sin6_port);
    append(&v6.sin6_scope_id, sizeof v6.sin6_scope_id);
  } else {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    append(&v4.sin_addr, sizeof v4.sin_addr);
    append(&v4.sin_port, sizeof v4.sin_port);
  }
  return key;
}

bool parse_address(const std::string& text, int family, uint16_t port, SocketAddress* out) {
  *out = SocketAddress{};
  if (family == AF_INET6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(out->storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    out->length = sizeof v6;
    return text.empty() || inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1;
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(out->storage);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  out->length = sizeof v4;
  return text.empty() || inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1;
}

Result<UniqueFd> socket_in(int netns, int home, int family, int type) {
  if (Status home_again = net::return_home(); !home_again) return std::move(home_again).failure();
  if (netns >= 0 && setns(netns, CLONE_NEWNET) < 0)
    return sys_fail("enter network namespace", "setns");
  UniqueFd fd(socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int error = errno;
  // Staying in the wrong namespace would bind later ports in the wrong place: nothing to go on with.
  if (netns >= 0 && setns(home, CLONE_NEWNET) < 0) abort();
  if (!fd) return sys_fail("open socket", "socket", "", error);
  return fd;
}

}  // namespace stack
