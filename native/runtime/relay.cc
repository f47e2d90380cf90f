#include "relay.h"

#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "relay_socket.h"
#include "relay_tcp.h"
#include "relay_udp.h"

namespace stack {
namespace {

constexpr int kBacklog = 1024;
/** Connections accepted before other descriptors get their turn. */
constexpr int kBurst = 64;
/** Out of descriptors: how long no connection is accepted, milliseconds. */
constexpr int64_t kBreatherMs = 100;
/** How often a port that is free in one family but not in the other is given back for another. */
constexpr int kFreePortTries = 64;

struct Listener {
  UniqueFd fd;
  int family = AF_INET;
  bool udp = false;
  uint16_t container_port = 0;
};

std::string display(const PortSpec& port, const std::string& number) {
  std::string host = port.host_ip.empty() ? "0.0.0.0" : port.host_ip;
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return host + ":" + number + (port.udp ? "/udp" : "/tcp");
}

/** One socket for each connection, both its pipes and the other side: the default soft limit of 1024 is soon used up. */
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/** `port` 0: any free one. */
Result<UniqueFd> bind_one(const PortSpec& port, int family, uint16_t number) {
  std::string path = display(port, std::to_string(number));
  SocketAddress address;
  if (!parse_address(port.host_ip, family, number, &address))
    return fail("bind port", "\"" + port.host_ip + "\" is not an address", EINVAL, path);
  int type = port.udp ? SOCK_DGRAM : SOCK_STREAM;
  UniqueFd fd(socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return sys_fail("bind port", "socket", path);
  auto set = [&](int level, int option) {
    int on = 1;
    return setsockopt(fd.get(), level, option, &on, sizeof on) == 0;
  };
  bool done = family != AF_INET6 || set(IPPROTO_IPV6, IPV6_V6ONLY);
  if (done && port.udp) {
    // Answers must leave from the address that was asked, also where we listen on all of them.
    done = family == AF_INET6 ? set(IPPROTO_IPV6, IPV6_RECVPKTINFO) : set(IPPROTO_IP, IP_PKTINFO);
  } else if (done) {
    done = set(SOL_SOCKET, SO_REUSEADDR);
  }
  if (!done) return sys_fail("bind port", "setsockopt", path);
  if (bind(fd.get(), address.get(), address.length) < 0) return sys_fail("bind port", "bind", path);
  if (!port.udp && listen(fd.get(), kBacklog) < 0) {
    // Two sockets may be bound to one port with SO_REUSEADDR as long as neither listens.
    return sys_fail("bind port", errno == EADDRINUSE ? "bind" : "listen", path);
  }
  return fd;
}

Result<uint16_t> bound_number(int fd) {
  SocketAddress address;
  address.length = sizeof address.storage;
  if (getsockname(fd, address.get(), &address.length) < 0)
    return sys_fail("bind port", "getsockname");
  return address.port();
}

bool no_such_family(const Failure& failure) {
  return failure.err == EAFNOSUPPORT || failure.err == EADDRNOTAVAIL || failure.err == EPROTONOSUPPORT;
}

/** All families of one number; returns the number. */
Result<uint16_t> bind_number(const PortSpec& port, uint16_t number, std::vector<Listener>* out) {
  bool both = port.host_ip.empty();
  int first = port.host_ip.find(':') == std::string::npos ? AF_INET : AF_INET6;
  UniqueFd fd = TRY(bind_one(port, first, number));
  uint16_t bound = TRY(bound_number(fd.get()));
  if (both) {
    auto second = bind_one(port, AF_INET6, bound);
    if (!second.ok() && !no_such_family(second.failure())) return std::move(second).failure();
    if (second.ok())
      out->push_back({std::move(*second), AF_INET6, port.udp, port.container_port});
  }
  out->push_back({std::move(fd), first, port.udp, port.container_port});
  return bound;
}

Result<uint16_t> bind_spec(const PortSpec& port, std::vector<Listener>* out) {
  if (port.range) {
    auto [low, high] = *port.range;
    for (uint32_t number = low; number <= high; ++number) {
      auto bound = bind_number(port, static_cast<uint16_t>(number), out);
      if (bound.ok() || bound.failure().err != EADDRINUSE) return bound;
    }
    std::string path = display(port, std::to_string(low) + "-" + std::to_string(high));
    return sys_fail("bind port", "bind", path, EADDRINUSE);
  }
  auto bound = bind_number(port, port.host_port, out);
  for (int i = 0; port.host_port == 0 && !bound.ok() && bound.failure().err == EADDRINUSE && i < kFreePortTries; ++i)
    bound = bind_number(port, 0, out);
  return bound;
}

}  // namespace

class PortRelay::Impl {
 public:
  explicit Impl(EventLoop& loop) : loop(loop), tcp(loop) {}
  ~Impl() {
    loop.cancel(breather_);
    for (Listener& listener : listeners)
      if (!listener.udp) loop.remove(listener.fd.get());
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Status serve(const Target& to) {
    target = to;
    for (Listener& listener : listeners) {
      if (listener.udp) {
        auto relay = std::make_unique<UdpRelay>(loop, listener.fd.get(), address_for(listener),
                                                target.via_netns, target.host_netns);
        TRY(relay->start());
        udp_.push_back(std::move(relay));
      } else {
        TRY(watch(listener));
      }
    }
    return ok();
  }

  EventLoop& loop;
  std::vector<Listener> listeners;
  std::vector<BoundPort> bound;
  Target target;
  TcpRelay tcp;

 private:
  /** The container's address in the client's family, else in the one that it has. */
  SocketAddress address_for(const Listener& listener) const {
    bool six = target.address4.empty() || (listener.family == AF_INET6 && !target.address6.empty());
    SocketAddress address;
    parse_address(six ? target.address6 : target.address4, six ? AF_INET6 : AF_INET,
                  listener.container_port, &address);
    return address;
  }

  Status watch(Listener& listener) {
    Listener* one = &listener;
    return loop.add(listener.fd.get(), EPOLLIN, [this, one](uint32_t) { on_listener(*one); });
  }

  void on_listener(Listener& listener) {
    for (int i = 0; i < kBurst; ++i) {
      UniqueFd client(accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!client) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) take_breath();
        return;
      }
      SocketAddress address = address_for(listener);
      auto upstream = socket_in(target.via_netns, target.host_netns, address.family(), SOCK_STREAM);
      if (!upstream.ok()) {
        take_breath();
        return;
      }
      // Whether it succeeds is told by an event.
      if (connect(upstream->get(), address.get(), address.length) < 0 && errno != EINPROGRESS) continue;
      tcp.add(std::move(client), std::move(*upstream));
    }
  }

