#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#include <algorithm>
#include <charconv>

#include "cgroup.h"
#include "cgroup_files.h"
#include "fs.h"

// The processes in a cgroup: which they are, how they are held and ended, and whom the kernel ended
// for want of memory.

namespace stack {

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

void collect_processes(const std::string& directory, std::vector<pid_t>& out) {
  auto text = read_file(directory + "/cgroup.procs");
  if (text.ok()) {
    const char* at = text->data();
    const char* end = at + text->size();
    while (at < end) {
      pid_t pid = 0;
      auto [next, error] = std::from_chars(at, end, pid);
      if (error != std::errc()) break;
      if (pid > 0) out.push_back(pid);
      at = next + 1;
    }
  }
  for_each_child(directory, [&](const std::string& child) { collect_processes(child, out); });
}

namespace {

/** Waits for `wanted` ("frozen 1") in cgroup.events; the kernel marks each change of it with
 * POLLPRI. */
Status wait_for_event(const std::string& directory, const std::string& wanted, int timeout_ms) {
  std::string path = directory + "/cgroup.events";
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_fail("cgroup", "open", path);
  timespec started{};
  ::clock_gettime(CLOCK_MONOTONIC, &started);
  for (;;) {
    char buffer[256];
    ssize_t n = ::pread(fd.get(), buffer, sizeof buffer, 0);
    if (n < 0) return sys_fail("cgroup", "read", path);
    if (std::string_view(buffer, static_cast<size_t>(n)).find(wanted) != std::string_view::npos) {
      return ok();
    }
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    long passed = (now.tv_sec - started.tv_sec) * 1000 + (now.tv_nsec - started.tv_nsec) / 1000000;
    if (passed >= timeout_ms) return sys_fail("cgroup", "poll", path, ETIMEDOUT);
    pollfd wait{fd.get(), POLLPRI, 0};
    ::poll(&wait, 1, static_cast<int>(timeout_ms - passed));
  }
}

constexpr int kFreezeTimeoutMs = 5000;

/** v1: FREEZING may stay for ever while a process forks or waits; a thaw in between helps. */
Status freeze_v1(const std::string& directory) {
  std::string file = directory + "/freezer.state";
  for (int attempt = 0; attempt < 500; attempt++) {
    TRY(write_existing(file, "FROZEN"));
    std::string state = trimmed(TRY(read_file(file)));
    if (state == "FROZEN") return ok();
    timespec pause{0, 1000000};
    ::nanosleep(&pause, nullptr);  // no event tells of it
    if (attempt % 25 == 24) TRY(write_existing(file, "THAWED"));
  }
  (void)write_existing(file, "THAWED").ok();
  return sys_fail("freeze", "write", file, EBUSY);
}

}  // namespace

Status Cgroup::freeze() const {
  // The unified hierarchy first, also on hybrid systems: what is frozen there can still be killed.
  const Place* place = unified();
  if (place != nullptr && exists(place->directory + "/cgroup.freeze")) {
    TRY(write_existing(place->directory + "/cgroup.freeze", "1"));
    auto frozen = wait_for_event(place->directory, "frozen 1", kFreezeTimeoutMs);
    if (!frozen.ok()) (void)write_existing(place->directory + "/cgroup.freeze", "0").ok();
    return frozen;
  }
  place = place_of("freezer");
  if (place == nullptr) return fail("freeze", "there is no cgroup freezer on this system", ENOTSUP);
  return freeze_v1(place->directory);
}

Status Cgroup::thaw() const {
  const Place* place = unified();
  if (place != nullptr && exists(place->directory + "/cgroup.freeze")) {
    TRY(write_existing(place->directory + "/cgroup.freeze", "0"));
  }
  place = place_of("freezer");
  if (place == nullptr || place->hierarchy.unified) return ok();
  return write_existing(place->directory + "/freezer.state", "THAWED");
}

Result<bool> Cgroup::frozen() const {
  const Place* place = unified();
  if (place != nullptr) {
    auto text = read_file(place->directory + "/cgroup.freeze");
    if (text.ok() && trimmed(*text) == "1") return true;
  }
  place = place_of("freezer");
  if (place == nullptr || place->hierarchy.unified) return false;
  return trimmed(TRY(read_file(place->directory + "/freezer.state"))) != "THAWED";
}

Result<std::vector<pid_t>> Cgroup::processes() const {
  std::vector<pid_t> out;
  // Of the unified one if it is there: somebody privileged in the container may have moved
  // processes elsewhere in one hierarchy, so all of them are looked at, and each process counted
  // once.
  for (const Place& place : places_) collect_processes(place.directory, out);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Status Cgroup::signal_all(int signal) const {
  for (pid_t pid : TRY(processes())) {
    if (::kill(pid, signal) != 0 && errno != ESRCH)
      return sys_fail("kill", "kill", std::to_string(pid));
  }
  return ok();
}

Status Cgroup::kill_all() const {
  const Place* place = unified();
  bool killed = false;
  if (place != nullptr) {
    killed = write_existing(place->directory + "/cgroup.kill", "1").ok();  // Linux 5.14
    if (killed) killed_ = true;
  }
  if (!killed) {
    // A process that forks while we read the list would slip through: they hold still meanwhile.
    bool held = freeze().ok();
    auto signalled = signal_all(SIGKILL);
    if (held) TRY(thaw());
    TRY(std::move(signalled));
  }
  const Place* freezer = place_of("freezer");
  if (freezer != nullptr && !freezer->hierarchy.unified) {
    // A v1-frozen process does not die before it is thawed.
    (void)write_existing(freezer->directory + "/freezer.state", "THAWED").ok();
  }
  return ok();
}

Status Cgroup::wait_empty(int timeout_ms) const {
  const Place* place = unified();
  if (place != nullptr) return wait_for_event(place->directory, "populated 0", timeout_ms);
  for (pid_t pid : TRY(processes())) {
    auto pidfd = open_pidfd(pid);
    if (!pidfd.ok()) continue;
    pollfd wait{pidfd->get(), POLLIN, 0};
    if (::poll(&wait, 1, timeout_ms) == 0) return sys_fail("cgroup", "poll", path_, ETIMEDOUT);
  }
  return ok();
}

uint64_t Cgroup::oom_kills() const {
  const Place* place = place_of("memory");
  if (place == nullptr) return 0;
  const char* file = place->hierarchy.unified ? "/memory.events" : "/memory.oom_control";
  auto text = read_file(place->directory + file);
  if (!text.ok()) return 0;
  size_t at = text->find("oom_kill ");
  if (at == std::string::npos) return 0;
  uint64_t count = 0;
  std::from_chars(text->data() + at + 9, text->data() + text->size(), count);
  return count;
}

bool OomNews::take() const {
  char drop[4096];
  // An eventfd has no offset, and takes no pread.
  return (events == POLLPRI ? ::pread(fd.get(), drop, sizeof drop, 0)
                            : ::read(fd.get(), drop, sizeof drop)) > 0;
}

Result<OomNews> Cgroup::oom_events() const {
  const Place* place = place_of("memory");
  if (place == nullptr) return OomNews{};
  if (place->hierarchy.unified) {
    std::string file = place->directory + "/memory.events";
    OomNews news{UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)), POLLPRI};
    if (!news.fd) return sys_fail("oom events", "open", file);
    (void)news.take();  // what was before is no news
    return news;
  }
  std::string file = place->directory + "/memory.oom_control";
  UniqueFd control(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!control) return sys_fail("oom events", "open", file);
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return sys_fail("oom events", "eventfd");
  std::string line = std::to_string(event.get()) + " " + std::to_string(control.get());
  TRY(write_existing(place->directory + "/cgroup.event_control", line));
  return OomNews{std::move(event), POLLIN};
}

}  // namespace stack
