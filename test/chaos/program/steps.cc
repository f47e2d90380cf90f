// Linked into a runtime binary for chaos tests alone, by `ld --wrap`: every call by which the monitor and what it forks
// change something is a numbered step, written down by name; at the step that the board asks for, the process dies, or the
// call fails. Nothing of this is in the product's own sources or binary (test/chaos/program/build.ts).
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

namespace {

// Shared with test/chaos/program/board.ts and steps.cjs.
constexpr uint32_t kSlots = 2048;
constexpr uint32_t kNameBytes = 88;
enum Role : uint32_t { kNobody = 0, kMonitor = 3, kChild = 4 };
enum Mode : uint32_t { kBefore = 0, kAfter = 1, kHalf = 2, kFail = 3 };

struct Slot {
  uint32_t hash;
  uint32_t count;
  char name[kNameBytes];
};

struct Board {
  uint32_t armed;  // 0: no
  uint32_t role;
  uint32_t mode;
  uint32_t error;
  int32_t remaining;  // steps that are still let pass
  uint32_t hash;      // 0: any step
  uint32_t victim;
  uint32_t claimed;
  char step[96];
  Slot slots[kSlots];
};

// Not libc's: that one is wrapped.
extern "C" long __real_syscall(long number, ...);
#define raw __real_syscall

Board* board = nullptr;
Role role = kNobody;
int forks = 0;
char root[512];
size_t root_length = 0;

size_t append(char* to, size_t at, const char* text, size_t length) {
  for (size_t i = 0; i < length && at + 1 < kNameBytes; ++i) to[at++] = text[i];
  to[at] = '\0';
  return at;
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

// What differs from run to run (ids, random endings, numbers) is cut to one letter.
size_t append_path(char* to, size_t at, const char* path) {
  if (root_length > 0 && strncmp(path, root, root_length) == 0) path += root_length;
  while (*path != '\0') {
    size_t run = 0;
    bool digit = false;
    while (is_hex(path[run])) digit = (path[run++] <= '9') || digit;
    if (run >= 6 && digit) {
      at = append(to, at, "*", 1);
      path += run;
    } else if (*path >= '0' && *path <= '9') {
      while (*path >= '0' && *path <= '9') ++path;
      at = append(to, at, "#", 1);
    } else {
      at = append(to, at, path++, 1);
    }
  }
  return at;
}

size_t append_fd(char* to, size_t at, int fd) {
  char link[32] = "/proc/self/fd/";
  char digits[12];
  int count = 0;
  for (int n = fd; count == 0 || n > 0; n /= 10) digits[count++] = static_cast<char>('0' + n % 10);
  size_t end = strlen(link);
  while (count > 0) link[end++] = digits[--count];
  link[end] = '\0';
  char target[512];
  long length = raw(SYS_readlinkat, AT_FDCWD, link, target, sizeof target - 1);
  if (length < 0) return at;
  target[length] = '\0';
  return append_path(to, at, target);
}

uint32_t hash_of(const char* name) {  // FNV-1a
  uint32_t hash = 2166136261u;
  for (; *name != '\0'; ++name) hash = (hash ^ static_cast<unsigned char>(*name)) * 16777619u;
  return hash == 0 ? 1 : hash;
}

void count(const char* name, uint32_t hash) {
  for (uint32_t i = 0; i < kSlots; ++i) {
    Slot& slot = board->slots[(hash + i) % kSlots];
    uint32_t empty = 0;
    if (__atomic_compare_exchange_n(&slot.hash, &empty, hash, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      strncpy(slot.name, name, kNameBytes - 1);
    else if (empty != hash)
      continue;
    __atomic_add_fetch(&slot.count, 1, __ATOMIC_SEQ_CST);
    return;
  }
}

[[noreturn]] void die() {
  // PID 1 of a pid namespace cannot kill itself.
  raw(SYS_kill, raw(SYS_getpid), SIGKILL);
  for (;;) raw(SYS_exit_group, 137);
}

struct Verdict {
  bool act = false;
  Mode mode = kBefore;
  int error = 0;
};

Verdict arrive(const char* call, const char* path, int directory = -1) {
  Verdict verdict;
  if (board == nullptr || role == kNobody) return verdict;
  int saved = errno;
  char name[kNameBytes] = "";
  size_t at = append(name, 0, role == kMonitor ? "monitor " : "child ", role == kMonitor ? 8 : 6);
  at = append(name, at, call, strlen(call));
  if (directory >= 0 && (path == nullptr || path[0] != '/')) {
    at = append(name, at, " ", 1);
    at = append_fd(name, at, directory);
    if (path != nullptr) at = append(name, at, "/", 1);
  } else if (path != nullptr) {
    at = append(name, at, " ", 1);
  }
  if (path != nullptr) append_path(name, at, path);
  uint32_t hash = hash_of(name);
  count(name, hash);
  uint32_t armed = __atomic_load_n(&board->armed, __ATOMIC_SEQ_CST);
  if (armed != 0 && board->role == role && (board->hash == 0 || board->hash == hash) &&
      __atomic_fetch_sub(&board->remaining, 1, __ATOMIC_SEQ_CST) == 0 &&
      __atomic_compare_exchange_n(&board->armed, &armed, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    verdict = {true, static_cast<Mode>(board->mode), static_cast<int>(board->error)};
    strncpy(board->step, name, sizeof board->step - 1);
    board->victim = static_cast<uint32_t>(raw(SYS_getpid));
    __atomic_store_n(&board->claimed, armed, __ATOMIC_SEQ_CST);
    if (verdict.mode == kBefore) die();
  }
  errno = saved;
  return verdict;
}

// A call whose result below zero is a failure.
template <typename Call>
auto step(Verdict verdict, Call call) -> decltype(call()) {
  if (!verdict.act) return call();
  if (verdict.mode == kFail) {
    errno = verdict.error;
    return -1;
  }
  auto result = call();
  (void)result;
  die();
}

const char* name_of(long number) {
  switch (number) {
    case SYS_clone3: return "clone3";
    case SYS_clone: return "clone";
    case SYS_move_mount: return "move_mount";
    case SYS_fsopen: return "fsopen";
    case SYS_fsconfig: return "fsconfig";
    case SYS_fsmount: return "fsmount";
    case SYS_open_tree: return "open_tree";
    case SYS_mount_setattr: return "mount_setattr";
    case SYS_mount: return "mount";
    case SYS_umount2: return "umount2";
    case SYS_pivot_root: return "pivot_root";
    case SYS_pidfd_open: return "pidfd_open";
    case SYS_pidfd_getfd: return "pidfd_getfd";
    case SYS_pidfd_send_signal: return "pidfd_send_signal";
    case SYS_memfd_create: return "memfd_create";
    default: return nullptr;
  }
}

__attribute__((constructor)) void open_board() {
  char words[1024];
  int fd = static_cast<int>(raw(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0));
  if (fd < 0) return;
  long length = raw(SYS_read, fd, words, sizeof words - 1);
  raw(SYS_close, fd);
  if (length <= 0) return;
  words[length] = '\0';
  bool monitor = false;
  const char* directory = nullptr;
  for (const char* word = words; word < words + length; word += strlen(word) + 1) {
    if (strcmp(word, "monitor") == 0) monitor = true;
    // Monitors are forked from it: it counts as one, and they have its board.
    if (strcmp(word, "fork-server") == 0) monitor = true;
    if (strcmp(word, "--dir") == 0 || strcmp(word, "--containers") == 0) directory = word + strlen(word) + 1;
  }
  const char* end = directory == nullptr ? nullptr : strstr(directory, "/containers");
  if (!monitor || end == nullptr || static_cast<size_t>(end - directory) + 16 > sizeof root) return;
  root_length = static_cast<size_t>(end - directory) + 1;
  memcpy(root, directory, root_length);
  char path[600];
  memcpy(path, root, root_length - 1);
  strcpy(path + root_length - 1, ".board");
  fd = static_cast<int>(raw(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0));
  if (fd < 0) return;
  void* memory = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  raw(SYS_close, fd);
  if (memory == MAP_FAILED) return;
  board = static_cast<Board*>(memory);
  role = kMonitor;
}

}  // namespace

extern "C" {

#define REAL(result, name, ...) result __real_##name(__VA_ARGS__); result __wrap_##name(__VA_ARGS__)

REAL(int, rename, const char* from, const char* to) {
  return step(arrive("rename", to), [&] { return __real_rename(from, to); });
}
REAL(int, renameat, int d1, const char* from, int d2, const char* to) {
  return step(arrive("renameat", to, d2), [&] { return __real_renameat(d1, from, d2, to); });
}
REAL(int, renameat2, int d1, const char* from, int d2, const char* to, unsigned flags) {
  return step(arrive("renameat2", to, d2), [&] { return __real_renameat2(d1, from, d2, to, flags); });
}
REAL(int, mkdir, const char* path, mode_t mode) {
  return step(arrive("mkdir", path), [&] { return __real_mkdir(path, mode); });
}
REAL(int, mkdirat, int dir, const char* path, mode_t mode) {
  return step(arrive("mkdirat", path, dir), [&] { return __real_mkdirat(dir, path, mode); });
}
REAL(int, mkfifoat, int dir, const char* path, mode_t mode) {
  return step(arrive("mkfifoat", path, dir), [&] { return __real_mkfifoat(dir, path, mode); });
}
REAL(int, mknodat, int dir, const char* path, mode_t mode, dev_t device) {
  return step(arrive("mknodat", path, dir), [&] { return __real_mknodat(dir, path, mode, device); });
}
REAL(int, symlinkat, const char* target, int dir, const char* path) {
  return step(arrive("symlinkat", path, dir), [&] { return __real_symlinkat(target, dir, path); });
}
REAL(int, rmdir, const char* path) {
  return step(arrive("rmdir", path), [&] { return __real_rmdir(path); });
}
REAL(int, unlink, const char* path) {
  return step(arrive("unlink", path), [&] { return __real_unlink(path); });
}
REAL(int, unlinkat, int dir, const char* path, int flags) {
  return step(arrive("unlinkat", path, dir), [&] { return __real_unlinkat(dir, path, flags); });
}
REAL(int, ftruncate64, int fd, off64_t length) {
  return step(arrive("ftruncate", nullptr, fd), [&] { return __real_ftruncate64(fd, length); });
}
REAL(int, flock, int fd, int operation) {
  return step(arrive("flock", nullptr, fd), [&] { return __real_flock(fd, operation); });
}
REAL(int, unshare, int flags) {
  return step(arrive("unshare", nullptr), [&] { return __real_unshare(flags); });
}
REAL(int, setns, int fd, int type) {
  return step(arrive("setns", nullptr), [&] { return __real_setns(fd, type); });
}
REAL(int, bind, int fd, const sockaddr* address, socklen_t length) {
  return step(arrive("bind", nullptr), [&] { return __real_bind(fd, address, length); });
}
REAL(int, listen, int fd, int backlog) {
  return step(arrive("listen", nullptr), [&] { return __real_listen(fd, backlog); });
}
REAL(int, kill, pid_t pid, int signal) {
  return step(arrive("kill", nullptr), [&] { return __real_kill(pid, signal); });
}
REAL(ssize_t, send, int fd, const void* data, size_t length, int flags) {
  return step(arrive("send", nullptr), [&] { return __real_send(fd, data, length, flags); });
}
REAL(ssize_t, sendto, int fd, const void* data, size_t length, int flags, const sockaddr* to, socklen_t size) {
  return step(arrive("sendto", nullptr), [&] { return __real_sendto(fd, data, length, flags, to, size); });
}
REAL(ssize_t, sendmsg, int fd, const msghdr* message, int flags) {
  return step(arrive("sendmsg", nullptr), [&] { return __real_sendmsg(fd, message, flags); });
}
REAL(ssize_t, tee, int in, int out, size_t length, unsigned flags) {
  return step(arrive("tee", nullptr, in), [&] { return __real_tee(in, out, length, flags); });
}
REAL(ssize_t, splice, int in, off64_t* in_at, int out, off64_t* out_at, size_t length, unsigned flags) {
  return step(arrive("splice", nullptr, out), [&] { return __real_splice(in, in_at, out, out_at, length, flags); });
}

REAL(ssize_t, write, int fd, const void* data, size_t length) {
  Verdict verdict = arrive("write", nullptr, fd);
  if (verdict.act && verdict.mode == kHalf) {
    (void)__real_write(fd, data, length / 2);
    die();
  }
  return step(verdict, [&] { return __real_write(fd, data, length); });
}

int __real_open64(const char* path, int flags, mode_t mode);
int __wrap_open64(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
    va_list more;
    va_start(more, flags);
    mode = va_arg(more, mode_t);
    va_end(more);
  }
  if ((flags & (O_CREAT | O_TRUNC)) == 0) return __real_open64(path, flags, mode);
  return step(arrive("create", path), [&] { return __real_open64(path, flags, mode); });
}

int __real_openat64(int dir, const char* path, int flags, mode_t mode);
int __wrap_openat64(int dir, const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
    va_list more;
    va_start(more, flags);
    mode = va_arg(more, mode_t);
    va_end(more);
  }
  if ((flags & (O_CREAT | O_TRUNC)) == 0) return __real_openat64(dir, path, flags, mode);
  return step(arrive("createat", path, dir), [&] { return __real_openat64(dir, path, flags, mode); });
}

REAL(pid_t, fork, void) {
  Verdict verdict = arrive("fork", nullptr);
  if (verdict.act && verdict.mode == kFail) {
    errno = verdict.error;
    return -1;
  }
  pid_t pid = __real_fork();
  if (pid == 0) {
    // The first two make a daemon of the monitor, or a monitor of the fork server's child.
    if (role == kMonitor && ++forks > 2) role = kChild;
  } else {
    if (verdict.act) die();
  }
  return pid;
}

long __wrap_syscall(long number, ...) {
  va_list more;
  va_start(more, number);
  long a = va_arg(more, long), b = va_arg(more, long), c = va_arg(more, long);
  long d = va_arg(more, long), e = va_arg(more, long), f = va_arg(more, long);
  va_end(more);
  const char* name = name_of(number);
  if (name == nullptr) return __real_syscall(number, a, b, c, d, e, f);
  Verdict verdict = arrive(name, nullptr);
  if (verdict.act && verdict.mode == kFail) {
    errno = verdict.error;
    return -1;
  }
  long result = __real_syscall(number, a, b, c, d, e, f);
  if (number == SYS_clone3 || number == SYS_clone) {
    if (result == 0) {
      role = kChild;
      return result;
    }
  }
  if (verdict.act) die();
  return result;
}

}