  /** Nothing can be accepted now, and level-triggered events would spin. */
  void take_breath() {
    if (breather_ != 0) return;
    for (Listener& listener : listeners)
      if (!listener.udp) loop.remove(listener.fd.get());
    breather_ = loop.after(kBreatherMs, [this] {
      breather_ = 0;
      for (Listener& listener : listeners)
        if (!listener.udp) (void)watch(listener).ok();
    });
  }

  std::vector<std::unique_ptr<UdpRelay>> udp_;
  EventLoop::TimerId breather_ = 0;
};

PortRelay::PortRelay(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PortRelay::~PortRelay() = default;

Result<std::unique_ptr<PortRelay>> PortRelay::bind(EventLoop& loop,
                                                   const std::vector<PortSpec>& ports) {
  if (!ports.empty()) raise_descriptor_limit();
  auto impl = std::make_unique<Impl>(loop);
  for (const PortSpec& port : ports) {
    uint16_t number = TRY(bind_spec(port, &impl->listeners));
    BoundPort bound = port;
    bound.host_port = number;
    impl->bound.push_back(bound);
  }
  return std::unique_ptr<PortRelay>(new PortRelay(std::move(impl)));
}

const std::vector<BoundPort>& PortRelay::bound() const { return impl_->bound; }

Status PortRelay::serve(const Target& target) { return impl_->serve(target); }

}  // namespace stack
