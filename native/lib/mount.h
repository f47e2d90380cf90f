#pragma once

#include <linux/mount.h>
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "fd.h"
#include "result.h"

namespace stack {

/**
 * The mount API by descriptors (Linux 5.12 and newer): what is mounted is made detached, with all
 * its flags, and then attached to a descriptor; no path is looked at twice. Called by number,
 * because C libraries older than glibc 2.36 lack the wrappers.
 */

/** A file system being configured (fsopen). Failures carry the kernel's own log of it. */
class FsContext {
 public:
  static Result<FsContext> open(const std::string& type);
  Status set(const std::string& key, const std::string& value);
  Status set_fd(const std::string& key, int fd);
  Status flag(const std::string& key);
  /** "a=b,c": a comma-separated option string as mount(8) takes it. */
  Status options(const std::string& text);
  /** FSCONFIG_CMD_CREATE and fsmount: a detached mount. `attributes`: MOUNT_ATTR_*. */
  Result<UniqueFd> mount(uint64_t attributes);

 private:
  FsContext(UniqueFd fd, std::string type) : fd_(std::move(fd)), type_(std::move(type)) {}
  Failure failure(const char* call, const std::string& what, int err) const;
  UniqueFd fd_;
  std::string type_;
};

/** A detached copy of the mount at `path` (relative to `dir`; "" = `dir` itself). */
Result<UniqueFd> clone_mount(int dir, const std::string& path, bool recursive);
/** Attaches a detached mount on the directory or file that `target` is. */
Status attach_mount(int mount, int target);

struct MountChange {
  uint64_t set = 0, clear = 0;  // MOUNT_ATTR_*
  uint64_t propagation = 0;     // MS_PRIVATE …
  int userns = -1;              // with MOUNT_ATTR_IDMAP
};
/** mount_setattr on the mount that `fd` is the root of. */
Status change_mount(int fd, const MountChange& change, bool recursive);
/** The old mount(2), for propagation of whole trees and for what the new API lacks. */
Status old_mount(const char* source, const char* target, const char* type, unsigned long flags,
                 const char* data);
Status unmount_at(const char* target, int flags);

}  // namespace stack
