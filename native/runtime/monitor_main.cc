// `stack-runtime monitor --dir DIR [--status-fd N] [--adopt]`
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>

#include "container.h"
#include "fs.h"
#include "monitor.h"
#include "monitor_process.h"
#include "process_title.h"

namespace stack {

namespace {

struct Options {
  MonitorOptions monitor;
  int status_fd = -1;
};

std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    if (word == "--adopt")
      options.monitor.adopt = true;
    else if (word == "--dir" && i + 1 < argc)
      options.monitor.directory = argv[++i];
    else if (word == "--status-fd" && i + 1 < argc)
      options.status_fd = ::atoi(argv[++i]);
    else
      return std::nullopt;
  }
  if (!accept_directory(options.monitor.directory)) return std::nullopt;
  return options;
}

// The parent returns at once; who started us waits for the line on the status descriptor.
Status become_daemon(Waited waited) {
  constexpr const char* kStage = "start monitor";
  pid_t pid = waited == Waited::yes ? ::fork() : 0;
  if (pid < 0) return sys_fail(kStage, "fork");
  if (pid > 0) ::_exit(0);
  ::setsid();
  pid = ::fork();  // not a session leader: no terminal can become ours
  if (pid < 0) return sys_fail(kStage, "fork");
  if (pid > 0) ::_exit(0);
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return sys_fail(kStage, "open", "/dev/null");
  for (int fd = 0; fd < 3; ++fd)
    if (::dup2(null.get(), fd) < 0) return sys_fail(kStage, "dup2", "/dev/null");
  ::umask(022);
  if (::chdir("/") != 0) return sys_fail(kStage, "chdir", "/");
  return ok();
}

void tell(UniqueFd& status, const Json& line) {
  if (!status) return;
  (void)write_all(status.get(), line.dump() + "\n");
  status.reset();
}

void tell_failure(UniqueFd& status, const Failure& failure) {
  tell(status, Json::object().set("ok", false).set("error", failure_to_json(failure)));
}

Result<int> oom_score() {
  std::string text = TRY(read_file("/proc/self/oom_score_adj", 64));
  return ::atoi(text.c_str());
}

// The kernel is to prefer anybody else when memory runs out. Without the right to ask for it we
// stay as we are.
Result<Monitor::Inherited> protect_from_oom(const MonitorSpec& spec) {
  Monitor::Inherited original;
  original.oom_score = TRY(oom_score());
  if (::getrlimit(RLIMIT_NOFILE, &original.descriptors) != 0)
    return sys_fail("start monitor", "getrlimit");
  int wanted = spec.oom_score_adj.value_or(-999);
  if (wanted < original.oom_score)
    (void)write_existing("/proc/self/oom_score_adj", std::to_string(wanted));
  return original;
}

Status supervise(const MonitorOptions& options, UniqueFd& status) {
  auto monitor = TRY(Monitor::open(options.directory));
  monitor->set_inherited(TRY(protect_from_oom(monitor->spec())));
  TRY(options.adopt ? monitor->adopt() : monitor->start());
  Json ports = Json::array();
  for (const BoundPort& port : monitor->record().ports) ports.push(to_json(port));
  Json line = Json::object();
  line.set("ok", true).set("pid", monitor->record().pid).set("ports", std::move(ports));
  Json warnings = Json::array();
  for (const std::string& text : monitor->warnings()) warnings.push(text);
  if (warnings.size() > 0) line.set("warnings", std::move(warnings));
  tell(status, line);
  return monitor->run();
}

}  // namespace

bool accept_directory(std::string& directory) {
  if (directory.empty() || directory[0] != '/') return false;
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  return true;
}

int run_monitor(const MonitorOptions& options, UniqueFd status, Waited waited) {
  forget_environment();
  ::prctl(PR_SET_NAME, kMonitorName, 0, 0, 0);
  // One heap, given back as a whole: large pieces would otherwise become mappings that init
  // inherits.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::signal(SIGPIPE, SIG_IGN);
  Status done = status ? set_cloexec(status.get(), true) : ok();
  if (done) done = become_daemon(waited);
  if (done) done = supervise(options, status);
  if (done) return 0;
  tell_failure(status, done.failure());
  return 125;
}

}  // namespace stack

int monitor_main(int argc, char** argv) {
  using namespace stack;
  auto options = parse_options(argc, argv);
  if (!options) {
    ::fputs("usage: stack-runtime monitor --dir /ABSOLUTE/DIR [--status-fd N] [--adopt]\n", stderr);
    return 125;
  }
  // Whole command line: the verb was cut off. Without protection a container could overwrite this
  // program (CVE-2019-5736), so none is started.
  char** whole = argv - 1;
  UniqueFd status(options->status_fd);
  if (auto safe = protect_self(whole); !safe) {
    tell_failure(status, safe.failure());
    return 125;
  }
  remember_title(whole);
  return run_monitor(options->monitor, std::move(status), Waited::yes);
}
