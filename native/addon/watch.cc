// Tells when somebody changes the host's nftables, so that nobody has to look again and again.
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <span>
#include <thread>

#include "convert.h"
#include "fd.h"

namespace stack::addon {

namespace {

/// Shared by the thread that listens and the object that ends it.
struct Watch {
  UniqueFd socket;
  UniqueFd stop;
  Napi::ThreadSafeFunction notify;

  void end() const {
    uint64_t one = 1;
    (void)!::write(stop.get(), &one, sizeof one);
  }
};

Result<std::shared_ptr<Watch>> open_watch() {
  auto watch = std::make_shared<Watch>();
  watch->socket = UniqueFd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!watch->socket) return sys_fail("watch nftables", "socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(watch->socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return sys_fail("watch nftables", "bind");
  int group = NFNLGRP_NFTABLES;
  if (::setsockopt(watch->socket.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
                   sizeof group) != 0)
    return sys_fail("watch nftables", "setsockopt NETLINK_ADD_MEMBERSHIP");
  watch->stop = UniqueFd(::eventfd(0, EFD_CLOEXEC));
  if (!watch->stop) return sys_fail("watch nftables", "eventfd");
  return watch;
}

/// Tables, chains and rules. Elements of maps come and go with every container, and matter to
/// nobody.
bool matters(std::span<const uint8_t> datagram) {
  while (datagram.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, datagram.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > datagram.size()) return true;
    if ((header.nlmsg_type >> 8) == NFNL_SUBSYS_NFTABLES &&
        (header.nlmsg_type & 0xff) <= NFT_MSG_DELRULE)
      return true;
    datagram = datagram.subspan(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), datagram.size()));
  }
  return false;
}

void listen(const std::shared_ptr<Watch>& watch) {
  std::array<pollfd, 2> wait{{{watch->socket.get(), POLLIN, 0}, {watch->stop.get(), POLLIN, 0}}};
  std::array<uint8_t, 16384> buffer;
  for (;;) {
    if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) break;
    if (wait[1].revents != 0) break;
    if (wait[0].revents == 0) continue;
    ssize_t size = ::recv(watch->socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    // ENOBUFS: more happened than the socket could hold.
    bool changed =
        size < 0 ? errno == ENOBUFS : matters(std::span(buffer).first(static_cast<size_t>(size)));
    if (changed) (void)watch->notify.NonBlockingCall();
  }
  (void)watch->notify.Release();
}

Napi::Value watch_filters_js(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!info[0].IsFunction()) throw Napi::TypeError::New(env, "onChange must be a function");
  std::shared_ptr<Watch> watch = take(env, open_watch());
  watch->notify =
      Napi::ThreadSafeFunction::New(env, info[0].As<Napi::Function>(), "stack watch", 1, 1);
  // Listening alone keeps no program alive.
  watch->notify.Unref(env);
  std::thread([watch] { listen(watch); }).detach();
  env.AddCleanupHook([watch] { watch->end(); });
  Napi::Object result = Napi::Object::New(env);
  result.Set("close",
             Napi::Function::New(env, [watch](const Napi::CallbackInfo&) { watch->end(); }));
  return result;
}

}  // namespace

void register_watch(Napi::Env env, Napi::Object exports) {
  exports.Set("watchFilters", Napi::Function::New(env, watch_filters_js, "watchFilters"));
}

}  // namespace stack::addon
