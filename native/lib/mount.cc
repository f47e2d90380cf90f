#include "mount.h"

#include <fcntl.h>
#include <sys/syscall.h>

namespace stack {

namespace {
#ifndef MOUNT_ATTR_SIZE_VER0
#define MOUNT_ATTR_SIZE_VER0 32
#endif

int fsconfig(int fd, unsigned command, const char* key, const char* value, int aux) {
  return static_cast<int>(::syscall(SYS_fsconfig, fd, command, key, value, aux));
}
}  // namespace

Failure FsContext::failure(const char* call, const std::string& what, int err) const {
  Failure out = sys_fail("mount " + type_, call, what, err);
  // Each read gives one message, "e text" for errors; without any it fails with ENODATA.
  char line[512];
  ssize_t n;
  while ((n = ::read(fd_.get(), line, sizeof line)) > 2) {
    std::string text(line + 2, static_cast<size_t>(n) - 2);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    out.message += " (" + text + ")";
  }
  return out;
}

Result<FsContext> FsContext::open(const std::string& type) {
  constexpr unsigned kCloexec = 1;
  UniqueFd fd(static_cast<int>(::syscall(SYS_fsopen, type.c_str(), kCloexec)));
  if (!fd) {
    int err = errno;
    Failure out = sys_fail("mount " + type, "fsopen", type, err);
    if (err == ENODEV) out.message = "this kernel has no file system of type " + type;
    return out;
  }
  return FsContext(std::move(fd), type);
}

Status FsContext::set(const std::string& key, const std::string& value) {
  if (fsconfig(fd_.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) != 0) {
    return failure("fsconfig", key + "=" + value, errno);
  }
  return ok();
}

Status FsContext::set_fd(const std::string& key, int fd) {
  if (fsconfig(fd_.get(), FSCONFIG_SET_FD, key.c_str(), nullptr, fd) != 0) {
    return failure("fsconfig", key, errno);
  }
  return ok();
}

Status FsContext::flag(const std::string& key) {
  if (fsconfig(fd_.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) != 0) {
    return failure("fsconfig", key, errno);
  }
  return ok();
}

Status FsContext::options(const std::string& text) {
  size_t start = 0;
  while (start < text.size()) {
    size_t end = text.find(',', start);
    if (end == std::string::npos) end = text.size();
    std::string option = text.substr(start, end - start);
    start = end + 1;
    if (option.empty()) continue;
    size_t equals = option.find('=');
    if (equals == std::string::npos) {
      TRY(flag(option));
    } else {
      TRY(set(option.substr(0, equals), option.substr(equals + 1)));
    }
  }
  return ok();
}

Result<UniqueFd> FsContext::mount(uint64_t attributes) {
  if (fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return failure("fsconfig", type_, errno);
  }
  UniqueFd mount(static_cast<int>(
      ::syscall(SYS_fsmount, fd_.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes))));
  if (!mount) return failure("fsmount", type_, errno);
  return mount;
}

Result<UniqueFd> clone_mount(int dir, const std::string& path, bool recursive) {
  unsigned flags = OPEN_TREE_CLONE | static_cast<unsigned>(O_CLOEXEC);
  if (recursive) flags |= AT_RECURSIVE;
  if (path.empty()) flags |= AT_EMPTY_PATH;
  UniqueFd fd(static_cast<int>(::syscall(SYS_open_tree, dir, path.c_str(), flags)));
  if (!fd) return sys_fail("clone mount", "open_tree", path);
  return fd;
}

Status attach_mount(int mount, int target) {
  unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  if (::syscall(SYS_move_mount, mount, "", target, "", flags) != 0) {
    return sys_fail("attach mount", "move_mount");
  }
  return ok();
}

Status change_mount(int fd, const MountChange& change, bool recursive) {
  mount_attr attributes{};
  attributes.attr_set = change.set;
  attributes.attr_clr = change.clear;
  attributes.propagation = change.propagation;
  attributes.userns_fd = change.userns < 0 ? 0 : static_cast<uint64_t>(change.userns);
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  if (::syscall(SYS_mount_setattr, fd, "", flags, &attributes, MOUNT_ATTR_SIZE_VER0) != 0) {
    return sys_fail("change mount", "mount_setattr");
  }
  return ok();
}

Status old_mount(const char* source, const char* target, const char* type, unsigned long flags,
                 const char* data) {
  if (::syscall(SYS_mount, source, target, type, flags, data) != 0) {
    return sys_fail("mount", "mount", target);
  }
  return ok();
}

Status unmount_at(const char* target, int flags) {
  if (::syscall(SYS_umount2, target, flags) != 0) return sys_fail("unmount", "umount2", target);
  return ok();
}

}  // namespace stack
