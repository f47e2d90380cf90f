#include "oci_verbs.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>

#include <cstdio>
#include <iterator>

#include "container.h"
#include "container_launch.h"
#include "fs.h"

// state, kill, delete, list, ps, pause, resume: what looks at containers or ends them.

namespace stack {

namespace {

Result<OciContainer> open_named(const OciGlobals& globals, const OciArgs& args, size_t most = 1) {
  if (args.rest().empty() || args.rest().size() > most) {
    return fail("arguments", "exactly one container id is required", EINVAL);
  }
  return OciContainer::open(globals.root, args.rest()[0]);
}

void print(const std::string& text) { (void)write_all(1, text + "\n").ok(); }

std::string command_of(pid_t pid) {
  auto text = read_file("/proc/" + std::to_string(pid) + "/cmdline", 65536);
  if (!text.ok()) return "";
  for (char& c : *text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  while (!text->empty() && text->back() == ' ') text->pop_back();
  return *text;
}

std::string padded(const std::string& text, size_t width) {
  return text.size() >= width ? text + " " : text + std::string(width - text.size(), ' ');
}

/** SIGKILL to all of it, and to PID 1 should its cgroup be gone. */
Status kill_everything(const OciContainer& container, const Cgroup& cgroup) {
  const OciRecord& record = container.record();
  auto started = process_start_time(record.pid);
  if (started.ok() && *started == record.pid_start) {
    UniqueFd pidfd = TRY(open_pidfd(record.pid));
    auto again = process_start_time(record.pid);  // the pidfd is this process, or nobody's
    if (again.ok() && *again == record.pid_start) (void)signal_pidfd(pidfd.get(), SIGKILL).ok();
  }
  return cgroup.kill_all();
}

constexpr int kEndTimeoutMs = 10000;

}  // namespace

Status destroy_container(const OciGlobals& globals, OciContainer& container,
                         const OciConfig& config) {
  Cgroup cgroup = TRY(container.cgroup());
  TRY(kill_everything(container, cgroup));
  if (cgroup.valid()) {
    TRY(cgroup.wait_empty(kEndTimeoutMs));
    TRY(cgroup.remove());
  }
  TRY(unmount_shared_rootfs(config, container.record().bundle));
  auto ran = run_hooks(
      config.hooks.poststop, "poststop",
      state_document(config, container.record().id, "stopped", 0, container.record().bundle));
  if (!ran.ok()) oci_warn(globals, ran.failure().text());
  return container.remove_files();
}

Result<int> oci_state(const OciGlobals& globals, const std::vector<std::string>& args) {
  OciArgs parsed = TRY(OciArgs::parse(args, {}));
  OciContainer container = TRY(open_named(globals, parsed));
  print(container.state(TRY(container.config()), TRY(container.status())).pretty());
  return 0;
}

Result<int> oci_kill(const OciGlobals& globals, const std::vector<std::string>& args) {
  OciArgs parsed = TRY(OciArgs::parse(args, {{"all", "a", false}}));
  OciContainer container = TRY(open_named(globals, parsed, 2));
  std::string name = parsed.rest().size() > 1 ? parsed.rest()[1] : "SIGTERM";
  int signal = signal_number(name);
  if (signal == 0 && name != "0") return fail("arguments", "unknown signal " + name, EINVAL, name);
  OciStatus status = TRY(container.status());
  Cgroup cgroup = TRY(container.cgroup());
  // Without a process namespace of its own the others outlive the first process: nothing else would
  // end them.
  const OciConfig config = TRY(container.config());
  const OciNamespace* pids = config.find_namespace(CLONE_NEWPID);
  bool shared = pids == nullptr || !pids->path.empty();
  if (parsed.has("all") || (shared && signal == SIGKILL)) {
    if (!parsed.has("all") && TRY(cgroup.processes()).empty())
      return fail("kill", "container not running", ESRCH);
    TRY(signal == SIGKILL ? cgroup.kill_all() : cgroup.signal_all(signal));
    return 0;
  }
  if (status == OciStatus::stopped) return fail("kill", "container not running", ESRCH);
  UniqueFd pidfd = TRY(open_pidfd(container.record().pid));
  if (TRY(container.status()) == OciStatus::stopped)
    return fail("kill", "container not running", ESRCH);
  TRY(signal_pidfd(pidfd.get(), signal));
  // A v1-frozen process does not die before it is thawed.
  if (signal == SIGKILL && status == OciStatus::paused) TRY(cgroup.thaw());
  return 0;
}

Result<int> oci_delete(const OciGlobals& globals, const std::vector<std::string>& args) {
  OciArgs parsed = TRY(OciArgs::parse(args, {{"force", "f", false}}));
  bool force = parsed.has("force");
  auto opened = open_named(globals, parsed);
  if (!opened.ok() && force && opened.failure().err == ENOENT) return 0;
  if (!opened.ok()) return std::move(opened).failure();
  OciContainer container = std::move(opened).take();
  OciStatus status = TRY(container.status());
  if (!force && status != OciStatus::stopped && status != OciStatus::created) {
    return fail("delete",
                "container " + container.record().id + " is " + status_name(status) +
                    ": stop it first, or use --force",
                EBUSY);
  }
  TRY(destroy_container(globals, container, TRY(container.config())));
  return 0;
}

Result<int> oci_list(const OciGlobals& globals, const std::vector<std::string>& args) {
  OciArgs parsed = TRY(OciArgs::parse(args, {{"format", "f", true}, {"quiet", "q", false}}));
  Json all = Json::array();
  std::string table = padded("ID", 24) + padded("PID", 10) + padded("STATUS", 10) +
                      padded("BUNDLE", 40) + "CREATED";
  for (const std::string& id : list_containers(globals.root)) {
    auto container = OciContainer::open(globals.root, id);
    if (!container.ok()) continue;  // deleted meanwhile
    OciStatus status = TRY(container->status());
    if (parsed.has("quiet")) print(id);
    const OciRecord& record = container->record();
    all.push(container->state(TRY(container->config()), status));
    pid_t pid = status == OciStatus::stopped ? 0 : record.pid;
    table += "\n" + padded(id, 24) + padded(std::to_string(pid), 10) +
             padded(status_name(status), 10) + padded(record.bundle, 40) + record.created;
  }
  if (parsed.has("quiet")) return 0;
  std::string format = parsed.get("format", "table");
  if (format != "table" && format != "json")
    return fail("arguments", "--format must be table or json", EINVAL);
  print(format == "json" ? all.dump() : table);
  return 0;
}

Result<int> oci_ps(const OciGlobals& globals, const std::vector<std::string>& args) {
  OciArgs parsed = TRY(OciArgs::parse(args, {{"format", "f", true}}, OciArgs::Order::before_words));
  OciContainer container = TRY(open_named(globals, parsed, 16));
  Json pids = Json::array();
  std::string table = padded("PID", 10) + "COMMAND";
  for (pid_t pid : TRY(TRY(container.cgroup()).processes())) {
    pids.push(static_cast<int>(pid));
    table += "\n" + padded(std::to_string(pid), 10) + command_of(pid);
  }
  print(parsed.get("format") == "json" ? pids.dump() : table);
  return 0;
}

Result<int> oci_pause(const OciGlobals& globals, const std::vector<std::string>& args) {
  OciContainer container = TRY(open_named(globals, TRY(OciArgs::parse(args, {}))));
  OciStatus status = TRY(container.status());
  if (status != OciStatus::running && status != OciStatus::created) {
    return fail("pause", "container is " + std::string(status_name(status)), EINVAL);
  }
  TRY(TRY(container.cgroup()).freeze());
  return 0;
}

Result<int> oci_resume(const OciGlobals& globals, const std::vector<std::string>& args) {
  OciContainer container = TRY(open_named(globals, TRY(OciArgs::parse(args, {}))));
  Cgroup cgroup = TRY(container.cgroup());
  if (TRY(container.status()) == OciStatus::stopped || !TRY(cgroup.frozen())) {
    return fail("resume", "container is not paused", EINVAL);
  }
  TRY(cgroup.thaw());
  return 0;
}

}  // namespace stack
