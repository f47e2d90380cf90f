#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <unordered_set>

#include "container_state.h"
#include "fs.h"

// What belongs to a process of the container before it loses its rights: working directory, the
// program's place, scheduling, standard streams.

namespace stack {

namespace {

struct SchedAttr {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

Result<cpu_set_t> parse_cpus(const std::string& text) {
  cpu_set_t set;
  CPU_ZERO(&set);
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    unsigned first = 0;
    auto [next, error] = std::from_chars(at, end, first);
    unsigned last = first;
    if (error == std::errc() && next < end && *next == '-') {
      auto [after, second_error] = std::from_chars(next + 1, end, last);
      next = after;
      error = second_error;
    }
    bool separated = next == end || *next == ',';
    if (error != std::errc() || !separated || last < first || last >= CPU_SETSIZE) {
      return fail("cpu affinity", "not a list of CPUs: " + text, EINVAL);
    }
    for (unsigned cpu = first; cpu <= last; cpu++) CPU_SET(cpu, &set);
    at = next == end ? end : next + 1;
  }
  return set;
}

Status set_affinity(const std::string& name, const std::string& cpus) {
  cpu_set_t set = TRY(parse_cpus(cpus));
  if (::sched_setaffinity(0, sizeof set, &set) == 0) return ok();
  return sys_fail("cpu affinity", "sched_setaffinity", name + " " + cpus);
}

std::string path_variable(const std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    if (entry.starts_with("PATH=")) return entry.substr(5);
  }
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/** 0, or the errno that execve would give for what can be told without trying. */
int executable_error(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return errno;
  if (S_ISDIR(info.st_mode)) return EISDIR;
  if (!S_ISREG(info.st_mode) || (info.st_mode & 0111) == 0) return EACCES;
  return 0;
}

Failure executable_failure(const std::string& name, int err, bool searched) {
  std::string message = "exec: \"" + name + "\": ";
  if (searched && err == ENOENT) {
    message += "executable file not found in $PATH";
  } else if (err == EISDIR) {
    message += "is a directory";
  } else if (err == EACCES) {
    message += "permission denied";
  } else if (err == ENOENT) {
    message += "no such file or directory";
  } else {
    message += error_text(err);
  }
  return Failure{"exec", "execve", err, name, message};
}

}  // namespace

Status set_initial_affinity(const OciProcess& process) {
  if (process.exec_cpu_initial.empty()) return ok();
  return set_affinity("execCPUAffinity.initial", process.exec_cpu_initial);
}

Status set_final_affinity(const OciProcess& process) {
  if (!process.exec_cpu_final.empty()) {
    return set_affinity("execCPUAffinity.final", process.exec_cpu_final);
  }
  reset_affinity();
  return ok();
}

void reset_affinity() {
  // To what the cgroup allows: since 6.2 a wish outlives the change of cgroup
  // (sched_setaffinity(2)), and the kernel takes away what the cgroup does not have. Without this a
  // container would keep to the CPUs that whoever started it was bound to.
  cpu_set_t all;
  std::memset(&all, 0xff, sizeof all);
  (void)::sched_setaffinity(0, sizeof all, &all);
}

Status set_scheduling(const OciProcess& process) {
  if (process.io_priority) {
    constexpr int kThisProcess = 1;
    if (::syscall(SYS_ioprio_set, kThisProcess, 0, *process.io_priority) != 0) {
      return sys_fail("I/O priority", "ioprio_set");
    }
  }
  if (process.scheduler) {
    const OciScheduler& s = *process.scheduler;
    SchedAttr attributes{sizeof(SchedAttr), static_cast<uint32_t>(s.policy),
                         s.flags,           s.nice,
                         s.priority,        s.runtime,
                         s.deadline,        s.period};
    if (::syscall(SYS_sched_setattr, 0, &attributes, 0) != 0) {
      return sys_fail("scheduler", "sched_setattr");
    }
  }
  return ok();
}

Status prepare_working_directory(ChildState& state, int root) {
  // Made if missing, as Docker and runc do; owned by root, because it may be anywhere.
  auto made = make_directories_in_root(root, state.process->cwd);
  if (made.ok() || made.failure().err == EROFS) return ok();
  return sys_fail("working directory", "mkdir", state.process->cwd, made.failure().err);
}

namespace {
/** process.env as the process gets it: of a variable that is given twice the last value, and HOME
    from the container's /etc/passwd where there is none. */
Status complete_environment(ChildState& state) {
  const std::vector<std::string>& given = state.process->env;
  std::unordered_set<std::string_view> seen;
  bool has_home = false;
  state.env.clear();
  for (auto entry = given.rbegin(); entry != given.rend(); ++entry) {
    size_t equals = entry->find('=');
    if (equals == std::string::npos) {
      state.env.push_back(*entry);  // means something to somebody
      continue;
    }
    std::string_view name = std::string_view(*entry).substr(0, equals);
    if (!seen.insert(name).second) continue;
    if (name == "HOME" && equals + 1 == entry->size()) continue;
    has_home = has_home || name == "HOME";
    state.env.push_back(*entry);
  }
  std::reverse(state.env.begin(), state.env.end());
  if (has_home) return ok();
  UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return sys_fail("environment", "open", "/");
  auto user = resolve_user(root.get(), std::to_string(state.process->uid));
  if (!user.ok() && !user.failure().call.empty()) return std::move(user).failure();
  state.env.push_back("HOME=" + (user.ok() ? user->home : "/"));
  return ok();
}
}  // namespace

Status find_executable(ChildState& state) {
  TRY(complete_environment(state));
  const OciProcess& process = *state.process;
  const std::string& name = process.args[0];
  if (name.empty()) return executable_failure(name, ENOENT, true);
  if (name.find('/') != std::string::npos) {
    std::string path = name.starts_with('/') ? name : process.cwd + "/" + name;
    int err = executable_error(path);
    if (err != 0) return executable_failure(name, err, false);
    state.executable = name.starts_with('/') ? name : path;
    return ok();
  }
  std::string path = path_variable(state.env);
  int worst = ENOENT;
  for (size_t at = 0; at <= path.size();) {
    size_t end = std::min(path.find(':', at), path.size());
    std::string directory = path.substr(at, end - at);
    at = end + 1;
    if (!directory.starts_with('/')) directory = process.cwd + "/" + directory;
    int err = executable_error(directory + "/" + name);
    if (err == 0) {
      state.executable = directory + "/" + name;
      return ok();
    }
    bool elsewhere = err == ENOENT || err == ENOTDIR || err == EISDIR;
    if (err == EACCES || (!elsewhere && worst == ENOENT)) worst = err;
  }
  return executable_failure(name, worst, true);
}

Status take_streams(const int (&wanted)[3]) {
  UniqueFd copies[3];
  for (int i = 0; i < 3; i++) {
    // First out of the way: a source may itself be 0, 1 or 2.
    copies[i].reset(::fcntl(wanted[i], F_DUPFD_CLOEXEC, 3));
    if (!copies[i]) return sys_fail("standard streams", "fcntl");
  }
  for (int i = 0; i < 3; i++) {
    if (::dup2(copies[i].get(), i) < 0) return sys_fail("standard streams", "dup2");
  }
  return ok();
}

Status take_stdio(const ChildState& state, const Console* console) {
  const LaunchOptions& options = *state.options;
  int wanted[3] = {options.stdin_fd, options.stdout_fd, options.stderr_fd};
  for (int& source : wanted) {
    if (console != nullptr) source = console->slave.get();
    if (source < 0) source = state.null_file.get();
  }
  return take_streams(wanted);
}

Status begin_session() {
  // Not where this process leads one already, as PID 1 of a new namespace may.
  if (::setsid() < 0 && ::getsid(0) != ::getpid()) return sys_fail("session", "setsid");
  return ok();
}

}  // namespace stack
