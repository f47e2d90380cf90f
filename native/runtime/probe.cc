#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "fs.h"
#include "netlink.h"

namespace stack {

namespace {

constexpr size_t kLongestResponse = 256 << 10;

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return (x | 32) == (y | 32); });
}

class Probe : public std::enable_shared_from_this<Probe> {
 public:
  Probe(Monitor& monitor, const Json& request, std::function<void(Json)> done)
      : monitor_(monitor), done_(std::move(done)) {
    http_ = request["kind"].as_string() == "http";
    port_ = static_cast<uint16_t>(request["port"].as_uint());
    path_ = request["path"].string_or("/");
    // Nothing may end the request line early.
    std::erase_if(path_, [](char c) { return static_cast<uint8_t>(c) <= ' '; });
    if (path_.empty() || path_[0] != '/') path_.insert(0, "/");
  }

  void begin(int64_t timeout_ms) {
    auto self = shared_from_this();
    const NetworkSpec& network = monitor_.spec().network;
    for (const std::string& text :
         {std::string("127.0.0.1"), std::string("::1"), network.address4, network.address6})
      if (auto address = net::parse_ip(text); !text.empty() && address)
        addresses_.push_back(*address);
    timer_ = monitor_.loop().after(timeout_ms, [self] { self->finish(ETIMEDOUT); });
    connect_next();
  }

 private:
  void connect_next() {
    drop_socket();
    if (next_ == addresses_.size()) {
      finish(error_ == 0 ? ECONNREFUSED : error_);
      return;
    }
    const net::IpAddress& address = addresses_[next_++];
    auto socket =
        net::socket_in(monitor_.network().netns(), address.family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (!socket) {
      note(socket.failure().err);
      connect_next();
      return;
    }
    socket_ = std::move(socket).take();
    sockaddr_storage storage{};
    socklen_t length = fill(storage, address);
    if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&storage), length) < 0 &&
        errno != EINPROGRESS) {
      note(errno);
      connect_next();
      return;
    }
    auto self = shared_from_this();
    (void)monitor_.loop().add(socket_.get(), EPOLLOUT, [self](uint32_t) { self->connected(); });
  }

  socklen_t fill(sockaddr_storage& storage, const net::IpAddress& address) const {
    if (address.family == AF_INET) {
      auto* in = reinterpret_cast<sockaddr_in*>(&storage);
      in->sin_family = AF_INET;
      in->sin_port = htons(port_);
      std::copy_n(address.bytes.begin(), 4, reinterpret_cast<uint8_t*>(&in->sin_addr));
      return sizeof *in;
    }
    auto* in = reinterpret_cast<sockaddr_in6*>(&storage);
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port_);
    std::copy_n(address.bytes.begin(), 16, reinterpret_cast<uint8_t*>(&in->sin6_addr));
    return sizeof *in;
  }

  // A refusal says more than an address that cannot be reached.
  void note(int error) {
    if (error_ == 0 || error == ECONNREFUSED) error_ = error;
  }

  void connected() {
    auto self = shared_from_this();
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
      note(error);
      connect_next();
      return;
    }
    connected_ = true;
    if (!http_) {
      finish(0);
      return;
    }
    std::string request = "GET " + path_ + " HTTP/1.1\r\nHost: localhost:" + std::to_string(port_) +
                          "\r\nUser-Agent: stack-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n";
    (void)!::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL);
    monitor_.loop().remove(socket_.get());
    (void)monitor_.loop().add(socket_.get(), EPOLLIN, [self](uint32_t) { self->received(); });
  }

  void received() {
    auto self = shared_from_this();
    char buffer[8192];
    ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) response_.append(buffer, static_cast<size_t>(n));
    if (n <= 0 || response_.size() >= kLongestResponse || complete()) finish(0);
  }

  bool complete() const {
    size_t header = response_.find("\r\n\r\n");
    if (header == std::string::npos) return false;
    size_t at = 0;
    while ((at = response_.find("\r\n", at)) < header) {
      at += 2;
      std::string_view line =
          std::string_view(response_).substr(at, response_.find("\r\n", at) - at);
      constexpr std::string_view kLength = "content-length:";
      if (line.size() > kLength.size() &&
          equal_ignoring_case(line.substr(0, kLength.size()), kLength))
        return response_.size() - header - 4 >=
               ::strtoull(line.data() + kLength.size(), nullptr, 10);
    }
    return false;
  }

  void drop_socket() {
    if (socket_) monitor_.loop().remove(socket_.get());
    socket_.reset();
  }

  void finish(int error) {
    if (!done_) return;
    auto self = shared_from_this();
    drop_socket();
    monitor_.loop().cancel(timer_);
    Json reply = Json::object();
    reply.set("connected", connected_);
    if (http_) reply.set("status", http_status(response_)).set("body", http_body(response_));
    reply.set("errno", error);
    std::exchange(done_, nullptr)(std::move(reply));
  }

  Monitor& monitor_;
  std::function<void(Json)> done_;
  bool http_ = false, connected_ = false;
  uint16_t port_ = 0;
  std::string path_, response_;
  std::vector<net::IpAddress> addresses_;
  size_t next_ = 0;
  UniqueFd socket_;
  int error_ = 0;
  EventLoop::TimerId timer_ = 0;
};

std::string join_chunks(std::string_view body) {
  std::string out;
  while (!body.empty()) {
    char* end = nullptr;
    std::string line(body.substr(0, body.find("\r\n")));
    size_t size = ::strtoull(line.c_str(), &end, 16);
    if (size == 0 || body.size() < line.size() + 2) break;
    body.remove_prefix(line.size() + 2);
    out.append(body.substr(0, size));
    body.remove_prefix(std::min(body.size(), size + 2));
  }
  return out;
}

}  // namespace

int http_status(std::string_view response) {
  if (!response.starts_with("HTTP/1.") || response.size() < 12 || response[8] != ' ') return 0;
  int status = 0;
  for (char digit : response.substr(9, 3)) {
    if (digit < '0' || digit > '9') return 0;
    status = status * 10 + (digit - '0');
  }
  return status;
}

std::string http_body(std::string_view response) {
  size_t header = response.find("\r\n\r\n");
  if (header == std::string_view::npos) return {};
  std::string head(response.substr(0, header));
  std::ranges::transform(head, head.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c;
  });
  std::string_view body = response.substr(header + 4);
  if (head.find("transfer-encoding: chunked") != std::string::npos) return join_chunks(body);
  return std::string(body);
}

Json probe_file(Monitor& monitor, const std::string& path) {
  auto reply = [](int error) {
    return Json::object().set("connected", error == 0).set("errno", error);
  };
  if (!monitor.running()) return reply(ESRCH);
  std::string top = "/proc/" + std::to_string(monitor.record().pid) + "/root";
  UniqueFd root(::open(top.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return reply(errno);
  auto found = open_in_root(root.get(), path, O_PATH);
  return reply(found ? 0 : found.failure().err);
}

void probe(Monitor& monitor, const Json& request, std::function<void(Json)> done) {
  int64_t timeout = request["timeoutMs"].as_int(5000);
  std::make_shared<Probe>(monitor, request, std::move(done))->begin(timeout > 0 ? timeout : 5000);
}

}  // namespace stack
