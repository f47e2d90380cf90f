#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "container.h"
#include "mount.h"

extern char** environ;

namespace stack {

namespace {

/** Runs from something nobody can write through: a read-only mount, or a sealed memory file. */
bool is_protected(int exe) {
  constexpr int kWriteSeal = F_SEAL_WRITE;
  int seals = ::fcntl(exe, F_GET_SEALS);
  if (seals >= 0) return (seals & kWriteSeal) != 0;
  struct statvfs info {};
  return ::fstatvfs(exe, &info) == 0 && (info.f_flag & ST_RDONLY) != 0;
}

/** No copy and no memory: the page cache is shared with everybody else who runs this file. */
Result<UniqueFd> readonly_clone(int exe) {
  UniqueFd mount = TRY(clone_mount(exe, "", false));
  MountChange change;
  change.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  change.propagation = MS_PRIVATE;
  TRY(change_mount(mount.get(), change, false));
  return mount;
}

/** Where mounts may not be cloned (no CAP_SYS_ADMIN): a copy in memory that cannot change any more.
 */
Result<UniqueFd> sealed_copy(int exe) {
  UniqueFd copy(static_cast<int>(
      ::syscall(SYS_memfd_create, "stack-runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  if (!copy) return sys_fail("protect", "memfd_create");
  UniqueFd source(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!source || ::fstat(exe, &info) != 0) return sys_fail("protect", "open", "/proc/self/exe");
  off_t offset = 0;
  while (offset < info.st_size) {
    ssize_t n = ::syscall(SYS_sendfile, copy.get(), source.get(), &offset,
                          static_cast<size_t>(info.st_size - offset));
    if (n <= 0) return sys_fail("protect", "sendfile");
  }
  int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(copy.get(), F_ADD_SEALS, seals) != 0) return sys_fail("protect", "fcntl");
  return copy;
}

}  // namespace

Status protect_self(char** argv) {
  UniqueFd exe(::open("/proc/self/exe", O_PATH | O_CLOEXEC));
  if (!exe) return sys_fail("protect", "open", "/proc/self/exe");
  UniqueFd readable(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!readable) return sys_fail("protect", "open", "/proc/self/exe");
  if (is_protected(readable.get())) return ok();
  readable.reset();
  auto image = readonly_clone(exe.get());
  if (!image.ok()) image = sealed_copy(exe.get());
  if (!image.ok()) return std::move(image).failure();
  ::syscall(SYS_execveat, image->get(), "", argv, environ, AT_EMPTY_PATH);
  return sys_fail("protect", "execveat", "/proc/self/exe");
}

}  // namespace stack
