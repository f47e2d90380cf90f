#include "daemon_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/vfs.h>

#include <algorithm>

#include "clock_text.h"

namespace stack {

namespace {

constexpr int64_t kFirstPauseMs = 20;
constexpr int64_t kLongestPauseMs = 1000;
// A daemon that starts itself anew may be gone for a moment.
constexpr int64_t kGoneForMs = 1000;
// The middle process of a double fork lives this long at most.
constexpr double kDaemonisingSeconds = 5;
constexpr size_t kKeptOrphans = 8;
constexpr size_t kCommand = 15;

struct Stat {
  char state = 0;
  pid_t parent = 0, session = 0;
  uint64_t started = 0;  // clock ticks since boot
  std::string command;
};

std::string read_at(int directory, const std::string& path, size_t limit) {
  UniqueFd file(::openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return {};
  std::string text(limit, 0);
  ssize_t n = ::read(file.get(), text.data(), limit);
  text.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return text;
}

// proc(5): the name in parentheses may hold anything.
bool parse_stat(const std::string& text, Stat& out) {
  size_t open = text.find('('), close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return false;
  out.command = text.substr(open + 1, close - open - 1);
  std::vector<std::string_view> fields;
  std::string_view rest = std::string_view(text).substr(close + 1);
  while (!rest.empty()) {
    size_t start = rest.find_first_not_of(" \n");
    if (start == std::string_view::npos) break;
    size_t end = std::min(rest.find(' ', start), rest.size());
    fields.push_back(rest.substr(start, end - start));
    rest.remove_prefix(end);
  }
  if (fields.size() < 20) return false;
  auto number = [&](size_t i) { return ::strtoull(std::string(fields[i]).c_str(), nullptr, 10); };
  out.state = fields[0].empty() ? '?' : fields[0][0];
  out.parent = static_cast<pid_t>(number(1));
  out.session = static_cast<pid_t>(number(3));
  out.started = number(19);
  return true;
}

// What exec has started is nobody's daemon, and what a supervised process started is that one's.
bool of_another(std::string_view cgroups) {
  size_t at = cgroups.find("0::");
  if (at == std::string_view::npos) return false;
  std::string_view path = cgroups.substr(at + 3);
  path = path.substr(0, path.find('\n'));
  size_t slash = path.rfind('/');
  std::string_view leaf = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return leaf == "exec" || leaf.starts_with("p-");
}

double seconds_since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

}  // namespace

std::string daemon_name(std::string_view first_argument) {
  std::string_view name = first_argument.substr(0, first_argument.find(": "));
  if (name.ends_with(':')) name.remove_suffix(1);
  if (size_t space = name.find(' '); space != std::string_view::npos) name = name.substr(0, space);
  if (size_t slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
  if (name.starts_with('-')) name.remove_prefix(1);  // a login shell
  return std::string(name);
}

bool is_named(std::string_view wanted, std::string_view command, std::string_view first_argument) {
  if (command == wanted.substr(0, kCommand)) return true;
  return !first_argument.empty() && daemon_name(first_argument) == wanted;
}

DaemonWatch::DaemonWatch(EventLoop& loop, const SupervisionSpec& spec, Needs needs)
    : loop_(loop), spec_(spec), needs_(std::move(needs)), pause_ms_(kFirstPauseMs) {
  // Held from the start: what is mounted there later is not asked.
  proc_.reset(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct statfs info {};
  if (proc_ && (::fstatfs(proc_.get(), &info) != 0 || info.f_type != PROC_SUPER_MAGIC))
    proc_.reset();
  for (const std::string& name : spec.expect) {
    Expected& expected = expected_.emplace_back();
    expected.name = name;
    expected.deadline_ms = monotonic_ms() + spec.expect_grace_ms;
  }
  if (!expected_.empty()) timer_ = loop_.after(pause_ms_, [this] { look(); });
}

DaemonWatch::~DaemonWatch() { stop(); }

void DaemonWatch::stop() {
  stopped_ = true;
  loop_.cancel(std::exchange(timer_, 0));
  for (Expected& expected : expected_)
    if (expected.pidfd) loop_.remove(expected.pidfd.get());
  expected_.clear();
}

std::vector<DaemonWatch::Found> DaemonWatch::processes() const {
  std::vector<Found> out;
  UniqueFd copy(proc_ ? ::openat(proc_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1);
  if (!copy) return out;
  DIR* list = ::fdopendir(copy.get());
  if (list == nullptr) return out;
  copy.release();
  while (dirent* entry = ::readdir(list)) {
    int pid = ::atoi(entry->d_name);
    if (pid <= 1) continue;
    std::string name = entry->d_name;
    Stat stat;
    if (!parse_stat(read_at(proc_.get(), name + "/stat", 1024), stat)) continue;
    if (stat.state == 'Z' || stat.state == 'X') continue;
    std::string title = read_at(proc_.get(), name + "/cmdline", 256);
    out.push_back({pid, stat.parent, stat.session, stat.command, title.c_str()});
  }
  ::closedir(list);
  return out;
}

// The daemon itself is a child of PID 1; its workers have its name too.
bool DaemonWatch::attend(Expected& expected, const std::vector<Found>& all) {
  const Found* best = nullptr;
  for (const Found& each : all) {
    if (!is_named(expected.name, each.command, each.title)) continue;
    if (best == nullptr || (best->parent != 1 && each.parent == 1)) best = &each;
  }
  if (best == nullptr) return false;
  auto pidfd = open_pidfd(best->pid);
  if (!pidfd) return false;
  expected.pidfd = std::move(pidfd).take();
  Expected* self = &expected;
  if (!loop_.add(expected.pidfd.get(), EPOLLIN, [this, self](uint32_t) { lost(*self); }).ok()) {
    expected.pidfd.reset();
    return false;
  }
  expected.seen = true;
  expected.why.clear();
  if (expected.missing) {
    expected.missing = false;
    needs_.event("expected-back", Json::object().set("name", expected.name));
  }
  needs_.changed();
  return true;
}

void DaemonWatch::lost(Expected& expected) {
  loop_.remove(expected.pidfd.get());
  expected.pidfd.reset();
  expected.deadline_ms = monotonic_ms() + kGoneForMs;
  pause_ms_ = kFirstPauseMs;
  look();
}

void DaemonWatch::look() {
  loop_.cancel(std::exchange(timer_, 0));
  if (stopped_) return;
  std::vector<Found> all = processes();
  int64_t now = monotonic_ms();
  bool more = false;
  for (Expected& expected : expected_) {
    if (expected.pidfd || attend(expected, all)) continue;
    more = true;
    if (expected.missing || now < expected.deadline_ms) continue;
    expected.missing = true;
    if (expected.why.empty())
      expected.why = expected.seen ? expected.name + ", which is expected, has ended"
                                   : expected.name + ", which is expected, has not started";
    needs_.event("expected-missing", Json::object().set("name", expected.name).set("why", expected.why));
    needs_.changed();
  }
  if (!more) return;
  timer_ = loop_.after(pause_ms_, [this] { look(); });
  pause_ms_ = std::min(pause_ms_ * 3 / 2, kLongestPauseMs);
}

void DaemonWatch::orphan_ended(pid_t pid, int code, int signal) {
  if (stopped_ || !proc_ || needs_.ours(pid)) return;
  std::string directory = std::to_string(pid);
  Stat stat;
  if (!parse_stat(read_at(proc_.get(), directory + "/stat", 1024), stat)) return;
  // A daemon has left the session of who started it; a mere background job has not.
  if (needs_.ours(stat.session) || stat.session == 0) return;
  if (of_another(read_at(proc_.get(), directory + "/cgroup", 4096))) return;
  std::vector<Found> all = processes();
  double lived = seconds_since_boot() -
                 static_cast<double>(stat.started) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  bool session_lives =
      std::ranges::any_of(all, [&](const Found& each) { return each.session == stat.session; });
  if (code == 0 && session_lives && lived < kDaemonisingSeconds) return;  // a double fork's middle
  Json orphan = Json::object();
  orphan.set("name", stat.command).set("pid", pid).set("code", code).set("signal", signal);
  needs_.event("orphan-exit", orphan);
  orphan.set("at", time_now());
  orphans_.push_back(orphan);
  if (orphans_.size() > kKeptOrphans) orphans_.erase(orphans_.begin());
  std::string how = signal != 0 ? "was ended by signal " + std::to_string(signal)
                                : "has ended with " + std::to_string(code);
  std::string why = "the daemon " + stat.command + " (process " + directory + ") " + how;
  if (spec_.on_orphan_exit == OrphanAction::restart) needs_.restart(code, signal, why);
  if (spec_.on_orphan_exit == OrphanAction::unhealthy) {
    bool another = std::ranges::any_of(all, [&](const Found& each) {
      return each.pid != pid && is_named(stat.command, each.command, each.title);
    });
    bool known = false;
    for (Expected& each : expected_) {
      if (!is_named(each.name, stat.command, {})) continue;
      known = true;
      if (!another) each.why = why;
    }
    if (!another && !known) {
      Expected& expected = expected_.emplace_back();
      expected.name = stat.command;
      expected.why = why;
      expected.seen = true;
      look();
    }
  }
  needs_.changed();
}

std::string DaemonWatch::problem() const {
  std::string out;
  for (const Expected& expected : expected_) {
    if (!expected.missing) continue;
    if (!out.empty()) out += "; ";
    out += expected.why;
  }
  return out;
}

bool DaemonWatch::waiting() const {
  return std::ranges::any_of(expected_,
                             [](const auto& each) { return !each.seen && !each.missing; });
}

Json DaemonWatch::missing() const {
  Json out = Json::array();
  for (const Expected& expected : expected_)
    if (expected.missing) out.push(expected.name);
  return out;
}

Json DaemonWatch::orphans() const {
  Json out = Json::array();
  for (const Json& each : orphans_) out.push(each);
  return out;
}

}  // namespace stack
