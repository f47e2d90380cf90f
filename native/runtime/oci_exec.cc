#include <fcntl.h>
#include <signal.h>

#include "container.h"
#include "fs.h"
#include "oci_verbs.h"

// exec: another process in a running container, as runc's command line has it.

namespace stack {

namespace {

const std::vector<OciOption> kOptions = {
    {"console-socket", "", true}, {"cwd", "", true},          {"env", "e", true},
    {"tty", "t", false},          {"user", "u", true},        {"additional-gids", "g", true},
    {"process", "p", true},       {"detach", "d", false},     {"pid-file", "", true},
    {"process-label", "", true},  {"apparmor", "", true},     {"no-new-privs", "", false},
    {"cap", "c", true},           {"preserve-fds", "", true}, {"ignore-paused", "", false},
    {"cgroup", "", true},         {"pidfd-socket", "", true}};

Status add_user(const std::string& spec, pid_t pid, OciProcess& process) {
  std::string path = "/proc/" + std::to_string(pid) + "/root";
  UniqueFd root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return sys_fail("user", "open", path);
  ResolvedUser user = TRY(resolve_user(root.get(), spec));
  process.uid = user.uid;
  process.gid = user.gid;
  process.additional_gids = user.additional_gids;
  return ok();
}

/** A later value of a variable replaces an earlier one: programs read the first they find. */
void set_env(std::vector<std::string>& env, const std::string& entry) {
  std::string key = entry.substr(0, entry.find('=') + 1);
  for (std::string& old : env) {
    if (!key.empty() && old.starts_with(key)) {
      old = entry;
      return;
    }
  }
  env.push_back(entry);
}

Status add_capabilities(const OciArgs& args, OciProcess& process) {
  for (const std::string& name : args.all("cap")) {
    int number = capability_number(name);
    if (number < 0) return fail("arguments", "unknown capability " + name, EINVAL, name);
    OciCapabilities sets = process.capabilities.value_or(OciCapabilities{});
    uint64_t bit = 1ull << number;
    sets.bounding |= bit;
    sets.effective |= bit;
    sets.permitted |= bit;
    // Whoever configured inheritable ones wants them to reach what is executed.
    if (sets.inheritable != 0) {
      sets.inheritable |= bit;
      sets.ambient |= bit;
    }
    process.capabilities = sets;
  }
  return ok();
}

Status add_gids(const OciArgs& args, OciProcess& process) {
  for (const std::string& text : args.all("additional-gids")) {
    char* end = nullptr;
    unsigned long gid = std::strtoul(text.c_str(), &end, 10);
    if (text.empty() || *end != 0 || gid > 2147483647) {
      return fail("arguments", "--additional-gids must be a group id", EINVAL, text);
    }
    process.additional_gids.push_back(static_cast<gid_t>(gid));
  }
  return ok();
}

Result<OciProcess> process_from(const OciArgs& args, const OciConfig& config, pid_t pid) {
  std::vector<std::string> words(args.rest().begin() + 1, args.rest().end());
  if (args.has("process")) {
    if (!words.empty())
      return fail("arguments", "a command and --process exclude each other", EINVAL);
    std::string text = TRY(read_file(args.get("process")));
    return parse_oci_process(TRY(Json::parse(text)));
  }
  if (words.empty()) return fail("arguments", "what to execute is missing", EINVAL);
  OciProcess process = config.process;
  process.args = words;
  process.terminal = args.has("tty");
  process.rows = process.columns = 0;
  for (const std::string& entry : args.all("env")) set_env(process.env, entry);
  if (args.has("cwd")) process.cwd = args.get("cwd");
  if (!process.cwd.starts_with('/'))
    return fail("arguments", "--cwd must be absolute", EINVAL, process.cwd);
  if (args.has("user")) TRY(add_user(args.get("user"), pid, process));
  TRY(add_gids(args, process));
  if (args.has("process-label")) process.selinux_label = args.get("process-label");
  if (args.has("apparmor")) process.apparmor_profile = args.get("apparmor");
  if (args.has("no-new-privs")) process.no_new_privileges = true;
  TRY(add_capabilities(args, process));
  return process;
}

}  // namespace

Result<int> oci_exec(const OciGlobals& globals, const std::vector<std::string>& words) {
  OciArgs args = TRY(OciArgs::parse(words, kOptions, OciArgs::Order::before_words));
  if (args.rest().empty()) return fail("arguments", "a container id is required", EINVAL);
  if (args.has("cgroup")) return fail("arguments", "--cgroup is not supported", ENOTSUP);
  OciContainer container = TRY(OciContainer::open(globals.root, args.rest()[0]));
  OciStatus status = TRY(container.status());
  if (status == OciStatus::stopped) return fail("exec", "container not running", ESRCH);
  OciConfig config = TRY(container.config());
  OciProcess process = TRY(process_from(args, config, container.record().pid));
  Cgroup cgroup = TRY(container.cgroup());
  bool detach = args.has("detach");
  UniqueFd console =
      TRY(connect_console_socket(args.get("console-socket"), process.terminal, detach));
  UniqueFd pidfd_socket;
  if (args.has("pidfd-socket"))
    pidfd_socket = TRY(connect_unix(args.get("pidfd-socket"), "pidfd socket"));
  ExecOptions options;
  options.id = container.record().id;
  options.bundle = container.record().bundle;
  options.pid = container.record().pid;
  options.start_time = container.record().pid_start;
  options.config = &config;
  options.process = &process;
  options.stdin_fd = 0;
  options.stdout_fd = 1;
  options.stderr_fd = 2;
  options.console_socket = console.get();
  options.preserve_fds = TRY(parse_preserve_fds(args));
  options.cgroup = &cgroup;
  options.seccomp_cache_dir = globals.root + "/.seccomp";
  options.window = terminal_size(process);
  options.plain_line_ends = !detach;
  options.ignore_paused = args.has("ignore-paused");
  if (options.ignore_paused) container = OciContainer();  // or nobody could resume it
  if (!detach) hold_signals();
  ExecChild child = TRY(exec_in(options));
  for (const std::string& text : child.warnings) oci_warn(globals, text);
  auto told = [&]() -> Status {
    TRY(write_pid_file(args.get("pid-file"), child.pid));
    return send_pidfd(pidfd_socket, child.pidfd);
  };
  auto done = told();
  if (!done.ok()) {
    (void)signal_pidfd(child.pidfd.get(), SIGKILL).ok();
    return std::move(done).failure();
  }
  if (detach) return 0;
  container = OciContainer();
  return attend_process(child.pidfd.get(), std::move(child.console_master));
}

}  // namespace stack
