#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "container_state.h"
#include "fs.h"

// tmpcopyup: what the image has at a place, copied into the tmpfs that goes there. All by
// descriptors, never through a symlink.

namespace stack {

namespace {

Status copy_owner(int parent, const char* name, const struct stat& info) {
  if (::fchownat(parent, name, info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) != 0 &&
      errno != EPERM) {
    return sys_fail("copy up", "fchownat", name);
  }
  if (!S_ISLNK(info.st_mode) && ::fchmodat(parent, name, info.st_mode & 07777, 0) != 0) {
    return sys_fail("copy up", "fchmodat", name);
  }
  timespec times[2] = {info.st_atim, info.st_mtim};
  ::utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW);
  return ok();
}

Status copy_regular(int from, int to, const char* name) {
  UniqueFd in(::openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!in) return sys_fail("copy up", "openat", name);
  UniqueFd out(::openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!out) return sys_fail("copy up", "openat", name);
  for (;;) {
    ssize_t n = ::sendfile(out.get(), in.get(), nullptr, 1 << 30);
    if (n < 0) return sys_fail("copy up", "sendfile", name);
    if (n == 0) break;
  }
  char value[4096];
  ssize_t size = ::fgetxattr(in.get(), "security.capability", value, sizeof value);
  if (size > 0) {
    (void)::fsetxattr(out.get(), "security.capability", value, static_cast<size_t>(size), 0);
  }
  return ok();
}

Status copy_link(int from, int to, const char* name) {
  char target[4097];
  ssize_t n = ::readlinkat(from, name, target, sizeof target - 1);
  if (n < 0) return sys_fail("copy up", "readlinkat", name);
  target[n] = 0;
  if (::symlinkat(target, to, name) != 0) return sys_fail("copy up", "symlinkat", name);
  return ok();
}

Status copy_children(int from, int to);

Status copy_entry(int from, int to, const char* name) {
  struct stat info {};
  if (::fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return sys_fail("copy up", "fstatat", name);
  }
  if (S_ISDIR(info.st_mode)) {
    if (::mkdirat(to, name, 0700) != 0) return sys_fail("copy up", "mkdirat", name);
    UniqueFd in(::openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    UniqueFd out(::openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!in || !out) return sys_fail("copy up", "openat", name);
    TRY(copy_children(in.get(), out.get()));
  } else if (S_ISREG(info.st_mode)) {
    TRY(copy_regular(from, to, name));
  } else if (S_ISLNK(info.st_mode)) {
    TRY(copy_link(from, to, name));
  } else if (S_ISSOCK(info.st_mode)) {
    return ok();  // a socket of nobody
  } else if (::mknodat(to, name, info.st_mode, info.st_rdev) != 0) {
    return sys_fail("copy up", "mknodat", name);
  }
  return copy_owner(to, name, info);
}

Status copy_children(int from, int to) {
  UniqueFd list(::openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!list) return sys_fail("copy up", "openat");
  DIR* stream = ::fdopendir(list.get());
  if (stream == nullptr) return sys_fail("copy up", "fdopendir");
  list.release();
  Status status;
  for (;;) {
    errno = 0;
    dirent* entry = ::readdir(stream);
    if (entry == nullptr) {
      if (errno != 0) status = sys_fail("copy up", "getdents64");
      break;
    }
    std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    status = copy_entry(from, to, entry->d_name);
    if (!status.ok()) break;
  }
  ::closedir(stream);
  return status;
}

}  // namespace

Status copy_tree(int from, int to) {
  TRY(copy_children(from, to));
  struct stat info {};
  if (::fstat(from, &info) != 0) return sys_fail("copy up", "fstat");
  UniqueFd top(::openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top) return sys_fail("copy up", "openat");
  if (::fchown(top.get(), info.st_uid, info.st_gid) != 0) return sys_fail("copy up", "fchown");
  return ok();
}

}  // namespace stack
