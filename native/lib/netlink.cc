#include "netlink.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace stack::net {

// ---- namespaces ------------------------------------------------------------------------------

namespace {

constexpr char kOwnNetns[] = "/proc/thread-self/ns/net";

Result<UniqueFd> open_file(const std::string& path, std::string_view stage) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_fail(std::string(stage), "open", path);
  return fd;
}

Status loopback_up() {
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return sys_fail("bring lo up", "socket");
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0)
    return sys_fail("bring lo up", "ioctl SIOCSIFFLAGS", "lo");
  return ok();
}

}  // namespace

Result<NetnsScope> NetnsScope::enter(int netns_fd) {
  TRY(return_home());
  if (netns_fd < 0) return NetnsScope(UniqueFd());
  UniqueFd back = TRY(open_file(kOwnNetns, "enter network namespace"));
  if (::setns(netns_fd, CLONE_NEWNET) != 0) return sys_fail("enter network namespace", "setns");
  return NetnsScope(std::move(back));
}

NetnsScope::NetnsScope(NetnsScope&& other) noexcept : back_(std::move(other.back_)) {}

namespace {
// Where this thread belongs, while it could not get back there; a plain number, because an object
// that is destroyed with its thread brings 300 KB of C++ runtime along.
thread_local int stray_from = -1;
}  // namespace

Status return_home() {
  if (stray_from < 0) return ok();
  if (::setns(stray_from, CLONE_NEWNET) != 0)
    return sys_fail("return to own network namespace", "setns");
  ::close(std::exchange(stray_from, -1));
  return ok();
}

NetnsScope::~NetnsScope() {
  if (!back_ || ::setns(back_.get(), CLONE_NEWNET) == 0) return;
  if (stray_from < 0) stray_from = back_.release();
}

Result<UniqueFd> create_netns() {
  TRY(return_home());
  UniqueFd back = TRY(open_file(kOwnNetns, "create network namespace"));
  if (::unshare(CLONE_NEWNET) != 0) return sys_fail("create network namespace", "unshare");
  NetnsScope home = NetnsScope::from(std::move(back));
  UniqueFd made = TRY(open_file(kOwnNetns, "create network namespace"));
  TRY(loopback_up());
  return made;
}

Result<UniqueFd> open_netns(const std::string& path) {
  UniqueFd fd = TRY(open_file(path, "open network namespace"));
  int type = ::ioctl(fd.get(), NS_GET_NSTYPE);
  if (type < 0 && errno != ENOTTY)
    return sys_fail("open network namespace", "ioctl NS_GET_NSTYPE", path);
  if (type != CLONE_NEWNET)
    return fail("open network namespace", path + " is not a network namespace", EINVAL, path);
  return fd;
}

Result<UniqueFd> socket_in(int netns_fd, int domain, int type, int protocol) {
  NetnsScope scope = TRY(NetnsScope::enter(netns_fd));
  UniqueFd fd(::socket(domain, type | SOCK_CLOEXEC, protocol));
  if (!fd) return sys_fail("open socket", "socket");
  return fd;
}

// ---- messages --------------------------------------------------------------------------------

namespace {
constexpr size_t align4(size_t n) { return (n + 3) & ~size_t{3}; }
}  // namespace

Message::Message(uint16_t type, uint16_t flags) : bytes_(sizeof(nlmsghdr)) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = flags;
  std::memcpy(bytes_.data(), &header, sizeof header);
}

void Message::append(const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  bytes_.insert(bytes_.end(), bytes, bytes + size);
  bytes_.resize(align4(bytes_.size()));
}

void Message::put(uint16_t type, const void* data, size_t size) {
  nlattr attribute{static_cast<uint16_t>(sizeof(nlattr) + size), type};
  append(&attribute, sizeof attribute);
  if (size > 0) append(data, size);
}

void Message::put_string(uint16_t type, std::string_view text) {
  std::string copy(text);
  put(type, copy.c_str(), copy.size() + 1);
}

void Message::put_u8(uint16_t type, uint8_t value) { put(type, &value, sizeof value); }
void Message::put_u16(uint16_t type, uint16_t value) { put(type, &value, sizeof value); }
void Message::put_u32(uint16_t type, uint32_t value) { put(type, &value, sizeof value); }
void Message::put_be16(uint16_t type, uint16_t value) { put_u16(type, __builtin_bswap16(value)); }
void Message::put_be32(uint16_t type, uint32_t value) { put_u32(type, __builtin_bswap32(value)); }
void Message::put_be64(uint16_t type, uint64_t value) {
  uint64_t swapped = __builtin_bswap64(value);
  put(type, &swapped, sizeof swapped);
}

size_t Message::begin(uint16_t type) {
  size_t at = bytes_.size();
  put(type | NLA_F_NESTED, nullptr, 0);
  return at;
}

