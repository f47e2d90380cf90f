// Unix sockets with what Node cannot do: 0600 from birth, peer credentials, passed descriptors,
// long paths.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>

#include "convert.h"
#include "fd.h"

namespace stack::addon {

namespace {

constexpr int kReplySeconds = 10;
constexpr size_t kReplyLimit = 1 << 20;

/// sun_path holds 107 characters; through /proc/self/fd any directory is short.
struct SocketAddress {
  sockaddr_un address{};
  UniqueFd directory;
};

Result<SocketAddress> address_for(const std::string& path, std::string_view stage) {
  SocketAddress result;
  result.address.sun_family = AF_UNIX;
  std::string shown = path;
  if (path.size() >= sizeof result.address.sun_path) {
    size_t slash = path.rfind('/');
    std::string parent =
        slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
    result.directory = UniqueFd(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!result.directory) return sys_fail(std::string(stage), "open", parent);
    shown = "/proc/self/fd/" + std::to_string(result.directory.get()) + "/" +
            path.substr(slash == std::string::npos ? 0 : slash + 1);
    if (shown.size() >= sizeof result.address.sun_path)
      return sys_fail(std::string(stage), "bind", path, ENAMETOOLONG);
  }
  std::memcpy(result.address.sun_path, shown.data(), shown.size());
  return result;
}

Result<UniqueFd> listen_unix(const std::string& path, int backlog) {
  SocketAddress to = TRY(address_for(path, "listen"));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return sys_fail("listen", "socket", path);
  // bind(2) makes the file with the socket inode's own mode, less the umask: no moment with a wider
  // one, and no change of the process-wide umask.
  if (::fchmod(fd.get(), 0600) != 0) return sys_fail("listen", "fchmod", path);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&to.address), sizeof to.address) != 0)
    return sys_fail("listen", "bind", path);
  if (::listen(fd.get(), backlog) != 0) return sys_fail("listen", "listen", path);
  return fd;
}

Result<UniqueFd> connect_unix(const std::string& path, int flags) {
  SocketAddress to = TRY(address_for(path, "connect"));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!fd) return sys_fail("connect", "socket", path);
  while (::connect(fd.get(), reinterpret_cast<sockaddr*>(&to.address), sizeof to.address) != 0)
    if (errno != EINTR) return sys_fail("connect", "connect", path);
  return fd;
}

struct Reply {
  std::string line;
  std::vector<UniqueFd> fds;
};

Result<Reply> request_descriptors(const std::string& path, const std::string& request) {
  UniqueFd socket = TRY(connect_unix(path, 0));
  timeval patience{kReplySeconds, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  std::string line = request;
  if (line.empty() || line.back() != '\n') line += '\n';
  for (size_t at = 0; at < line.size();) {
    ssize_t sent = ::send(socket.get(), line.data() + at, line.size() - at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return sys_fail("ask monitor", "send", path);
    at += static_cast<size_t>(sent);
  }
  Reply reply;
  while (reply.line.find('\n') == std::string::npos) {
    stack::Received part = TRY(recv_fds(socket.get()));
    for (UniqueFd& fd : part.fds) reply.fds.push_back(std::move(fd));
    if (part.data.empty()) return fail("ask monitor", "no answer from " + path, ECONNRESET, path);
    reply.line += part.data;
    if (reply.line.size() > kReplyLimit)
      return fail("ask monitor", "answer too long from " + path, EMSGSIZE, path);
  }
  reply.line.resize(reply.line.find('\n'));
  return reply;
}

Napi::Value listen_js(const Napi::CallbackInfo& info) {
  std::string path = string_argument(info, 0, "path");
  int backlog = static_cast<int>(integer_argument(info, 1, "backlog"));
  return Napi::Number::New(info.Env(), take(info.Env(), listen_unix(path, backlog)).release());
}

Napi::Value connect_js(const Napi::CallbackInfo& info) {
  std::string path = string_argument(info, 0, "path");
  return Napi::Number::New(info.Env(),
                           take(info.Env(), connect_unix(path, SOCK_NONBLOCK)).release());
}

Napi::Value peer_credentials_js(const Napi::CallbackInfo& info) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd_argument(info, 0, "fd"), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    throw to_error(info.Env(), sys_fail("peer credentials", "getsockopt"));
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("pid", credentials.pid);
  result.Set("uid", credentials.uid);
  result.Set("gid", credentials.gid);
  return result;
}

Napi::Value request_descriptors_js(const Napi::CallbackInfo& info) {
  std::string path = string_argument(info, 0, "socketPath");
  std::string request = string_argument(info, 1, "request");
  return on_own_thread(info.Env(), [path, request]() -> Result<Settle> {
    auto reply = std::make_shared<Reply>(TRY(request_descriptors(path, request)));
    return Settle([reply](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      Napi::Array fds = Napi::Array::New(env, reply->fds.size());
      for (uint32_t i = 0; i < reply->fds.size(); ++i) fds.Set(i, reply->fds[i].release());
      result.Set("reply", reply->line);
      result.Set("fds", fds);
      return result;
    });
  });
}

Napi::Value socket_pair_js(const Napi::CallbackInfo& info) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    throw to_error(info.Env(), sys_fail("make sockets", "socketpair"));
  Napi::Array pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0U, fds[0]);
  pair.Set(1U, fds[1]);
  return pair;
}

Napi::Value send_descriptors_js(const Napi::CallbackInfo& info) {
  int socket = fd_argument(info, 0, "socket");
  std::string packet = string_argument(info, 1, "packet");
  if (!info[2].IsArray()) throw Napi::TypeError::New(info.Env(), "fds must be an array");
  auto list = info[2].As<Napi::Array>();
  std::vector<int> fds;
  for (uint32_t i = 0; i < list.Length(); ++i) fds.push_back(list.Get(i).ToNumber().Int32Value());
  take(info.Env(), send_fds(socket, packet, fds.data(), fds.size()));
  return info.Env().Undefined();
}

}  // namespace

void register_sockets(Napi::Env env, Napi::Object exports) {
  exports.Set("listenUnix", Napi::Function::New(env, listen_js, "listenUnix"));
  exports.Set("connectUnix", Napi::Function::New(env, connect_js, "connectUnix"));
  exports.Set("peerCredentials", Napi::Function::New(env, peer_credentials_js, "peerCredentials"));
  exports.Set("socketPair", Napi::Function::New(env, socket_pair_js, "socketPair"));
  exports.Set("sendDescriptors", Napi::Function::New(env, send_descriptors_js, "sendDescriptors"));
  exports.Set("requestDescriptors",
              Napi::Function::New(env, request_descriptors_js, "requestDescriptors"));
}

}  // namespace stack::addon
