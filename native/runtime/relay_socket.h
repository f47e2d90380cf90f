#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <string>

#include "fd.h"
#include "result.h"

namespace stack {

/** An address and port of either family. */
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  uint16_t port() const;
  void set_port(uint16_t port);
  /** Usable as a key: equal exactly if family, address, port and scope are. */
  std::string key() const;
};

/** Numeric addresses only; "" with a family is that family's any-address. */
bool parse_address(const std::string& text, int family, uint16_t port, SocketAddress* out);

/** A non-blocking socket that belongs to network namespace `netns`; the caller comes back to `home`. */
Result<UniqueFd> socket_in(int netns, int home, int family, int type);

}  // namespace stack