void Message::end(size_t at) {
  auto length = static_cast<uint16_t>(bytes_.size() - at);
  std::memcpy(bytes_.data() + at, &length, sizeof length);
}

void Message::set_sequence(uint32_t sequence) {
  std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
}

void Message::add_flags(uint16_t flags) {
  uint16_t now = 0;
  std::memcpy(&now, bytes_.data() + offsetof(nlmsghdr, nlmsg_flags), sizeof now);
  now |= flags;
  std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_flags), &now, sizeof now);
}

std::span<const uint8_t> Message::body() const {
  return std::span(bytes_).subspan(sizeof(nlmsghdr));
}

std::span<const uint8_t> Message::finish() {
  auto length = static_cast<uint32_t>(bytes_.size());
  std::memcpy(bytes_.data(), &length, sizeof length);
  return bytes_;
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "netlink attributes are swapped for little endian");

uint32_t Attribute::u32() const {
  uint32_t value = 0;
  if (data.size() >= sizeof value) std::memcpy(&value, data.data(), sizeof value);
  return value;
}

uint32_t Attribute::be32() const { return __builtin_bswap32(u32()); }

uint64_t Attribute::be64() const {
  uint64_t value = 0;
  if (data.size() >= sizeof value) std::memcpy(&value, data.data(), sizeof value);
  return __builtin_bswap64(value);
}

std::string Attribute::string() const {
  const auto* text = reinterpret_cast<const char*>(data.data());
  return std::string(text, ::strnlen(text, data.size()));
}

std::vector<Attribute> attributes(std::span<const uint8_t> data) {
  std::vector<Attribute> list;
  while (data.size() >= sizeof(nlattr)) {
    nlattr header;
    std::memcpy(&header, data.data(), sizeof header);
    if (header.nla_len < sizeof header || header.nla_len > data.size()) break;
    list.push_back({static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK),
                    data.subspan(sizeof header, header.nla_len - sizeof header)});
    data = data.subspan(std::min(align4(header.nla_len), data.size()));
  }
  return list;
}

const Attribute* find(const std::vector<Attribute>& list, uint16_t type) {
  for (const Attribute& attribute : list)
    if (attribute.type == type) return &attribute;
  return nullptr;
}

// ---- the socket ------------------------------------------------------------------------------

namespace {

/// One message out of a datagram that may hold several.
struct Incoming {
  nlmsghdr header{};
  std::span<const uint8_t> payload;
};

std::optional<Incoming> next_message(std::span<const uint8_t>& rest) {
  Incoming message;
  if (rest.size() < sizeof(nlmsghdr)) return std::nullopt;
  std::memcpy(&message.header, rest.data(), sizeof(nlmsghdr));
  size_t length = message.header.nlmsg_len;
  if (length < sizeof(nlmsghdr) || length > rest.size()) return std::nullopt;
  message.payload = rest.subspan(sizeof(nlmsghdr), length - sizeof(nlmsghdr));
  rest = rest.subspan(std::min(align4(length), rest.size()));
  return message;
}

/// NLMSG_ERROR: errno (0: acknowledged), then the extended acknowledgement's text.
int error_of(const Incoming& message, std::string* text) {
  int32_t error = -EPROTO;
  if (message.payload.size() >= sizeof error)
    std::memcpy(&error, message.payload.data(), sizeof error);
  if (error != 0 && (message.header.nlmsg_flags & NLM_F_ACK_TLVS) != 0) {
    size_t skip =
        sizeof(nlmsgerr);  // with NETLINK_CAP_ACK only the header of the request is echoed
    if ((message.header.nlmsg_flags & NLM_F_CAPPED) == 0 &&
        message.payload.size() >= sizeof(nlmsgerr)) {
      nlmsghdr echoed;
      std::memcpy(&echoed, message.payload.data() + sizeof error, sizeof echoed);
      skip = align4(sizeof error + echoed.nlmsg_len);
    }
    if (skip < message.payload.size())
      for (const Attribute& attribute : attributes(message.payload.subspan(skip)))
        if (attribute.type == NLMSGERR_ATTR_MSG) *text = attribute.string();
  }
  return -error;
}

Failure netlink_failure(std::string_view stage, std::string_view path, int error,
                        const std::string& text) {
  std::string message(path);
  if (!message.empty()) message += ": ";
  message += error_text(error);
  if (!text.empty()) message += " (" + text + ")";
  return Failure{std::string(stage), "netlink", error, std::string(path), std::move(message)};
}

/// One datagram, whole: its size is asked first, so that nothing is ever cut off.
Result<size_t> receive(int fd, std::vector<uint8_t>& buffer, int flags, std::string_view stage) {
  for (;;) {
    ssize_t size = ::recv(fd, buffer.data(), buffer.size(), flags | MSG_TRUNC | MSG_PEEK);
    if (size > static_cast<ssize_t>(buffer.size())) {
      buffer.resize(static_cast<size_t>(size));
      continue;
    }
    if (size >= 0) size = ::recv(fd, buffer.data(), buffer.size(), flags);
    if (size >= 0) return static_cast<size_t>(size);
    if (errno != EINTR) return sys_fail(std::string(stage), "recv");
  }
}

Status send_all(int fd, std::span<const uint8_t> bytes, std::string_view stage) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  for (;;) {
    ssize_t sent = ::sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&kernel),
                            sizeof kernel);
    if (sent == static_cast<ssize_t>(bytes.size())) return ok();
    if (sent >= 0) return sys_fail(std::string(stage), "sendto", {}, EMSGSIZE);
    if (errno != EINTR) return sys_fail(std::string(stage), "sendto");
  }
}

}  // namespace

