// Owner, attributes, mode and time: the last that is done to an entry, and to a directory at the
// very end.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "fs.h"
#include "unpack_attributes.h"
#include "unpack_path.h"
#include "unpack_tree.h"

namespace stack::layer {

Status Tree::decorate(const Place& where, const TarEntry& entry) {
  const char* name = where.leaf.c_str();
  const bool link = entry.type == TarType::symlink;
  if (fchownat(where.parent, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return sys_fail("unpack", "chown", where.path);
  if (!entry.xattrs.empty()) {
    // There is no call for attributes by descriptor and name: the working directory is the
    // descriptor.
    if (fchdir(where.parent) != 0) return sys_fail("unpack", "chdir", where.path);
    TRY(set_attributes(where.path, entry.xattrs,
                       [&](const char* key, const void* value, size_t size) {
                         return lsetxattr(name, key, value, size, 0);
                       }));
  }
  // The node was made a moment ago by us, in a directory that nobody else can reach: it is no link.
  if (!link && fchmodat(where.parent, name, entry.mode, 0) != 0)
    return sys_fail("unpack", "chmod", where.path);
  const timespec times[2] = {{entry.mtime, entry.mtime_ns}, {entry.mtime, entry.mtime_ns}};
  if (utimensat(where.parent, name, times, AT_SYMLINK_NOFOLLOW) != 0)
    return sys_fail("unpack", "utimensat", where.path);
  return ok();
}

Status Tree::finish() {
  open_.clear();
  // Deepest first: a directory without write permission must already be complete, and its time is
  // last.
  for (auto it = directories_.rbegin(); it != directories_.rend(); ++it) {
    const auto& [path, directory] = *it;
    TRY(finish_directory(path, directory));
    if (directory.implicit && !path.empty()) summary_.implicit.push_back(path);
    if (directory.opaque) summary_.opaque.push_back(path);
  }
  return ok();
}

Status Tree::finish_directory(const std::string& path, const Directory& directory) {
  Result<UniqueFd> opened = open_in_root(root_.get(), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!opened.ok()) {
    const int error = opened.failure().err;
    // It was named through a symbolic link and replaced under its real name: there is nothing to
    // finish.
    if (error == ENOENT || error == ENOTDIR || error == ELOOP) return ok();
    return std::move(opened).failure();
  }
  const UniqueFd fd = std::move(opened).take();
  if (fchown(fd.get(), directory.uid, directory.gid) != 0) return sys_fail("unpack", "chown", path);
  auto set = [&](const char* name, const void* value, size_t size) {
    return fsetxattr(fd.get(), name, value, size, 0);
  };
  TRY(set_attributes(path, directory.xattrs, set));
  if (directory.opaque) {
    const char* name = options_.user_xattrs ? "user.overlay.opaque" : "trusted.overlay.opaque";
    if (set(name, "y", 1) != 0) return sys_fail("unpack", std::string("setxattr ") + name, path);
  }
  if (fchmod(fd.get(), directory.mode) != 0) return sys_fail("unpack", "chmod", path);
  if (directory.implicit && directory.mtime == 0) return ok();
  const timespec times[2] = {{directory.mtime, directory.mtime_ns},
                             {directory.mtime, directory.mtime_ns}};
  if (futimens(fd.get(), times) != 0) return sys_fail("unpack", "utimensat", path);
  return ok();
}

}  // namespace stack::layer
