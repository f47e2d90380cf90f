#include "relay_udp.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace stack {
namespace {

/** As Docker's proxy: a client that is silent this long is forgotten. */
constexpr int64_t kIdleMs = 90'000;
constexpr int64_t kSweepMs = 30'000;
constexpr size_t kMaxSessions = 1024;
/** Packets handled before other descriptors get their turn. */
constexpr int kBurst = 64;

/** The largest UDP payload; one buffer for the whole monitor, which has one thread. */
std::array<char, 65536>& packet_buffer() {
  static std::array<char, 65536> buffer;
  return buffer;
}

/** IP_PKTINFO or IPV6_PKTINFO as it came, made fit for sending: only the source address counts. */
std::string reply_source(msghdr& message) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      memcpy(&info, CMSG_DATA(c), sizeof info);
      info.ipi_ifindex = 0;
      info.ipi_spec_dst = info.ipi_addr;
      memcpy(CMSG_DATA(c), &info, sizeof info);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      memcpy(&info, CMSG_DATA(c), sizeof info);
      if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
      memcpy(CMSG_DATA(c), &info, sizeof info);
    } else {
      continue;
    }
    return {reinterpret_cast<const char*>(c), CMSG_ALIGN(c->cmsg_len)};
  }
  return {};
}

}  // namespace

UdpRelay::UdpRelay(EventLoop& loop, int listener, SocketAddress target, int via_netns,
                   int host_netns)
    : loop_(loop),
      listener_(listener),
      target_(target),
      via_netns_(via_netns),
      host_netns_(host_netns) {}

UdpRelay::~UdpRelay() {
  loop_.cancel(sweeper_);
  loop_.remove(listener_);
  for (auto& [key, session] : sessions_) loop_.remove(session->socket.get());
}

Status UdpRelay::start() {
  sweeper_ = loop_.after(kSweepMs, [this] { sweep(); });
  return loop_.add(listener_, EPOLLIN, [this](uint32_t) { on_listener(); });
}

void UdpRelay::on_listener() {
  for (int i = 0; i < kBurst; ++i) {
    SocketAddress client;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(in_pktinfo))];
    iovec data{packet_buffer().data(), packet_buffer().size()};
    msghdr message{};
    message.msg_name = client.get();
    message.msg_namelen = sizeof client.storage;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t n = recvmsg(listener_, &message, 0);
    if (n < 0) return;
    client.length = message.msg_namelen;
    Session* session = session_for(client, reply_source(message));
    // A packet that the container does not take is lost, as packets may be.
    if (session != nullptr)
      send(session->socket.get(), data.iov_base, static_cast<size_t>(n), MSG_NOSIGNAL);
  }
}

UdpRelay::Session* UdpRelay::session_for(const SocketAddress& client, std::string source) {
  std::string key = client.key() + source;
  auto found = sessions_.find(key);
  if (found != sessions_.end()) {
    found->second->last_used = monotonic_ms();
    return found->second.get();
  }
  if (sessions_.size() >= kMaxSessions) {
    auto oldest = std::min_element(sessions_.begin(), sessions_.end(), [](auto& a, auto& b) {
      return a.second->last_used < b.second->last_used;
    });
    close_session(std::string(oldest->first));
  }
  auto socket = socket_in(via_netns_, host_netns_, target_.family(), SOCK_DGRAM);
  if (!socket.ok() || connect(socket->get(), target_.get(), target_.length) < 0) return nullptr;
  auto session = std::make_unique<Session>();
  session->socket = std::move(*socket);
  session->client = client;
  session->source = std::move(source);
  session->last_used = monotonic_ms();
  if (!loop_.add(session->socket.get(), EPOLLIN, [this, key](uint32_t) { on_session(key); }).ok())
    return nullptr;
  return sessions_.emplace(key, std::move(session)).first->second.get();
}

void UdpRelay::on_session(const std::string& key) {
  auto found = sessions_.find(key);
  if (found == sessions_.end()) return;
  Session& session = *found->second;
  for (int i = 0; i < kBurst; ++i) {
    ssize_t n = recv(session.socket.get(), packet_buffer().data(), packet_buffer().size(), 0);
    // ECONNREFUSED tells that nobody listens in the container yet: the client's next packet may find somebody.
    if (n < 0) return;
    session.last_used = monotonic_ms();
    iovec data{packet_buffer().data(), static_cast<size_t>(n)};
    msghdr message{};
    message.msg_name = session.client.get();
    message.msg_namelen = session.client.length;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (!session.source.empty()) {
      message.msg_control = session.source.data();
      message.msg_controllen = session.source.size();
    }
    sendmsg(listener_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

void UdpRelay::sweep() {
  int64_t now = monotonic_ms();
  std::vector<std::string> idle;
  for (auto& [key, session] : sessions_)
    if (now - session->last_used >= kIdleMs) idle.push_back(key);
  for (const std::string& key : idle) close_session(key);
  sweeper_ = loop_.after(kSweepMs, [this] { sweep(); });
}

void UdpRelay::close_session(const std::string& key) {
  auto found = sessions_.find(key);
  if (found == sessions_.end()) return;
  loop_.remove(found->second->socket.get());
  sessions_.erase(found);
}

}  // namespace stack
