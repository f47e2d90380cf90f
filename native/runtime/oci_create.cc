#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <climits>
#include <cstdlib>

#include "clock_text.h"
#include "container.h"
#include "container_launch.h"
#include "fs.h"
#include "oci_verbs.h"
#include "proc.h"

// create, run, start: runtime.md "Lifecycle" steps 1 to 9.

namespace stack {

namespace {

const std::vector<OciOption> kOptions = {
    {"bundle", "b", true},      {"console-socket", "", true},  {"pid-file", "", true},
    {"no-pivot", "", false},    {"no-new-keyring", "", false}, {"preserve-fds", "", true},
    {"detach", "d", false},     {"keep", "", false},           {"no-subreaper", "", false},
    {"pidfd-socket", "", true}, {"config", "f", true}};  // crun's: another file than config.json

struct Request {
  std::string id;
  std::string bundle;
  std::string config_text;
  OciConfig config;
  UniqueFd console_socket, pidfd_socket;
  int preserve_fds = 0;
  bool detach = false;
  OciArgs args;
};

std::string now_rfc3339() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  char out[kTimeText];
  (void)format_time(out, now, 9);
  return out;
}

Result<Request> parse(const std::vector<std::string>& words, bool detached) {
  Request out;
  out.args = TRY(OciArgs::parse(words, kOptions));
  if (out.args.rest().size() != 1)
    return fail("arguments", "exactly one container id is required", EINVAL);
  out.id = out.args.rest()[0];
  TRY(check_container_id(out.id));
  char real[PATH_MAX];
  std::string bundle = out.args.get("bundle", ".");
  if (::realpath(bundle.c_str(), real) == nullptr) return sys_fail("bundle", "realpath", bundle);
  out.bundle = real;
  std::string file = out.args.get("config", "config.json");
  if (!file.starts_with('/')) file = out.bundle + "/" + file;
  auto text = read_file(file);
  if (!text.ok()) {
    return fail("config", "cannot read " + file + ": " + error_text(text.failure().err),
                text.failure().err, file);
  }
  out.config_text = std::move(text).take();
  out.config = TRY(parse_oci_config(out.config_text));
  out.detach = detached || out.args.has("detach");
  out.preserve_fds = TRY(parse_preserve_fds(out.args));
  if (out.args.has("pidfd-socket"))
    out.pidfd_socket = TRY(connect_unix(out.args.get("pidfd-socket"), "pidfd socket"));
  out.console_socket = TRY(connect_console_socket(out.args.get("console-socket"),
                                                  out.config.process.terminal, out.detach));
  return out;
}

/** Where the configuration wants it; else a place of our own. Relative paths too are below that. */
std::string cgroup_path(const Request& request) {
  const std::string& wanted = request.config.cgroups_path;
  if (wanted.empty()) return "/stack-runtime/" + request.id;
  return wanted.starts_with('/') ? wanted : "/stack-runtime/" + wanted;
}

LaunchOptions launch_options(const OciGlobals& globals, const Request& request) {
  LaunchOptions out;
  out.id = request.id;
  out.bundle = request.bundle;
  out.stdin_fd = 0;
  out.stdout_fd = 1;
  out.stderr_fd = 2;
  out.console_socket = request.console_socket.get();
  out.preserve_fds = request.preserve_fds;
  out.window = terminal_size(request.config.process);
  out.plain_line_ends = !request.detach;
  out.no_pivot = request.args.has("no-pivot");
  out.no_new_keyring = request.args.has("no-new-keyring");
  out.seccomp_cache_dir = globals.root + "/.seccomp";
  if (::mkdir(out.seccomp_cache_dir.c_str(), 0700) != 0 && errno != EEXIST)
    out.seccomp_cache_dir = "";
  return out;
}

struct Created {
  OciContainer container;
  Launched launched;
};

/** Everything of `create`; what fails is undone. With `listen` another process starts it. */
Result<Created> create_container(const OciGlobals& globals, Request& request, bool listen) {
  Created out{TRY(OciContainer::make(globals.root, request.id)), {}};
  OciContainer& container = out.container;
  Cgroup cgroup;
  auto attempt = [&]() -> Status {
    TRY(container.save_config(request.config_text));
    std::string path = cgroup_path(request);
    auto before = Cgroup::open(path);
    if (before.ok() && !TRY(before->processes()).empty()) {
      return fail("cgroup",
                  "container's cgroup is not empty: " + path +
                      " has processes already: is another container using it?",
                  EBUSY, path);
    }
    if (before.ok() && TRY(before->frozen())) {
      return fail("cgroup", "container's cgroup unexpectedly frozen: nothing could run in " + path,
                  EBUSY, path);
    }
    cgroup = TRY(Cgroup::create(path, request.config.resources));
    for (const std::string& text : cgroup.warnings()) oci_warn(globals, text);
    LaunchOptions options = launch_options(globals, request);
    options.cgroup = &cgroup;
    UniqueFd socket;
    if (listen) {
      socket = TRY(container.listen_for_start());
      options.start_listen_fd = socket.get();
    }
    out.launched = TRY(launch(request.config, options));
    for (const std::string& text : out.launched.warnings) oci_warn(globals, text);
    OciRecord& record = container.record();
    record.bundle = request.bundle;
    record.cgroup = cgroup.path();
    record.created = now_rfc3339();
    record.pid = out.launched.pid;
    record.pid_start = out.launched.start_time;
    TRY(write_pid_file(request.args.get("pid-file"), record.pid));
    TRY(send_pidfd(request.pidfd_socket, out.launched.pidfd));
    return container.save();
  };
  auto done = attempt();
  if (done.ok()) return out;
  if (out.launched.pidfd) {
    (void)signal_pidfd(out.launched.pidfd.get(), SIGKILL).ok();
    (void)wait_pidfd(out.launched.pidfd.get()).ok();
  }
  if (cgroup.valid()) (void)cgroup.remove().ok();
  if (out.launched.pid > 0) (void)unmount_shared_rootfs(request.config, request.bundle).ok();
  auto hooks = run_hooks(request.config.hooks.poststop, "poststop",
                         state_document(request.config, request.id, "stopped", 0, request.bundle));
  if (!hooks.ok()) oci_warn(globals, hooks.failure().text());
  (void)container.remove_files().ok();
  return std::move(done).failure();
}

/** Since 1.3 a poststart hook that fails stops the container. */
Status run_poststart(const OciContainer& container, const OciConfig& config) {
  auto ran = run_hooks(config.hooks.poststart, "poststart",
                       state_document(config, container.record().id, "running",
                                      container.record().pid, container.record().bundle));
  if (ran.ok()) return ok();
  (void)TRY(container.cgroup()).kill_all().ok();
  return ran;
}

}  // namespace

