#include "agent_keeper.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "fs.h"
#include "host_mounts.h"
#include "monitor.h"
#include "proc.h"

namespace stack {

namespace {

constexpr int64_t kSpreadMs = 200;
constexpr int64_t kFirstLookMs = 5000;  // an agent needs a moment to boot and to subscribe
constexpr int64_t kLongestLookMs = 60'000;

int64_t random_below(int64_t limit) {
  uint32_t value = 0;
  if (::getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value) return limit / 2;
  return static_cast<int64_t>(value) * limit / 4294967296;
}

}  // namespace

AgentKeeper::~AgentKeeper() { monitor_.loop().cancel(timer_); }

void AgentKeeper::agent_came() {
  monitor_.loop().cancel(std::exchange(timer_, 0));
  respawn_lock_.reset();
}

void AgentKeeper::agent_went() {
  delay_ms_ = kFirstLookMs;
  monitor_.loop().cancel(timer_);
  timer_ = monitor_.loop().after(random_below(kSpreadMs), [this] { attempt(); });
}

// Looks into /proc/locks instead of trying the lock: a try would disturb an agent that is about to
// take it.
bool AgentKeeper::agent_lives() const {
  struct stat status {};
  if (::stat(spec_.lock.c_str(), &status) < 0) return false;
  char name[64];
  ::snprintf(name, sizeof name, " %02x:%02x:%llu ", major(status.st_dev), minor(status.st_dev),
             static_cast<unsigned long long>(status.st_ino));
  auto locks = read_file("/proc/locks");
  if (!locks) return false;
  for (size_t at = 0; at < locks->size();) {
    size_t end = std::min(locks->find('\n', at), locks->size());
    std::string_view line = std::string_view(*locks).substr(at, end - at);
    at = end + 1;
    if (line.find("FLOCK") != std::string_view::npos && line.find("->") == std::string_view::npos &&
        line.find(name) != std::string_view::npos)
      return true;
  }
  return false;
}

void AgentKeeper::attempt() {
  timer_ = 0;
  if (agent_lives()) {
    again();
    return;
  }
  if (!respawn_lock_) {
    UniqueFd lock(::open(spec_.respawn_lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) < 0) {
      again();  // another monitor does it
      return;
    }
    respawn_lock_ = std::move(lock);
  }
  if (agent_lives()) {
    respawn_lock_.reset();
    again();
    return;
  }
  auto pid = spawn();
  if (pid) {
    monitor_.expect_child(*pid, [this](ProcessEnd) { respawn_lock_.reset(); });
  } else {
    respawn_lock_.reset();
    monitor_.events().add("agent-failed",
                          Json::object().set("error", failure_to_json(pid.failure())));
  }
  again();
}

// Until an agent subscribes, with growing patience.
void AgentKeeper::again() {
  timer_ = monitor_.loop().after(delay_ms_ + random_below(kSpreadMs), [this] { attempt(); });
  delay_ms_ = std::min(delay_ms_ * 2, kLongestLookMs);
}

Result<pid_t> AgentKeeper::spawn() {
  constexpr const char* kStage = "start agent";
  if (spec_.argv.empty()) return fail(kStage, "no command", EINVAL);
  std::vector<char*> argv, env;
  for (const std::string& argument : spec_.argv)
    argv.push_back(const_cast<char*>(argument.c_str()));
  for (const std::string& variable : spec_.env) env.push_back(const_cast<char*>(variable.c_str()));
  argv.push_back(nullptr);
  env.push_back(nullptr);
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return sys_fail(kStage, "open", "/dev/null");
  UniqueFd log;  // without it, it has to do without
  if (!spec_.log.empty())
    log.reset(::open(spec_.log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  pid_t pid = ::fork();
  if (pid < 0) return sys_fail(kStage, "fork");
  if (pid > 0) return pid;
  ::setsid();
  for (int fd = 0; fd < 3; ++fd) ::dup2(fd == 2 && log ? log.get() : null.get(), fd);
  reset_signals();
  if (enter_host_mounts().ok()) ::execve(argv[0], argv.data(), env.data());
  ::_exit(127);
}

}  // namespace stack
