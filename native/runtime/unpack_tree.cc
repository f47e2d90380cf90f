#include "unpack_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace stack {
namespace {

constexpr size_t kOpenDirectories = 256;
constexpr int kMaxSymlinks = 40;

Failure hostile(const std::string& path, const std::string& what) {
  return fail("unpack", what, EBADMSG, path);
}

int open_in_root(int root, const std::string& path, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  return static_cast<int>(syscall(SYS_openat2, root, name, &how, sizeof how));
}

bool is_whiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == 0; }

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

std::string leaf_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

/// Attributes that overlayfs itself reads would let a layer redirect its directories.
bool overlay_private(const std::string& name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

/**
 * File systems, kernels and user namespaces that cannot keep an attribute refuse it in these ways;
 * Docker goes on as well. Attributes of other security modules (security.selinux …) are the host's
 * business.
 */
bool attribute_may_fail(const std::string& name, int error) {
  if (error == ENOTSUP || error == EOPNOTSUPP) return true;
  return (error == EPERM || error == EINVAL) && name != "security.capability";
}

template <class Set>
Status set_attributes(const std::string& path,
                      const std::vector<std::pair<std::string, std::string>>& xattrs, Set set) {
  for (const auto& [name, value] : xattrs) {
    if (overlay_private(name)) continue;
    if (set(name.c_str(), value.data(), value.size()) == 0) continue;
    if (!attribute_may_fail(name, errno)) return sys_fail("unpack", "setxattr " + name, path);
  }
  return ok();
}

}  // namespace

Result<std::string> clean_entry_path(std::string_view path) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (parts.empty()) return hostile(std::string(path), "a name leads out of the layer");
      parts.pop_back();
      continue;
    }
    parts.push_back(part);
  }
  std::string clean;
  for (std::string_view part : parts) {
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  return clean;
}

Tree::Tree(UniqueFd root, const TreeOptions& options) : root_(std::move(root)), options_(options) {
  directories_.emplace("", Directory{});
}

Result<int> Tree::open_directory(const std::string& path, bool make, int depth) {
  if (path.empty()) return root_.get();
  if (auto it = open_.find(path); it != open_.end()) return it->second.get();
  UniqueFd fd(open_in_root(root_.get(), path, O_PATH | O_DIRECTORY));
  if (!fd && make && (errno == ENOENT || errno == ENOTDIR)) {
    TRY(make_directory(path, depth));
    fd.reset(open_in_root(root_.get(), path, O_PATH | O_DIRECTORY));
  }
  if (!fd) return sys_fail("unpack", "openat2", path);
  if (open_.size() >= kOpenDirectories) open_.clear();
  const int raw = fd.get();
  open_.insert_or_assign(path, std::move(fd));
  return raw;
}

