#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include <algorithm>

#include "container_state.h"
#include "fs.h"
#include "mount.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

// /dev of a container: config-linux.md "Default Devices", "Devices" and "/dev symbolic links".

namespace stack {

namespace {

const std::vector<OciDevice>& default_devices() {
  static const std::vector<OciDevice> devices = {
      {'c', "/dev/null", 1, 3, 0666, 0, 0},    {'c', "/dev/zero", 1, 5, 0666, 0, 0},
      {'c', "/dev/full", 1, 7, 0666, 0, 0},    {'c', "/dev/random", 1, 8, 0666, 0, 0},
      {'c', "/dev/urandom", 1, 9, 0666, 0, 0}, {'c', "/dev/tty", 5, 0, 0666, 0, 0}};
  return devices;
}

mode_t type_bits(char type) {
  if (type == 'b') return S_IFBLK;
  if (type == 'p') return S_IFIFO;
  return S_IFCHR;
}

Failure at_device(const OciDevice& device, Failure failure) {
  failure.stage = "device " + device.path;
  failure.path = device.path;
  return failure;
}

/** What is there must be the device that was meant: an image or a race may have put something else.
 */
Status verify(int fd, const OciDevice& device) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return sys_fail("device", "fstat");
  bool same_type = (info.st_mode & S_IFMT) == type_bits(device.type);
  bool same_number = device.type == 'p' || info.st_rdev == makedev(device.major, device.minor);
  if (!same_type || !same_number) {
    return fail("device", device.path + " exists and is something else", EEXIST);
  }
  return ok();
}

Status set_owner(int fd, const OciDevice& device) {
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  struct stat info {};
  if (::fstat(fd, &info) != 0) return sys_fail("device", "fstat");
  mode_t mode = device.mode.value_or(0666) & 07777;
  if ((info.st_mode & 07777) != mode && ::chmod(path.c_str(), mode) != 0) {
    return sys_fail("device", "chmod");
  }
  if ((info.st_uid != device.uid || info.st_gid != device.gid) &&
      ::fchownat(fd, "", device.uid, device.gid, AT_EMPTY_PATH) != 0) {
    return sys_fail("device", "fchownat");
  }
  return ok();
}

Status make_node(int root, const OciDevice& device) {
  InRootEntry entry = TRY(entry_in_root(root, device.path));
  mode_t mode = type_bits(device.type) | (device.mode.value_or(0666) & 07777);
  dev_t number = device.type == 'p' ? 0 : makedev(device.major, device.minor);
  bool made = ::mknodat(entry.parent.get(), entry.name.c_str(), mode, number) == 0;
  if (!made && errno != EEXIST) return sys_fail("device", "mknodat");
  UniqueFd fd(::openat(entry.parent.get(), entry.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return sys_fail("device", "openat");
  TRY(verify(fd.get(), device));
  return set_owner(fd.get(), device);
}

Status bind_node(ChildState& state, const OciDevice& device) {
  int root = state.rootfs.get();
  if (device.type == 'p') return make_node(root, device);
  auto tree = std::find_if(state.device_trees.begin(), state.device_trees.end(),
                           [&](const auto& entry) { return entry.first == device.path; });
  if (tree == state.device_trees.end() || !tree->second) return ok();  // given twice: made already
  TRY(verify(tree->second.get(), device));
  UniqueFd target = TRY(make_file_in_root(root, device.path));
  UniqueFd mount = std::move(tree->second);
  return attach_mount(mount.get(), target.get());
}

Status make_link(int dev, const char* name, const char* target) {
  if (::symlinkat(target, dev, name) == 0 || errno == EEXIST) return ok();
  return sys_fail("device /dev/" + std::string(name), "symlinkat", name);
}

/** Has the user mounted something of the host's there? Then it is his, and stays as it is. */
bool dev_is_bind(const ChildState& state) {
  for (size_t i = 0; i < state.config->mounts.size(); i++) {
    const OciMount& mount = state.config->mounts[i];
    bool bind = state.sources[i].options.bind || mount.type == "bind" || mount.type == "rbind";
    if (mount.destination == "/dev" && bind) return true;
  }
  return false;
}

Status make_links(int root) {
  UniqueFd dev = TRY(open_in_root(root, "/dev", O_PATH | O_DIRECTORY));
  TRY(make_link(dev.get(), "fd", "/proc/self/fd"));
  TRY(make_link(dev.get(), "stdin", "/proc/self/fd/0"));
  TRY(make_link(dev.get(), "stdout", "/proc/self/fd/1"));
  TRY(make_link(dev.get(), "stderr", "/proc/self/fd/2"));
  if (TRY(is_there("/proc/kcore"))) TRY(make_link(dev.get(), "core", "/proc/kcore"));
  auto multiplexer = open_in_root(root, "/dev/pts/ptmx", O_PATH | O_NOFOLLOW);
  if (!multiplexer.ok()) {
    int err = multiplexer.failure().err;
    if (err == ENOENT || err == ENOTDIR) return ok();
    return std::move(multiplexer).failure();
  }
  // A ptmx that the image brings would open terminals of another devpts, the host's.
  if (::unlinkat(dev.get(), "ptmx", 0) != 0 && errno != ENOENT) {
    return sys_fail("device /dev/ptmx", "unlinkat", "/dev/ptmx");
  }
  return make_link(dev.get(), "ptmx", "pts/ptmx");
}

}  // namespace

Result<UniqueFd> clone_verified_null() {
  UniqueFd null(::open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!null) return sys_fail("mask", "open", "/dev/null");
  TRY(verify(null.get(), default_devices()[0]));
  return clone_mount(null.get(), "", false);
}

Status make_devices(ChildState& state) {
  if (dev_is_bind(state)) return ok();
  TRY(make_directories_in_root(state.rootfs.get(), "/dev"));
  auto make = [&](const OciDevice& device) -> Status {
    auto made = state.in_userns ? bind_node(state, device) : make_node(state.rootfs.get(), device);
    if (!made.ok()) return at_device(device, std::move(made).failure());
    return ok();
  };
  for (const OciDevice& device : default_devices()) {
    // The configuration's own entry for a default device has its mode and owner.
    bool given = std::any_of(state.config->devices.begin(), state.config->devices.end(),
                             [&](const OciDevice& other) { return other.path == device.path; });
    if (!given) TRY(make(device));
  }
  for (const OciDevice& device : state.config->devices) TRY(make(device));
  return make_links(state.rootfs.get());
}

namespace {
Status verify_multiplexer(int fd) {
  struct stat info {};
  struct statfs system {};
  if (::fstat(fd, &info) != 0 || ::fstatfs(fd, &system) != 0) {
    return sys_fail("terminal", "fstat", "/dev/pts/ptmx");
  }
  if (system.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(info.st_mode) ||
      info.st_rdev != makedev(5, 2) || info.st_ino != 2) {
    return fail("terminal", "/dev/pts is not a devpts: a mount of that type is required", EINVAL,
                "/dev/pts/ptmx");
  }
  return ok();
}
}  // namespace

Result<Console> open_console(int root, const LaunchOptions& options) {
  const winsize& size = options.window;
  // The image or another container must not be able to put something else in its place: it has to
  // be the multiplexer (5:2) at the place where each devpts has it. Looked at before it is opened,
  // and again after.
  UniqueFd path = TRY(open_in_root(root, "/dev/pts/ptmx", O_PATH | O_NOFOLLOW));
  TRY(verify_multiplexer(path.get()));
  Console out;
  out.master = TRY(open_in_root(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW));
  TRY(verify_multiplexer(out.master.get()));
  int unlock = 0;
  if (::ioctl(out.master.get(), TIOCSPTLCK, &unlock) != 0) return sys_fail("terminal", "ioctl");
  // By the master's descriptor, not by the slave's path (CVE-2025-52565).
  out.slave.reset(::ioctl(out.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!out.slave) return sys_fail("terminal", "TIOCGPTPEER");
  if (size.ws_row != 0 || size.ws_col != 0) {
    if (::ioctl(out.master.get(), TIOCSWINSZ, &size) != 0)
      return sys_fail("terminal", "TIOCSWINSZ");
  }
  termios modes;
  if (options.plain_line_ends && ::tcgetattr(out.master.get(), &modes) == 0) {
    modes.c_oflag &= ~static_cast<tcflag_t>(ONLCR);
    ::tcsetattr(out.master.get(), TCSANOW, &modes);
  }
  return out;
}

Status bind_console(int root, const Console& console) {
  UniqueFd target = TRY(make_file_in_root(root, "/dev/console", 0600));
  auto tree = clone_mount(console.slave.get(), "", false);
  if (!tree.ok()) return sys_fail("terminal", "open_tree", "/dev/console", tree.failure().err);
  auto attached = attach_mount(tree->get(), target.get());
  if (!attached.ok()) {
    return sys_fail("terminal", "move_mount", "/dev/console", attached.failure().err);
  }
  return ok();
}

}  // namespace stack
