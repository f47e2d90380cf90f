#include "host_mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "fd.h"
#include "mount.h"

namespace stack {

namespace {

UniqueFd host;

}  // namespace

Status leave_host_mounts() {
  constexpr const char* kStage = "leave mount namespace";
  if (host) return ok();
  UniqueFd here(::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!here) return sys_fail(kStage, "open", "/proc/self/ns/mnt");
  if (::unshare(CLONE_NEWNS) < 0) return sys_fail(kStage, "unshare");
  TRY(old_mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr));
  host = std::move(here);
  return ok();
}

Status enter_host_mounts() {
  if (host && ::setns(host.get(), CLONE_NEWNS) < 0)
    return sys_fail("enter mount namespace", "setns");
  return ok();
}

}  // namespace stack
