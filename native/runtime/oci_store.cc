#include "oci_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>

#include "container_launch.h"
#include "fs.h"

namespace stack {

namespace {

/** Any path length: sun_path has 108 bytes, so the socket is reached through its directory's
 * descriptor. */
Result<sockaddr_un> socket_address(const UniqueFd& directory) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/start.sock",
                directory.get());
  return address;
}

Result<UniqueFd> open_directory(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_fail("state", "open", path);
  return fd;
}

/** 'R', 'Z' …: field 3 of /proc/PID/stat; 0 if it is another process or none. */
char process_state(const OciRecord& record) {
  auto started = process_start_time(record.pid);
  if (!started.ok() || *started != record.pid_start) return 0;
  auto text = read_file("/proc/" + std::to_string(record.pid) + "/stat", 8192);
  if (!text.ok()) return 0;
  size_t end = text->rfind(')');
  return end == std::string::npos || end + 2 >= text->size() ? 0 : (*text)[end + 2];
}

}  // namespace

const char* status_name(OciStatus status) {
  switch (status) {
    case OciStatus::created:
      return "created";
    case OciStatus::running:
      return "running";
    case OciStatus::paused:
      return "paused";
    case OciStatus::stopped:
      return "stopped";
  }
  return "stopped";
}

Status check_container_id(const std::string& id) {
  auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '+' || c == '-' || c == '.';
  };
  bool valid =
      !id.empty() && id.size() <= 1024 && id[0] != '.' && std::all_of(id.begin(), id.end(), good);
  if (valid) return ok();
  return fail("arguments", "invalid container id \"" + id + "\": letters, digits, _ + - . only",
              EINVAL, id);
}

std::string default_root() {
  const char* runtime = ::getenv("XDG_RUNTIME_DIR");
  if (::geteuid() != 0 && runtime != nullptr) return std::string(runtime) + "/stack-runtime";
  return "/run/stack-runtime";
}

Result<OciContainer> OciContainer::make(const std::string& root, const std::string& id) {
  TRY(check_container_id(id));
  TRY(make_directories(root, 0700));
  OciContainer out;
  out.directory_ = root + "/" + id;
  if (::mkdir(out.directory_.c_str(), 0700) != 0) {
    if (errno == EEXIST) {
      return fail("create", "container with id " + id + " exists already", EEXIST, id);
    }
    return sys_fail("create", "mkdir", out.directory_);
  }
  out.lock_ = TRY(open_directory(out.directory_));
  if (::flock(out.lock_.get(), LOCK_EX) != 0) return sys_fail("create", "flock", out.directory_);
  out.record_.id = id;
  out.record_.owner = ::geteuid();
  return out;
}

Result<OciContainer> OciContainer::open(const std::string& root, const std::string& id) {
  TRY(check_container_id(id));
  OciContainer out;
  out.directory_ = root + "/" + id;
  auto lock = open_directory(out.directory_);
  if (!lock.ok()) return fail("state", "container " + id + " does not exist", ENOENT, id);
  out.lock_ = std::move(lock).take();
  if (::flock(out.lock_.get(), LOCK_EX) != 0) return sys_fail("state", "flock", out.directory_);
  auto text = read_file(out.directory_ + "/state.json");
  // No state yet or any more: its creation failed, or somebody deleted it while we waited.
  if (!text.ok()) return fail("state", "container " + id + " does not exist", ENOENT, id);
  Json json = TRY(Json::parse(*text));
  OciRecord& record = out.record_;
  record.id = id;
  record.bundle = json["bundle"].as_string();
  record.cgroup = json["cgroup"].as_string();
  record.created = json["created"].as_string();
  record.pid = static_cast<pid_t>(json["pid"].as_int());
  record.pid_start = json["pidStart"].as_uint();
  record.owner = static_cast<uid_t>(json["owner"].as_uint());
  return out;
}

Status OciContainer::save() const {
  Json json = Json::object();
  json.set("version", 1)
      .set("id", record_.id)
      .set("bundle", record_.bundle)
      .set("cgroup", record_.cgroup)
      .set("created", record_.created)
      .set("pid", static_cast<int>(record_.pid))
      .set("pidStart", record_.pid_start)
      .set("owner", record_.owner);
  return replace_file(directory_ + "/state.json", json.dump());
}

Status OciContainer::save_config(std::string_view text) const {
  return replace_file(directory_ + "/config.json", text);
}

Result<OciConfig> OciContainer::config() const {
  return load_oci_config(directory_ + "/config.json");
}

Result<OciStatus> OciContainer::status() const {
  char state = process_state(record_);
  if (state == 0 || state == 'Z' || state == 'X') return OciStatus::stopped;
  if (exists(directory_ + "/start.sock")) return OciStatus::created;
  if (TRY(TRY(cgroup()).frozen())) return OciStatus::paused;
  return OciStatus::running;
}

Result<Cgroup> OciContainer::cgroup() const {
  if (record_.cgroup.empty()) return Cgroup();
  return Cgroup::open(record_.cgroup);
}

Result<UniqueFd> OciContainer::listen_for_start() const {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return sys_fail("create", "socket");
  sockaddr_un address = TRY(socket_address(lock_));
  mode_t before = ::umask(0177);
  int bound = ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  int err = errno;
  ::umask(before);
  if (bound != 0) return sys_fail("create", "bind", directory_ + "/start.sock", err);
  if (::listen(socket.get(), 1) != 0) return sys_fail("create", "listen");
  return socket;
}

Result<UniqueFd> OciContainer::connect_to_start() const {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return sys_fail("start", "socket");
  sockaddr_un address = TRY(socket_address(lock_));
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return sys_fail("start", "connect", directory_ + "/start.sock");
  }
  return socket;
}

Status OciContainer::forget_start() const {
  if (::unlinkat(lock_.get(), "start.sock", 0) != 0 && errno != ENOENT) {
    return sys_fail("start", "unlink", directory_ + "/start.sock");
  }
  return ok();
}

Json OciContainer::state(const OciConfig& config, OciStatus status) const {
  pid_t pid = status == OciStatus::stopped ? 0 : record_.pid;
  auto document =
      Json::parse(state_document(config, record_.id, status_name(status), pid, record_.bundle));
  Json known = document.ok() ? std::move(document).take() : Json::object();
  // As runc prints it, in its order: pid 0 for what has ended, and more than the specification asks
  // for.
  Json out = Json::object();
  out.set("ociVersion", known["ociVersion"])
      .set("id", known["id"])
      .set("pid", static_cast<int>(pid));
  for (const auto& [key, value] : known.members()) {
    if (!out.has(key)) out.set(key, value);
  }
  out.set("rootfs", rootfs_path(config, record_.bundle));
  out.set("created", record_.created);
  out.set("owner", "");
  return out;
}

Status OciContainer::remove_files() const {
  std::string name = directory_.substr(directory_.rfind('/') + 1);
  UniqueFd parent = TRY(open_directory(directory_.substr(0, directory_.rfind('/'))));
  // state.json first: without it the container does not exist for anybody else.
  ::unlinkat(lock_.get(), "state.json", 0);
  return remove_tree(parent.get(), name);
}

std::vector<std::string> list_containers(const std::string& root) {
  std::vector<std::string> out;
  DIR* stream = ::opendir(root.c_str());
  if (stream == nullptr) return out;
  while (dirent* entry = ::readdir(stream)) {
    std::string name = entry->d_name;
    if (check_container_id(name).ok() && exists(root + "/" + name + "/state.json"))
      out.push_back(name);
  }
  ::closedir(stream);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace stack