/// A directory that the layer uses without having named it (or not yet).
Status Tree::make_directory(const std::string& path, int depth) {
  if (depth > kMaxSymlinks) return hostile(path, "too many symbolic links");
  const std::string leaf = leaf_of(path);
  // The descriptor may go with the cache: take it anew after everything that opens others.
  const int parent = TRY(open_directory(parent_of(path), true, depth));
  struct stat st {};
  bool opaque = false;
  if (fstatat(parent, leaf.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    if (S_ISDIR(st.st_mode)) return ok();
    if (S_ISLNK(st.st_mode)) {
      // Its target belongs to a layer below: make the way that it points to.
      const std::string target = TRY(through_symlink(parent, path, leaf));
      TRY(open_directory(target, true, depth + 1));
      return ok();
    }
    if (!is_whiteout(st))
      return hostile(path, "an entry lies below something that is no directory");
    // The layer below had something here, this layer removed it and made it anew: nothing shines
    // through.
    if (unlinkat(parent, leaf.c_str(), 0) != 0) return sys_fail("unpack", "unlink", path);
    opaque = true;
  }
  if (mkdirat(parent, leaf.c_str(), 0700) != 0) return sys_fail("unpack", "mkdir", path);
  Directory& directory = directories_[path];
  directory = Directory{};
  directory.opaque = opaque;
  return ok();
}

Result<std::string> Tree::through_symlink(int parent, const std::string& path,
                                          const std::string& leaf) {
  char target[4096];
  const ssize_t size = readlinkat(parent, leaf.c_str(), target, sizeof target);
  if (size <= 0) return sys_fail("unpack", "readlink", path);
  const std::string_view text(target, static_cast<size_t>(size));
  std::string joined(text);
  if (!text.starts_with('/')) {
    // A root has no parent: ".." at the top stays there, as it does inside a container.
    std::string base = parent_of(path);
    joined = base;
    std::string_view rest = text;
    while (rest.starts_with("../") || rest == "..") {
      rest.remove_prefix(std::min<size_t>(3, rest.size()));
      base = parent_of(base);
      joined = base;
    }
    joined += '/';
    joined += rest;
  }
  return clean_entry_path(joined);
}

Result<Tree::Place> Tree::place(const std::string& path, bool make) {
  Place place;
  place.parent = TRY(open_directory(parent_of(path), make));
  place.path = path;
  place.leaf = leaf_of(path);
  return place;
}

void Tree::forget_below(const std::string& path) {
  directories_.erase(path);
  const std::string below = path + "/";
  for (auto it = directories_.lower_bound(below);
       it != directories_.end() && it->first.starts_with(below);)
    it = directories_.erase(it);
  // Paths may also lead here through symbolic links: forget all descriptors, it happens rarely.
  open_.clear();
}

Status Tree::remove_tree(int parent, const std::string& leaf) {
  struct Level {
    UniqueFd fd;
    std::string name;
    std::vector<std::string> names;
  };
  if (unlinkat(parent, leaf.c_str(), 0) == 0) return ok();
  if (errno != EISDIR && errno != EPERM) return sys_fail("unpack", "unlink", leaf);
  std::vector<Level> levels;
  auto enter = [&](int in, const std::string& name) -> Status {
    UniqueFd fd(openat(in, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return sys_fail("unpack", "open", name);
    Level level{std::move(fd), name, {}};
    alignas(dirent64) char buffer[16384];
    ssize_t size = 0;
    while ((size = getdents64(level.fd.get(), buffer, sizeof buffer)) > 0) {
      for (ssize_t at = 0; at < size;) {
        const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
        const std::string_view child = entry->d_name;
        if (child != "." && child != "..") level.names.emplace_back(child);
        at += entry->d_reclen;
      }
    }
    if (size < 0) return sys_fail("unpack", "getdents64", name);
    levels.push_back(std::move(level));
    return ok();
  };
  TRY(enter(parent, leaf));
  while (!levels.empty()) {
    Level& level = levels.back();
    if (level.names.empty()) {
      const int above = levels.size() > 1 ? levels[levels.size() - 2].fd.get() : parent;
      if (unlinkat(above, level.name.c_str(), AT_REMOVEDIR) != 0)
        return sys_fail("unpack", "rmdir", level.name);
      levels.pop_back();
      continue;
    }
    const std::string name = std::move(level.names.back());
    level.names.pop_back();
    if (unlinkat(level.fd.get(), name.c_str(), 0) == 0) continue;
    if (errno != EISDIR && errno != EPERM) return sys_fail("unpack", "unlink", name);
    TRY(enter(level.fd.get(), name));
  }
  return ok();
}

/// Something is where an entry has to go: the later entry wins, and a link is replaced, never
/// written through.
Status Tree::clear_way(const Place& place) {
  // remove_tree frees no descriptors of ours, so `place.parent` must survive the forgetting.
  const UniqueFd parent(fcntl(place.parent, F_DUPFD_CLOEXEC, 3));
  if (!parent) return sys_fail("unpack", "dup", place.path);
  forget_below(place.path);
  return remove_tree(parent.get(), place.leaf);
}

Status Tree::add(const TarEntry& entry, TarReader& tar) {
  const std::string path = TRY(clean_entry_path(entry.name));
  const std::string leaf = leaf_of(path);
  if (leaf.starts_with(".wh.")) return add_whiteout(path, leaf);
  // A name inside of what only marks something: aufs kept its own records there, nobody may see
  // them.
  if (path.starts_with(".wh..wh.") || path.find("/.wh..wh.") != std::string::npos) return ok();
  if (entry.type == TarType::directory) return add_directory(path, entry);
  if (path.empty()) return hostile(entry.name, "the root of the layer is no directory");
  ++summary_.files;
  Place where = TRY(place(path));
  switch (entry.type) {
    case TarType::file:
      return add_file(where, entry, tar);
    case TarType::hard_link:
      return add_hard_link(where, entry);
    default:
      return add_other(where, entry);
  }
}

/// OCI image specification, layer.md, "Whiteouts". They concern the layers below, never this one.
Status Tree::add_whiteout(const std::string& path, std::string_view name) {
  const std::string parent = parent_of(path);
  if (name == ".wh..wh..opq") {
    TRY(open_directory(parent, true));
    directories_[parent].opaque = true;
    return ok();
  }
  if (name.starts_with(".wh..wh.")) return ok();  // aufs' own records
  const std::string hidden(name.substr(4));
  if (hidden.empty() || hidden == "." || hidden == "..")
    return hostile(path, "a whiteout has no valid name");
  Result<int> directory = open_directory(parent, false);
  if (!directory.ok()) {
    // Below a whiteout (or a file) of this layer there is nothing left to hide.
    if (directory.failure().err == ENOTDIR) return ok();
    directory = open_directory(parent, true);
    if (!directory.ok()) return std::move(directory).failure();
  }
  const std::string target = parent.empty() ? hidden : parent + "/" + hidden;
  struct stat st {};
  if (fstatat(*directory, hidden.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    // This layer's own entry already hides a file; a directory has to hide what it would merge
    // with.
    if (S_ISDIR(st.st_mode)) directories_[target].opaque = true;
    return ok();
  }
  if (mknodat(*directory, hidden.c_str(), S_IFCHR, makedev(0, 0)) != 0)
    return sys_fail("unpack", "mknod", target);
  return ok();
}

Status Tree::add_directory(const std::string& path, const TarEntry& entry) {
  bool opaque = false;
  if (!path.empty()) {
    const Place where = TRY(place(path));
    struct stat st {};
    if (mkdirat(where.parent, where.leaf.c_str(), 0700) == 0) {
      directories_.erase(path);
    } else if (errno != EEXIST) {
      return sys_fail("unpack", "mkdir", path);
    } else if (fstatat(where.parent, where.leaf.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      return sys_fail("unpack", "stat", path);
    } else if (!S_ISDIR(st.st_mode)) {
      opaque = is_whiteout(st);
      TRY(clear_way(where));
      const int parent = TRY(open_directory(parent_of(path), true));
      if (mkdirat(parent, where.leaf.c_str(), 0700) != 0) return sys_fail("unpack", "mkdir", path);
    }
  }
  Directory& directory = directories_[path];
  directory.mode = entry.mode;
  directory.uid = entry.uid;
  directory.gid = entry.gid;
  directory.mtime = entry.mtime;
  directory.mtime_ns = entry.mtime_ns;
  directory.xattrs = entry.xattrs;
  directory.implicit = false;
  directory.opaque = directory.opaque || opaque;
  return ok();
}

Status Tree::add_file(const Place& where, const TarEntry& entry, TarReader& tar) {
  logical_bytes_ += entry.size;
  if (logical_bytes_ > options_.max_bytes || entry.size > options_.max_bytes)
    return fail("limit",
                "the files of the layer are larger than the " + std::to_string(options_.max_bytes) +
                    " bytes they may have",
                EFBIG, where.path);
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  // Set-id bits come after the owner (chown clears them), and only when the content is there.
  const mode_t mode = entry.mode & 0777;
  UniqueFd fd(openat(where.parent, where.leaf.c_str(), flags, mode));
  if (!fd && errno == EEXIST) {
    TRY(clear_way(where));
    const int parent = TRY(open_directory(parent_of(where.path), true));
    fd.reset(openat(parent, where.leaf.c_str(), flags, mode));
  }
  if (!fd) return sys_fail("unpack", "open", where.path);
  TRY(entry.sparse ? write_sparse(fd.get(), where, entry, tar)
                   : write_file(fd.get(), where, entry, tar));
  static const uid_t uid = geteuid();
  static const gid_t gid = getegid();
  if (entry.uid != uid || entry.gid != gid) {
    if (fchown(fd.get(), entry.uid, entry.gid) != 0) return sys_fail("unpack", "chown", where.path);
  }
  TRY(set_attributes(where.path, entry.xattrs,
                     [&](const char* name, const void* value, size_t size) {
                       return fsetxattr(fd.get(), name, value, size, 0);
                     }));
  if ((entry.mode & 07000) != 0 && fchmod(fd.get(), entry.mode) != 0)
    return sys_fail("unpack", "chmod", where.path);
  const timespec times[2] = {{entry.mtime, entry.mtime_ns}, {entry.mtime, entry.mtime_ns}};
  if (futimens(fd.get(), times) != 0) return sys_fail("unpack", "utimensat", where.path);
  return ok();
}

Status Tree::write_file(int fd, const Place& where, const TarEntry& entry, TarReader& tar) {
  summary_.bytes += entry.size;
  while (true) {
    std::span<const uint8_t> bytes = TRY(tar.data());
    if (bytes.empty()) return ok();
    while (!bytes.empty()) {
      const ssize_t size = ::write(fd, bytes.data(), bytes.size());
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return sys_fail("unpack", "write", where.path);
      bytes = bytes.subspan(static_cast<size_t>(size));
    }
  }
}

Status Tree::write_sparse(int fd, const Place& where, const TarEntry& entry, TarReader& tar) {
  auto extent = entry.extents.begin();
  uint64_t written = 0;  // of the current extent
  while (true) {
    std::span<const uint8_t> bytes = TRY(tar.data());
    if (bytes.empty()) break;
    while (!bytes.empty()) {
      while (extent != entry.extents.end() && written == extent->size) ++extent, written = 0;
      if (extent == entry.extents.end())
        return hostile(where.path, "a sparse file has too many bytes");
      const auto most =
          static_cast<size_t>(std::min<uint64_t>(bytes.size(), extent->size - written));
      const ssize_t size =
          pwrite(fd, bytes.data(), most, static_cast<off_t>(extent->offset + written));
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return sys_fail("unpack", "write", where.path);
      written += static_cast<uint64_t>(size);
      summary_.bytes += static_cast<uint64_t>(size);
      bytes = bytes.subspan(static_cast<size_t>(size));
    }
  }
  if (ftruncate(fd, static_cast<off_t>(entry.size)) != 0)
    return sys_fail("unpack", "truncate", where.path);
  return ok();
}

Status Tree::add_hard_link(const Place& where, const TarEntry& entry) {
  const std::string target = TRY(clean_entry_path(entry.link));
  if (target == where.path) return ok();  // a link to itself is there already
  // Both descriptors must live through whatever opening the other one does to the cache.
  const UniqueFd to(fcntl(where.parent, F_DUPFD_CLOEXEC, 3));
  if (!to) return sys_fail("unpack", "dup", where.path);
  const Result<int> from = open_directory(parent_of(target), false);
  const std::string leaf = leaf_of(target);
  struct stat st {};
  if (!from.ok() || fstatat(*from, leaf.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 || is_whiteout(st))
    return hostile(where.path, "a hard link to " + target + ", which the layer does not have");
  if (S_ISDIR(st.st_mode)) return hostile(where.path, "a hard link to a directory, " + target);
  const UniqueFd source(fcntl(*from, F_DUPFD_CLOEXEC, 3));
  if (!source) return sys_fail("unpack", "dup", target);
  if (linkat(source.get(), leaf.c_str(), to.get(), where.leaf.c_str(), 0) == 0) return ok();
  if (errno != EEXIST) return sys_fail("unpack", "link", where.path);
  forget_below(where.path);
  TRY(remove_tree(to.get(), where.leaf));
  if (linkat(source.get(), leaf.c_str(), to.get(), where.leaf.c_str(), 0) == 0) return ok();
  return sys_fail("unpack", "link", where.path);
}

Status Tree::add_other(const Place& where, const TarEntry& entry) {
  auto make = [&](int parent) {
    const char* name = where.leaf.c_str();
    switch (entry.type) {
      case TarType::symlink:
        return symlinkat(entry.link.c_str(), parent, name);
      case TarType::char_device:
        return mknodat(parent, name, S_IFCHR | 0600, makedev(entry.major, entry.minor));
      case TarType::block_device:
        return mknodat(parent, name, S_IFBLK | 0600, makedev(entry.major, entry.minor));
      default:
        return mknodat(parent, name, S_IFIFO | 0600, 0);
    }
  };
  if (make(where.parent) == 0) return decorate(where, entry);
  if (errno != EEXIST)
    return sys_fail("unpack", entry.type == TarType::symlink ? "symlink" : "mknod", where.path);
  TRY(clear_way(where));
  const Place again = TRY(place(where.path));
  if (make(again.parent) != 0)
    return sys_fail("unpack", entry.type == TarType::symlink ? "symlink" : "mknod", where.path);
  return decorate(again, entry);
}

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
  UniqueFd fd(open_in_root(root_.get(), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (!fd) {
    // It was named through a symbolic link and replaced under its real name: there is nothing to
    // finish.
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return ok();
    return sys_fail("unpack", "open", path);
  }
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

}  // namespace stack
