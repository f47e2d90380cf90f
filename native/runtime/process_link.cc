#include "process_link.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>

namespace stack {

namespace {

constexpr const char* kName = "init.sock";
constexpr const char* kStage = "process";
constexpr size_t kLongestMessage = 256 << 10;

sockaddr_un address_in(int directory) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, kName);
  return address;
}

Result<UniqueFd> listen_in(int directory) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return sys_fail(kStage, "socket");
  if (::unlinkat(directory, kName, 0) < 0 && errno != ENOENT)
    return sys_fail(kStage, "unlinkat", kName);
  sockaddr_un address = address_in(directory);
  mode_t mask = ::umask(0177);
  int bound = ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  int err = errno;
  ::umask(mask);
  if (bound < 0) return sys_fail(kStage, "bind", kName, err);
  if (::listen(socket.get(), 8) < 0) return sys_fail(kStage, "listen", kName);
  return socket;
}

}  // namespace

ProcessLink::~ProcessLink() { disconnect(); }

void ProcessLink::disconnect() {
  if (socket_) loop_.remove(socket_.get());
  socket_.reset();
}

int ProcessLink::hold(UniqueFd fd) {
  held_.push_back(std::move(fd));
  return held_.back().get();
}

Status ProcessLink::prepare_one(const Cgroup& cgroup, Stdio& stdio, size_t index,
                                ProcessFds& out) {
  const ProcessSpec& process = spec_.processes[index];
  if (process.main) return ok();  // in init's leaf, with the container's streams
  Stdio::Ends ends = TRY(stdio.process_ends(index));
  out.output = hold(std::move(ends.output));
  out.error = hold(std::move(ends.error));
  // For init to keep, so that nobody gets SIGPIPE while no monitor lives.
  hold(std::move(ends.output_reader));
  hold(std::move(ends.error_reader));
  if (!cgroup.valid()) return ok();
  std::string leaf = TRY(cgroup.unified_leaf("p-" + process.name));
  if (leaf.empty()) return ok();
  auto open = [&](const char* name, int flags) {
    std::string path = leaf + name;
    return UniqueFd(::open(path.c_str(), flags | O_CLOEXEC));
  };
  UniqueFd directory = open("", O_PATH | O_DIRECTORY), procs = open("/cgroup.procs", O_WRONLY),
           list = open("/cgroup.procs", O_RDONLY), freeze = open("/cgroup.freeze", O_WRONLY);
  if (!directory || !procs || !list) return sys_fail(kStage, "open", leaf);
  if (cgroup.may_clone_into()) out.cgroup_dir = hold(std::move(directory));
  out.cgroup_procs = hold(std::move(procs));
  out.cgroup_list = hold(std::move(list));
  if (freeze) out.cgroup_freeze = hold(std::move(freeze));
  return ok();
}

Status ProcessLink::prepare(const Cgroup& cgroup, Stdio& stdio, int stop_signal, InitData& data,
                            std::vector<int>& keep) {
  held_.clear();
  disconnect();
  data.supervision = &spec_;
  data.stop_signal = stop_signal;
  data.processes.resize(spec_.processes.size());
  for (size_t i = 0; i < spec_.processes.size(); ++i)
    TRY(prepare_one(cgroup, stdio, i, data.processes[i]));
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return sys_fail(kStage, "open", "/dev/null");
  data.null_fd = hold(std::move(null));
  data.socket = hold(TRY(listen_in(directory_)));
  for (const UniqueFd& fd : held_) keep.push_back(fd.get());
  // At once: what init tells before it is asked waits in the socket.
  return connect();
}

void ProcessLink::started() { held_.clear(); }

Status ProcessLink::connect() {
  disconnect();
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return sys_fail(kStage, "socket");
  sockaddr_un address = address_in(directory_);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    return sys_fail(kStage, "connect", kName);
  socket_ = std::move(socket);
  return loop_.add(socket_.get(), EPOLLIN, [this](uint32_t) { read(); });
}

void ProcessLink::read() {
  std::string buffer(kLongestMessage, 0);
  Json state;
  while (socket_) {
    ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) {
      disconnect();
      break;
    }
    auto message = Json::parse(std::string_view(buffer).substr(0, static_cast<size_t>(n)));
    if (!message) continue;
    if ((*message)["supervision"].is_object()) {
      state = (*message)["supervision"];
      continue;
    }
    auto waiter = waiting_.find((*message)["reply"].as_int(-1));
    if (waiter == waiting_.end()) continue;
    if (state.is_object()) told_(std::exchange(state, Json()));
    auto done = std::move(waiter->second);
    waiting_.erase(waiter);
    if ((*message)["ok"].as_bool())
      done(ok());
    else
      done(failure_from_json((*message)["error"]));
  }
  if (state.is_object()) told_(state);
}

void ProcessLink::run_ended() {
  read();
  disconnect();
  for (auto& [id, done] : std::exchange(waiting_, {}))
    done(fail(kStage, "the container has ended meanwhile", ESRCH));
}

void ProcessLink::request(const Json& request, std::function<void(const Status&)> done) {
  if (!socket_) {
    done(fail(kStage, "the container does not run", ESRCH));
    return;
  }
  int64_t id = next_id_++;
  Json message = Json::object();
  message.set("id", id);
  for (const char* key : {"process", "action", "signal", "graceMs", "probe", "restarts"})
    if (request.has(key)) message.set(key, request[key]);
  std::string text = message.dump();
  if (::send(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    done(sys_fail(kStage, "send", kName));
    return;
  }
  waiting_[id] = std::move(done);
}

}  // namespace stack
