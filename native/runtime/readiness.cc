#include "readiness.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "fd.h"

namespace stack {

namespace {

constexpr int64_t kFirstPauseMs = 2;
constexpr int64_t kLongestPauseMs = 250;
constexpr int64_t kAnswerWithinMs = 5000;
constexpr size_t kStatusLine = 512;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

Address address_of(const sockaddr* from, uint16_t port) {
  Address out;
  if (from->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, from, sizeof in);
    in.sin_port = htons(port);
    out.length = sizeof in;
    std::memcpy(&out.storage, &in, sizeof in);
  } else {
    sockaddr_in6 in6{};
    std::memcpy(&in6, from, sizeof in6);
    in6.sin6_port = htons(port);
    out.length = sizeof in6;
    std::memcpy(&out.storage, &in6, sizeof in6);
  }
  return out;
}

// The loopbacks first; a server may listen on one of the container's own addresses alone.
std::vector<Address> own_addresses(uint16_t port) {
  std::vector<Address> out;
  sockaddr_in loopback4{};
  loopback4.sin_family = AF_INET;
  loopback4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  out.push_back(address_of(reinterpret_cast<sockaddr*>(&loopback4), port));
  sockaddr_in6 loopback6{};
  loopback6.sin6_family = AF_INET6;
  loopback6.sin6_addr = in6addr_loopback;
  out.push_back(address_of(reinterpret_cast<sockaddr*>(&loopback6), port));
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return out;
  for (ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || std::strcmp(each->ifa_name, "lo") == 0) continue;
    int family = each->ifa_addr->sa_family;
    if (family == AF_INET || family == AF_INET6) out.push_back(address_of(each->ifa_addr, port));
  }
  ::freeifaddrs(list);
  return out;
}

}  // namespace

std::string describe(const ReadyProbe& probe) {
  switch (probe.kind) {
    case ReadyProbe::Kind::tcp:
      return "tcp " + std::to_string(probe.port);
    case ReadyProbe::Kind::http:
      return "http " + std::to_string(probe.port) + probe.path;
    case ReadyProbe::Kind::exec:
      return "exec " + probe.args[0];
    case ReadyProbe::Kind::file:
      return "file " + probe.path;
    case ReadyProbe::Kind::exit:
      return "exit " + std::to_string(probe.code);
    case ReadyProbe::Kind::told:
      return probe.text;
  }
  return {};
}

/** One probe, asked until it holds. */
class Readiness::Question : public std::enable_shared_from_this<Question> {
 public:
  Question(Readiness& owner, const ReadyProbe& probe) : owner_(&owner), probe_(probe) {}

  void ask() {
    addresses_.clear();
    next_ = 0;
    auto self = shared_from_this();
    switch (probe_.kind) {
      case ReadyProbe::Kind::tcp:
      case ReadyProbe::Kind::http:
        addresses_ = own_addresses(probe_.port);
        limit_ = loop().after(kAnswerWithinMs, [self] { self->no(); });
        connect_next();
        return;
      case ReadyProbe::Kind::file: {
        struct stat info {};
        answer(::stat(probe_.path.c_str(), &info) == 0);
        return;
      }
      case ReadyProbe::Kind::exec:
        if (!owner_->needs_.run(probe_.args, [self](bool good) {
              if (self->owner_ != nullptr) self->answer(good);
            }))
          no();
        return;
      case ReadyProbe::Kind::exit:
        return;  // the process's end answers it
      case ReadyProbe::Kind::told:
        return;  // Readiness::told does
    }
  }

  const ReadyProbe& probe() const { return probe_; }
  void holds() { answer(true); }

  void forget() {
    if (owner_ == nullptr) return;
    drop_socket();
    loop().cancel(pause_timer_);
    loop().cancel(limit_);
    owner_ = nullptr;
  }

 private:
  EventLoop& loop() { return owner_->loop_; }

  void answer(bool good) {
    if (!good) {
      no();
      return;
    }
    Readiness* owner = owner_;
    auto self = shared_from_this();
    forget();
    owner->answered(this);
  }

  void no() {
    drop_socket();
    loop().cancel(std::exchange(limit_, 0));
    int64_t pause = probe_.interval_ms > 0 ? probe_.interval_ms : pause_ms_;
    pause_timer_ = loop().after(pause, [self = shared_from_this()] { self->ask(); });
    pause_ms_ = std::min(pause_ms_ * 3 / 2, kLongestPauseMs);
  }

