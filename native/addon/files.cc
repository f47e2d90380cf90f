// Locks, pipes, mounts and the file calls that Node does not have.
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "convert.h"
#include "fd.h"
#include "fs.h"

namespace stack::addon {

namespace {

// ---- locks -----------------------------------------------------------------------------------

int lock_mode(const Napi::CallbackInfo& info, size_t at) {
  std::string mode = string_argument(info, at, "mode");
  if (mode == "shared") return LOCK_SH;
  if (mode == "exclusive") return LOCK_EX;
  throw Napi::TypeError::New(info.Env(), "mode must be \"shared\" or \"exclusive\"");
}

Result<UniqueFd> open_lock(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return sys_fail("lock", "open", path);
  return fd;
}

Result<int> lock_now(const std::string& path, int mode) {
  UniqueFd fd = TRY(open_lock(path));
  while (::flock(fd.get(), mode | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return -1;
    if (errno != EINTR) return sys_fail("lock", "flock", path);
  }
  return fd.release();
}

Napi::Value lock_js(const Napi::CallbackInfo& info) {
  std::string path = string_argument(info, 0, "path");
  return Napi::Number::New(info.Env(), take(info.Env(), lock_now(path, lock_mode(info, 1))));
}

/// flock(2) can be interrupted by a signal only; this one is nobody else's, and its handler does
/// nothing.
int wake_signal() { return SIGRTMIN + 7; }

void install_wake_signal() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(wake_signal(), &action, nullptr);  // without SA_RESTART: flock gives EINTR
  });
}

struct LockWait {
  std::mutex mutex;
  bool waiting = false;
  std::atomic<bool> cancelled = false;
  pthread_t thread{};
};

Result<int> lock_waiting(const std::string& path, int mode, LockWait& wait) {
  UniqueFd fd = TRY(open_lock(path));
  {
    std::lock_guard guard(wait.mutex);
    wait.thread = ::pthread_self();
    wait.waiting = true;
  }
  int error = 0;
  do {
    error = wait.cancelled ? ECANCELED : (::flock(fd.get(), mode) == 0 ? 0 : errno);
  } while (error == EINTR && !wait.cancelled);
  {
    std::lock_guard guard(wait.mutex);
    wait.waiting = false;
  }
  if (wait.cancelled) return sys_fail("lock", "flock", path, EINTR);
  if (error != 0) return sys_fail("lock", "flock", path, error);
  return fd.release();
}

/// Between the look at `cancelled` and flock a signal would be lost, so it is sent until the waiter
/// is out.
void cancel_wait(const std::shared_ptr<LockWait>& wait) {
  wait->cancelled = true;
  std::thread([wait] {
    for (;;) {
      {
        std::lock_guard guard(wait->mutex);
        if (!wait->waiting) return;
        ::pthread_kill(wait->thread, wake_signal());
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }).detach();
}

Napi::Value lock_wait_js(const Napi::CallbackInfo& info) {
  std::string path = string_argument(info, 0, "path");
  int mode = lock_mode(info, 1);
  install_wake_signal();
  auto wait = std::make_shared<LockWait>();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set(
      "promise", on_own_thread(info.Env(), [path, mode, wait]() -> Result<Settle> {
        int fd = TRY(lock_waiting(path, mode, *wait));
        return Settle([fd](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, fd); });
      }));
  result.Set("cancel", Napi::Function::New(
                           info.Env(), [wait](const Napi::CallbackInfo&) { cancel_wait(wait); }));
  return result;
}

Result<bool> is_locked(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd)
    return errno == ENOENT ? Result<bool>(false)
                           : Result<bool>(sys_fail("look at lock", "open", path));
  // Shared, so that two who look at once do not take each other for the holder.
  while (::flock(fd.get(), LOCK_SH | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return true;
    if (errno != EINTR) return sys_fail("look at lock", "flock", path);
  }
  return false;
}

Napi::Value is_locked_js(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(),
                            take(info.Env(), is_locked(string_argument(info, 0, "path"))));
}

// ---- descriptors and files -------------------------------------------------------------------

Napi::Value close_js(const Napi::CallbackInfo& info) {
  int fd = fd_argument(info, 0, "fd");
  if (::close(fd) != 0 && errno != EINTR) throw to_error(info.Env(), sys_fail("close", "close"));
  return info.Env().Undefined();
}

Napi::Value close_on_exec_js(const Napi::CallbackInfo& info) {
  take(info.Env(), set_cloexec(fd_argument(info, 0, "fd"), true));
  return info.Env().Undefined();
}

