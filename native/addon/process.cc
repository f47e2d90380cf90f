// Starting the runtime binary, waiting for it, signalling processes without mistaking one for
// another.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "convert.h"
#include "fd.h"

namespace stack::addon {

namespace {

struct SpawnOptions {
  std::string file;
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string cwd;
  std::vector<int> fds;
};

struct Spawned {
  pid_t pid = -1;
  UniqueFd pidfd;
};

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

class SpawnAttributes {
 public:
  SpawnAttributes() { posix_spawnattr_init(&attributes_); }
  ~SpawnAttributes() { posix_spawnattr_destroy(&attributes_); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  posix_spawnattr_t* get() { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (std::string& text : strings) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

/// Copies above the child's range, so that no dup2 overwrites one that is still wanted.
Result<std::vector<UniqueFd>> move_up(const std::vector<int>& fds) {
  std::vector<UniqueFd> high;
  for (int fd : fds) {
    UniqueFd null;
    if (fd < 0) {
      null = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
      if (!null) return sys_fail("spawn", "open", "/dev/null");
    }
    high.push_back(TRY(duplicate(fd < 0 ? null.get() : fd, static_cast<int>(fds.size()) + 3)));
  }
  return high;
}

Result<Spawned> spawn(SpawnOptions options) {
  std::vector<UniqueFd> high = TRY(move_up(options.fds));
  FileActions actions;
  for (size_t i = 0; i < high.size(); ++i)
    posix_spawn_file_actions_adddup2(actions.get(), high[i].get(), static_cast<int>(i));
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
  posix_spawn_file_actions_addclosefrom_np(actions.get(), static_cast<int>(high.size()));
#endif
  if (!options.cwd.empty())
    posix_spawn_file_actions_addchdir_np(actions.get(), options.cwd.c_str());
  SpawnAttributes attributes;
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(attributes.get(), &none);
  posix_spawnattr_setsigdefault(attributes.get(), &all);
  posix_spawnattr_setflags(attributes.get(),
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  Spawned spawned;
  int error = ::posix_spawn(&spawned.pid, options.file.c_str(), actions.get(), attributes.get(),
                            pointers(options.argv).data(), pointers(options.env).data());
  if (error != 0) return sys_fail("spawn", "posix_spawn", options.file, error);
  // Nobody but the caller reaps this child, so the number still names it.
  spawned.pidfd = TRY(open_pidfd(spawned.pid));
  return spawned;
}

Napi::Value spawn_js(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!info[0].IsObject()) throw Napi::TypeError::New(env, "options must be an object");
  auto object = info[0].As<Napi::Object>();
  SpawnOptions options;
  options.file = string_property(object, "file");
  options.argv = strings_property(object, "argv");
  options.env = strings_property(object, "env");
  options.cwd = string_property(object, "cwd", "");
  if (!object.Get("fds").IsArray()) throw Napi::TypeError::New(env, "fds must be an array");
  auto fds = object.Get("fds").As<Napi::Array>();
  for (uint32_t i = 0; i < fds.Length(); ++i)
    options.fds.push_back(fds.Get(i).ToNumber().Int32Value());
  Spawned spawned = take(env, spawn(std::move(options)));
  Napi::Object result = Napi::Object::New(env);
  result.Set("pid", spawned.pid);
  result.Set("pidfd", spawned.pidfd.release());
  return result;
}

Napi::Value wait_pidfd_js(const Napi::CallbackInfo& info) {
  // A copy of its own, and at once: the caller may close the descriptor while the thread waits.
  auto pidfd =
      std::make_shared<UniqueFd>(take(info.Env(), duplicate(fd_argument(info, 0, "pidfd"))));
  return on_own_thread(info.Env(), [pidfd]() -> Result<Settle> {
    siginfo_t status{};
    while (::waitid(P_PIDFD, static_cast<id_t>(pidfd->get()), &status, WEXITED) != 0)
      if (errno != EINTR) return sys_fail("wait for process", "waitid");
    bool exited = status.si_code == CLD_EXITED;
    int code = exited ? status.si_status : 128 + status.si_status;
    int signal = exited ? 0 : status.si_status;
    return Settle([code, signal](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("exitCode", code);
      result.Set("signal", signal);
      return result;
    });
  });
}

Result<bool> signal_process(pid_t pid, uint64_t start_time, int signal) {
  auto pidfd = open_pidfd(pid);
  if (!pidfd.ok())
    return pidfd.failure().err == ESRCH ? Result<bool>(false) : Result<bool>(pidfd.failure());
  // The descriptor holds whoever has the number now; only then is it asked who that is.
  auto start = process_start_time(pid);
  if (!start.ok() || *start != start_time) return false;
  auto sent = signal_pidfd(pidfd->get(), signal);
  if (!sent.ok())
    return sent.failure().err == ESRCH ? Result<bool>(false) : Result<bool>(sent.failure());
  return true;
}

Napi::Value signal_js(const Napi::CallbackInfo& info) {
  auto pid = static_cast<pid_t>(integer_argument(info, 0, "pid"));
  if (pid <= 0) throw Napi::TypeError::New(info.Env(), "pid must be positive");
  auto start = static_cast<uint64_t>(integer_argument(info, 1, "startTime"));
  int signal = static_cast<int>(integer_argument(info, 2, "signal"));
  return Napi::Boolean::New(info.Env(), take(info.Env(), signal_process(pid, start, signal)));
}

}  // namespace

void register_process(Napi::Env env, Napi::Object exports) {
  exports.Set("spawn", Napi::Function::New(env, spawn_js, "spawn"));
  exports.Set("waitPidfd", Napi::Function::New(env, wait_pidfd_js, "waitPidfd"));
  exports.Set("signal", Napi::Function::New(env, signal_js, "signal"));
}

}  // namespace stack::addon