  void drop_socket() {
    if (socket_) loop().remove(socket_.get());
    socket_.reset();
  }

  void connect_next() {
    drop_socket();
    while (next_ < addresses_.size()) {
      const Address& address = addresses_[next_++];
      socket_.reset(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                             0));
      if (!socket_) continue;
      if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address.storage),
                    address.length) < 0 &&
          errno != EINPROGRESS)
        continue;
      auto self = shared_from_this();
      if (loop().add(socket_.get(), EPOLLOUT, [self](uint32_t) { self->connected(); }).ok()) return;
    }
    socket_.reset();
    no();
  }

  void connected() {
    int error = 0;
    socklen_t length = sizeof error;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error != 0) {
      connect_next();
      return;
    }
    if (probe_.kind == ReadyProbe::Kind::tcp) {
      answer(true);
      return;
    }
    std::string path = probe_.path;
    std::erase_if(path, [](char c) { return static_cast<uint8_t>(c) <= ' '; });
    if (path.empty() || path[0] != '/') path.insert(0, "/");
    std::string request = "GET " + path + " HTTP/1.0\r\nHost: localhost:" +
                          std::to_string(probe_.port) +
                          "\r\nUser-Agent: stack\r\nAccept: */*\r\nConnection: close\r\n\r\n";
    if (::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size())) {
      no();
      return;
    }
    head_.clear();
    loop().remove(socket_.get());
    auto self = shared_from_this();
    if (!loop().add(socket_.get(), EPOLLIN, [self](uint32_t) { self->read_head(); }).ok()) no();
  }

  void read_head() {
    char buffer[kStatusLine];
    ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) head_.append(buffer, static_cast<size_t>(n));
    bool whole = head_.find('\n') != std::string::npos;
    if (n > 0 && !whole && head_.size() < kStatusLine) return;
    int status = 0;
    if (whole && head_.starts_with("HTTP/"))
      if (size_t space = head_.find(' '); space != std::string::npos)
        status = ::atoi(head_.c_str() + space + 1);
    answer(std::ranges::any_of(probe_.status, [status](const auto& range) {
      return status >= range.first && status <= range.second;
    }));
  }

  Readiness* owner_;
  const ReadyProbe& probe_;
  int64_t pause_ms_ = kFirstPauseMs;
  EventLoop::TimerId pause_timer_ = 0, limit_ = 0;
  std::vector<Address> addresses_;
  size_t next_ = 0;
  UniqueFd socket_;
  std::string head_;
};

Readiness::Readiness(EventLoop& loop, const std::vector<ReadyProbe>& probes, Needs needs)
    : loop_(loop), probes_(probes), needs_(std::move(needs)), open_(probes.size()) {
  for (const ReadyProbe& probe : probes) {
    auto question = std::make_shared<Question>(*this, probe);
    questions_.push_back(question);
    if (probe.timeout_ms < 0) continue;
    auto late = [this, weak = std::weak_ptr(question), &probe] {
      if (weak.lock())
        needs_.late("not ready within " + std::to_string(probe.timeout_ms) + " ms: " +
                    describe(probe));
    };
    deadlines_.push_back(loop_.after(probe.timeout_ms, late));
  }
  // On the loop, not in here: the owner does not have us yet.
  deadlines_.push_back(loop_.after(0, [this] {
    auto questions = questions_;
    for (auto& question : questions) question->ask();
  }));
}

Readiness::~Readiness() {
  for (EventLoop::TimerId id : deadlines_) loop_.cancel(id);
  for (auto& question : questions_) question->forget();
}

bool Readiness::told(size_t probe) {
  if (probe >= probes_.size() || probes_[probe].kind != ReadyProbe::Kind::told) return false;
  auto found = std::ranges::find_if(
      questions_, [&](const auto& each) { return &each->probe() == &probes_[probe]; });
  if (found == questions_.end()) return false;
  auto question = *found;
  question->holds();
  return true;
}

void Readiness::answered(Question* question) {
  std::erase_if(questions_, [question](const auto& each) { return each.get() == question; });
  if (--open_ == 0) {
    auto ready = needs_.ready;  // which may end us
    ready();
  }
}

}  // namespace stack