Result<NetlinkSocket> NetlinkSocket::open(int netns_fd, int protocol) {
  UniqueFd fd = TRY(socket_in(netns_fd, AF_NETLINK, SOCK_RAW, protocol));
  int on = 1;
  // Kernels without these give shorter failures, and nothing else.
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  return NetlinkSocket(std::move(fd));
}

Result<void> NetlinkSocket::request(Message& message, std::string_view stage,
                                    std::string_view path) {
  uint32_t sequence = next_sequence();
  message.set_sequence(sequence);
  TRY(send_all(fd_.get(), message.finish(), stage));
  std::vector<uint8_t> buffer(4096);
  for (;;) {
    size_t size = TRY(receive(fd_.get(), buffer, 0, stage));
    std::span<const uint8_t> rest(buffer.data(), size);
    while (auto incoming = next_message(rest)) {
      if (incoming->header.nlmsg_seq != sequence || incoming->header.nlmsg_type != NLMSG_ERROR)
        continue;
      std::string text;
      int error = error_of(*incoming, &text);
      if (error == 0) return ok();
      return netlink_failure(stage, path, error, text);
    }
  }
}

Result<std::vector<Received>> NetlinkSocket::query(Message& message, std::string_view stage) {
  for (;;) {
    uint32_t sequence = next_sequence();
    message.set_sequence(sequence);
    TRY(send_all(fd_.get(), message.finish(), stage));
    std::vector<Received> answers;
    std::vector<uint8_t> buffer(32768);
    bool done = false;
    bool interrupted = false;
    while (!done) {
      size_t size = TRY(receive(fd_.get(), buffer, 0, stage));
      std::span<const uint8_t> rest(buffer.data(), size);
      while (auto incoming = next_message(rest)) {
        const nlmsghdr& header = incoming->header;
        if (header.nlmsg_seq != sequence) continue;
        interrupted = interrupted || (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (header.nlmsg_type == NLMSG_ERROR) {
          std::string text;
          int error = error_of(*incoming, &text);
          if (error != 0) return netlink_failure(stage, {}, error, text);
          done = true;
        } else if (header.nlmsg_type == NLMSG_DONE) {
          done = true;
        } else {
          answers.push_back(
              {header.nlmsg_type, {incoming->payload.begin(), incoming->payload.end()}});
          done = done || (header.nlmsg_flags & NLM_F_MULTI) == 0;
        }
      }
    }
    if (!interrupted) return answers;
  }
}

Result<void> NetlinkSocket::batch(std::span<const uint8_t> bytes, uint32_t first_sequence,
                                  std::string_view stage, size_t* failed_index) {
  TRY(send_all(fd_.get(), bytes, stage));
  // nfnetlink works inside sendto: all that it has to say lies in the socket already.
  std::vector<uint8_t> buffer(4096);
  bool acknowledged = false;
  for (;;) {
    auto size = receive(fd_.get(), buffer, MSG_DONTWAIT, stage);
    if (!size.ok()) {
      if (size.failure().err != EAGAIN) return size.failure();
      break;
    }
    std::span<const uint8_t> rest(buffer.data(), *size);
    while (auto incoming = next_message(rest)) {
      if (incoming->header.nlmsg_type != NLMSG_ERROR) continue;
      std::string text;
      int error = error_of(*incoming, &text);
      acknowledged = true;
      if (error == 0) continue;
      // The batch's own frame has the sequence before the first command's: a failure of the commit
      // itself.
      if (failed_index != nullptr) *failed_index = incoming->header.nlmsg_seq - first_sequence;
      return netlink_failure(stage, {}, error, text);
    }
  }
  if (!acknowledged) return fail(std::string(stage), "the kernel did not answer", EPROTO);
  return ok();
}

}  // namespace stack::net
