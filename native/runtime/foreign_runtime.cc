#include "foreign_runtime.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

#include <algorithm>

#include "fs.h"
#include "host_mounts.h"
#include "mount.h"
#include "proc.h"

namespace stack {

namespace {

// Words that runtimes put into their messages; Docker classifies by the same.
int error_of(std::string_view message) {
  if (message.find("executable file not found") != std::string_view::npos ||
      message.find("no such file or directory") != std::string_view::npos)
    return ENOENT;
  if (message.find("ermission denied") != std::string_view::npos ||
      message.find("is a directory") != std::string_view::npos)
    return EACCES;
  return 0;
}

Json capability_list(uint64_t mask) {
  Json list = Json::array();
  const auto& names = capability_names();
  for (size_t i = 0; i < names.size(); ++i)
    if ((mask >> i & 1) != 0) list.push(names[i]);
  return list;
}

// The runtime connects to it and sends the terminal's master.
Result<UniqueFd> listen_console(const std::string& directory, UniqueFd& at) {
  constexpr const char* kStage = "open console socket";
  at.reset(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!at || !socket) return sys_fail(kStage, "socket");
  ::unlinkat(at.get(), "console.sock", 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string name = "/proc/self/fd/" + std::to_string(at.get()) + "/console.sock";
  name.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    return sys_fail(kStage, "bind");
  if (::listen(socket.get(), 1) < 0) return sys_fail(kStage, "listen");
  return socket;
}

}  // namespace

Json process_to_json(const Json& base, const OciProcess& process) {
  Json json = base;
  Json args = Json::array(), env = Json::array(), groups = Json::array();
  for (const std::string& each : process.args) args.push(each);
  for (const std::string& each : process.env) env.push(each);
  for (gid_t each : process.additional_gids) groups.push(each);
  Json user = base["user"];
  user.set("uid", process.uid).set("gid", process.gid).set("additionalGids", std::move(groups));
  json.set("args", std::move(args)).set("env", std::move(env)).set("cwd", process.cwd);
  json.set("user", std::move(user)).set("terminal", process.terminal);
  if (process.capabilities) {
    Json sets = Json::object();
    sets.set("bounding", capability_list(process.capabilities->bounding));
    sets.set("effective", capability_list(process.capabilities->effective));
    sets.set("permitted", capability_list(process.capabilities->permitted));
    sets.set("inheritable", capability_list(process.capabilities->inheritable));
    sets.set("ambient", capability_list(process.capabilities->ambient));
    json.set("capabilities", std::move(sets));
  }
  return json;
}

Status ForeignRuntime::mount(const RootMount& root) {
  constexpr const char* kStage = "mount root";
  TRY(make_directories(path("rootfs"), 0700));
  TRY(leave_host_mounts());
  UniqueFd tree = TRY(root.clone());
  UniqueFd target(::open(path("rootfs").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!target) return sys_fail(kStage, "open", path("rootfs"));
  return attach_mount(tree.get(), target.get());
}

// The mounts, those with `run.stack.within` from places of ours: other runtimes go by the path, and
// would follow a link that a container has put into the volume meanwhile. Ours is in the monitor's
// own mount namespace, which the runtime inherits, and found anew at each start.
Result<Json> ForeignRuntime::stage_sources(const Json& config) const {
  constexpr const char* kStage = "mount source";
  Json mounts = Json::array();
  std::string text = config["annotations"]["run.stack.within"].as_string();
  if (text.empty()) return config["mounts"];
  Json within = TRY(Json::parse(text));
  int count = 0;
  for (Json mount : config["mounts"].items()) {
    std::string top = within[mount["destination"].as_string()].as_string();
    std::string source = mount["source"].as_string();
    if (!top.empty()) {
      if (source != top && !source.starts_with(top + "/"))
        return fail(kStage, source + " is no part of " + top, EINVAL, source);
      UniqueFd root(::open(top.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!root) return sys_fail(kStage, "open", top);
      auto found = open_in_root(root.get(), source.substr(top.size()), O_PATH);
      if (!found.ok()) return sys_fail(kStage, "open", source, found.failure().err);
      std::string place = path("source-" + std::to_string(count++));
      while (::umount2(place.c_str(), MNT_DETACH) == 0) {
      }
      struct stat about {};
      if (::fstat(found->get(), &about) < 0) return sys_fail(kStage, "fstat", source);
      if (S_ISDIR(about.st_mode)) {
        (void)::unlink(place.c_str());
        TRY(make_directories(place, 0700));
      } else {
        (void)::rmdir(place.c_str());
        UniqueFd made(::open(place.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!made) return sys_fail(kStage, "open", place);
      }
      UniqueFd tree = TRY(clone_mount(found->get(), "", true));
      UniqueFd target(::open(place.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!target) return sys_fail(kStage, "open", place);
      TRY(attach_mount(tree.get(), target.get()));
      mount.set("source", place);
    }
    mounts.push(std::move(mount));
  }
  return mounts;
}

Status ForeignRuntime::write_bundle(int netns, bool tty) const {
  Json config = TRY(Json::parse(TRY(read_file(directory_ + "/config.json"))));
  config.set("mounts", TRY(stage_sources(config)));
  Json root = config["root"];
  config.set("root", root.set("path", path("rootfs")));
  Json process = config["process"];
  config.set("process", process.set("terminal", tty));
  if (netns >= 0) {
    Json linux_part = config["linux"], spaces = Json::array();
    for (const Json& space : linux_part["namespaces"].items())
      if (space["type"].as_string() != "network") spaces.push(space);
    Json network = Json::object();
    network.set("type", "network");
    network.set("path", "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(netns));
    spaces.push(std::move(network));
    config.set("linux", linux_part.set("namespaces", std::move(spaces)));
  }
  return replace_file(path("config.json"), config.dump());
}

std::vector<std::string> ForeignRuntime::command(const std::vector<std::string>& words) const {
  std::vector<std::string> all = {program_,    "--root",       path("state"), "--log",
                                  path("log"), "--log-format", "json"};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

Result<pid_t> ForeignRuntime::spawn(const std::vector<std::string>& words,
                                    const Streams& streams) const {
  std::vector<std::string> all = command(words);
  std::vector<char*> argv;
  for (std::string& word : all) argv.push_back(word.data());
  argv.push_back(nullptr);
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::unlink(path("log").c_str());
  pid_t pid = ::fork();
  if (pid < 0) return sys_fail("run " + program_, "fork");
  if (pid > 0) return pid;
  ::setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  ::setsid();
  int wanted[3] = {streams.in, streams.out, streams.err};
  for (int fd = 0; fd < 3; ++fd) ::dup2(wanted[fd] >= 0 ? wanted[fd] : null.get(), fd);
  if (streams.controlling_terminal) ::ioctl(0, TIOCSCTTY, 0);
  reset_signals();
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

Failure ForeignRuntime::failure(const std::string& verb) const {
  std::string message = program_ + " " + verb + " failed";
  if (auto log = read_file(path("log"), 1 << 20)) {
    // The last line that is an error is what the runtime would have printed.
    for (size_t at = 0; at < log->size();) {
      size_t end = std::min(log->find('\n', at), log->size());
      auto line = Json::parse(std::string_view(*log).substr(at, end - at));
      at = end + 1;
      if (line && (*line)["level"].as_string() == "error")
        message = program_ + ": " + (*line)["msg"].as_string();
    }
  }
  return Failure{error_of(message) != 0 ? "exec" : program_ + " " + verb, "", error_of(message),
                 program_, message};
}

Status ForeignRuntime::run(const std::vector<std::string>& words, const Streams& streams) const {
  pid_t pid = TRY(spawn(words, streams));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return ok();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127 && !exists(path("log")))
    return Failure{"run " + program_, "execvp", ENOENT, program_,
                   "the runtime " + program_ + " is not installed"};
  return failure(words.front());
}

Result<Launched> ForeignRuntime::create(int netns, bool tty, const Stdio::Ends& ends) {
  constexpr const char* kStage = "create";
  TRY(write_bundle(netns, tty));
  std::vector<std::string> words = {"create", "--bundle", directory_ + "/foreign", "--pid-file",
                                    path("pid")};
  UniqueFd console, at;
  if (tty) {
    console = TRY(listen_console(directory_ + "/foreign", at));
    // The real path may be longer than a socket's address can be.
    std::string name =
        "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(at.get()) + "/console.sock";
    words.insert(words.end(), {"--console-socket", name});
  }
  words.push_back(id_);
  TRY(run(words, {ends.input ? ends.input.get() : -1, ends.output ? ends.output.get() : -1,
                  ends.error ? ends.error.get() : -1, false}));
  Launched launched;
  launched.pid = static_cast<pid_t>(::atoi(TRY(read_file(path("pid"), 64)).c_str()));
  if (launched.pid <= 0)
    return fail(kStage, program_ + " wrote no process id", EINVAL, path("pid"));
  launched.pidfd = TRY(open_pidfd(launched.pid));
  launched.start_time = TRY(process_start_time(launched.pid));
  if (tty) {
    UniqueFd connection(::accept4(console.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) return sys_fail(kStage, "accept4", "console.sock");
    Received message = TRY(recv_fds(connection.get()));
    if (message.fds.empty()) return fail(kStage, program_ + " sent no terminal", EINVAL);
    launched.console_master = std::move(message.fds[0]);
  }
  return launched;
}

Status ForeignRuntime::start() { return run({"start", id_}, {}); }

Status ForeignRuntime::kill(int signal) { return run({"kill", id_, std::to_string(signal)}, {}); }

void ForeignRuntime::remove() { (void)run({"delete", "--force", id_}, {}); }

Result<ExecChild> ForeignRuntime::exec(const OciProcess& process, const ExecOptions& options) {
  constexpr const char* kStage = "exec";
  Json config = TRY(Json::parse(TRY(read_file(path("config.json")))));
  std::string file = path("exec-" + std::to_string(++execs_) + ".json");
  TRY(replace_file(file, process_to_json(config["process"], process).dump()));
  ExecChild child;
  UniqueFd slave;
  Streams streams{options.stdin_fd, options.stdout_fd, options.stderr_fd, false};
  if (process.terminal) {
    int master_fd = -1, slave_fd = -1;
    if (::openpty(&master_fd, &slave_fd, nullptr, nullptr, &options.window) < 0)
      return sys_fail(kStage, "openpty");
    child.console_master.reset(master_fd);
    slave.reset(slave_fd);
    (void)set_cloexec(master_fd, true);
    (void)set_cloexec(slave_fd, true);
    streams = {slave_fd, slave_fd, slave_fd, true};
  }
  child.pid = TRY(spawn({"exec", "--process", file, id_}, streams));
  child.pidfd = TRY(open_pidfd(child.pid));
  return child;
}

}  // namespace stack