Result<int> oci_create(const OciGlobals& globals, const std::vector<std::string>& args) {
  Request request = TRY(parse(args, true));
  TRY(create_container(globals, request, true));
  return 0;
}

Result<int> oci_start(const OciGlobals& globals, const std::vector<std::string>& args) {
  OciArgs parsed = TRY(OciArgs::parse(args, {}));
  if (parsed.rest().size() != 1)
    return fail("arguments", "exactly one container id is required", EINVAL);
  OciContainer container = TRY(OciContainer::open(globals.root, parsed.rest()[0]));
  OciConfig config = TRY(container.config());
  OciStatus status = TRY(container.status());
  if (status != OciStatus::created) {
    return fail("start", "cannot start a container that is " + std::string(status_name(status)),
                EINVAL);
  }
  UniqueFd socket = TRY(container.connect_to_start());
  Status started = start_over(socket.get());
  TRY(container.forget_start());
  TRY(std::move(started));
  TRY(run_poststart(container, config));
  return 0;
}

Result<int> oci_run(const OciGlobals& globals, const std::vector<std::string>& args) {
  Request request = TRY(parse(args, false));
  if (!request.detach) hold_signals();
  Created created = TRY(create_container(globals, request, false));
  request.console_socket.reset();
  auto undo = [&](Failure failure) -> Failure {
    (void)destroy_container(globals, created.container, request.config).ok();
    return failure;
  };
  auto started = start(created.launched);
  if (!started.ok()) return undo(std::move(started).failure());
  auto hooks = run_poststart(created.container, request.config);
  if (!hooks.ok()) return undo(std::move(hooks).failure());
  if (request.detach) return 0;
  // Others may look at it, signal it, run things in it while it runs: the lock must not be held for
  // that.
  created.container = OciContainer();
  int code =
      TRY(attend_process(created.launched.pidfd.get(), std::move(created.launched.console_master)));
  if (request.args.has("keep")) return code;
  auto container = OciContainer::open(globals.root, request.id);
  if (!container.ok() && container.failure().err == ENOENT) return code;  // deleted meanwhile
  if (!container.ok()) return std::move(container).failure();
  TRY(destroy_container(globals, *container, request.config));
  return code;
}

}  // namespace stack