Napi::Value pipe_js(const Napi::CallbackInfo& info) {
  FdPair pair = take(info.Env(), make_pipe());
  Napi::Array result = Napi::Array::New(info.Env(), 2);
  result.Set(0u, pair.first.release());
  result.Set(1u, pair.second.release());
  return result;
}

Napi::Value unmount_js(const Napi::CallbackInfo& info) {
  std::string path = string_argument(info, 0, "path");
  bool done = ::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
  if (!done && errno != EINVAL && errno != ENOENT)
    throw to_error(info.Env(), sys_fail("unmount", "umount2", path));
  return Napi::Boolean::New(info.Env(), done);
}

Napi::Value mount_js(const Napi::CallbackInfo& info) {
  if (!info[0].IsObject()) throw Napi::TypeError::New(info.Env(), "options must be an object");
  auto object = info[0].As<Napi::Object>();
  std::string source = string_property(object, "source");
  std::string target = string_property(object, "target");
  std::string type = string_property(object, "type");
  std::string data = string_property(object, "data");
  auto flags = static_cast<unsigned long>(integer_property(object, "flags"));
  if (::mount(source.c_str(), target.c_str(), type.empty() ? nullptr : type.c_str(), flags,
              data.empty() ? nullptr : data.c_str()) != 0)
    throw to_error(info.Env(), sys_fail("mount", "mount", target));
  return info.Env().Undefined();
}

Napi::Value setxattr_js(const Napi::CallbackInfo& info) {
  std::string path = string_argument(info, 0, "path");
  std::string name = string_argument(info, 1, "name");
  if (!info[2].IsTypedArray()) throw Napi::TypeError::New(info.Env(), "value must be a Uint8Array");
  auto value = info[2].As<Napi::Uint8Array>();
  if (::lsetxattr(path.c_str(), name.c_str(), value.Data(), value.ByteLength(), 0) != 0)
    throw to_error(info.Env(), sys_fail("set attribute " + name, "lsetxattr", path));
  return info.Env().Undefined();
}

Napi::Value rename_no_replace_js(const Napi::CallbackInfo& info) {
  std::string from = string_argument(info, 0, "from");
  std::string to = string_argument(info, 1, "to");
  bool done =
      ::syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0;
  if (!done && errno != EEXIST) throw to_error(info.Env(), sys_fail("rename", "renameat2", to));
  return Napi::Boolean::New(info.Env(), done);
}

Napi::Value syncfs_js(const Napi::CallbackInfo& info) {
  std::string path = string_argument(info, 0, "path");
  return on_own_thread(info.Env(), [path]() -> Status {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return sys_fail("sync", "open", path);
    if (::syncfs(fd.get()) != 0) return sys_fail("sync", "syncfs", path);
    return ok();
  });
}

Napi::Value remove_tree_js(const Napi::CallbackInfo& info) {
  std::string path = string_argument(info, 0, "path");
  return on_own_thread(info.Env(), [path]() -> Status {
    size_t slash = path.rfind('/');
    if (slash == std::string::npos || slash + 1 == path.size()) {
      return fail("remove", "not the absolute path of a directory entry", EINVAL, path);
    }
    std::string parent = path.substr(0, slash == 0 ? 1 : slash);
    UniqueFd fd(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return errno == ENOENT ? ok() : sys_fail("remove", "open", parent);
    return remove_tree(fd.get(), path.substr(slash + 1));
  });
}

}  // namespace

void register_files(Napi::Env env, Napi::Object exports) {
  exports.Set("lock", Napi::Function::New(env, lock_js, "lock"));
  exports.Set("lockWait", Napi::Function::New(env, lock_wait_js, "lockWait"));
  exports.Set("isLocked", Napi::Function::New(env, is_locked_js, "isLocked"));
  exports.Set("close", Napi::Function::New(env, close_js, "close"));
  exports.Set("closeOnExec", Napi::Function::New(env, close_on_exec_js, "closeOnExec"));
  exports.Set("pipe", Napi::Function::New(env, pipe_js, "pipe"));
  exports.Set("unmount", Napi::Function::New(env, unmount_js, "unmount"));
  exports.Set("mount", Napi::Function::New(env, mount_js, "mount"));
  exports.Set("setxattr", Napi::Function::New(env, setxattr_js, "setxattr"));
  exports.Set("renameNoReplace", Napi::Function::New(env, rename_no_replace_js, "renameNoReplace"));
  exports.Set("syncfs", Napi::Function::New(env, syncfs_js, "syncfs"));
  exports.Set("removeTree", Napi::Function::New(env, remove_tree_js, "removeTree"));
}

}  // namespace stack::addon
