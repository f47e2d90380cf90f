#include "unpack_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fs.h"
#include "unpack_attributes.h"
#include "unpack_path.h"

namespace stack::layer {
namespace {

constexpr size_t kOpenDirectories = 256;
constexpr int kMaxSymlinks = 40;

}  // namespace

Tree::Tree(UniqueFd root, const TreeOptions& options) : root_(std::move(root)), options_(options) {
  if (!options_.plain) directories_.emplace("", Directory{});
}

Result<int> Tree::open_directory(const std::string& path, bool make, int depth) {
  if (path.empty()) return root_.get();
  if (auto it = open_.find(path); it != open_.end()) return it->second.get();
  Result<UniqueFd> opened = open_in_root(root_.get(), path, O_PATH | O_DIRECTORY);
  if (!opened.ok()) {
    const int error = opened.failure().err;
    if (!make || (error != ENOENT && error != ENOTDIR)) return std::move(opened).failure();
    TRY(make_directory(path, depth));
    opened = open_in_root(root_.get(), path, O_PATH | O_DIRECTORY);
    if (!opened.ok()) return std::move(opened).failure();
  }
  UniqueFd fd = std::move(opened).take();
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
  if (options_.owner) directory.uid = options_.owner->uid, directory.gid = options_.owner->gid;
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

/// Something is where an entry has to go: the later entry wins, and a link is replaced, never
/// written through.
Status Tree::clear_way(const Place& place) {
  // remove_tree frees no descriptors of ours, so `place.parent` must survive the forgetting.
  const UniqueFd parent(fcntl(place.parent, F_DUPFD_CLOEXEC, 3));
  if (!parent) return sys_fail("unpack", "dup", place.path);
  TRY(may_replace(parent.get(), place.leaf, place.path));
  forget_below(place.path);
  return remove_tree(parent.get(), place.leaf);
}

Status Tree::may_replace(int parent, const std::string& leaf, const std::string& path) const {
  struct statx there {}, here {};
  if (!options_.plain ||
      statx(parent, leaf.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_MNT_ID, &there) != 0)
    return ok();
  if (S_ISDIR(there.stx_mode))
    return fail("unpack", "a directory is in the way of what is none", EISDIR, path);
  // Unlinking a mount point from another mount namespace takes the mount away there.
  if (statx(parent, "", AT_EMPTY_PATH, STATX_MNT_ID, &here) != 0)
    return sys_fail("unpack", "statx", path);
  if (there.stx_mnt_id == here.stx_mnt_id) return ok();
  return fail("unpack", "it is mounted there, and cannot be replaced", EBUSY, path);
}

Status Tree::add(const TarEntry& entry, TarReader& tar) {
  if (!options_.owner) return add_as(entry, tar);
  TarEntry owned = entry;
  owned.uid = options_.owner->uid;
  owned.gid = options_.owner->gid;
  return add_as(owned, tar);
}

Status Tree::add_as(const TarEntry& entry, TarReader& tar) {
  const std::string path = TRY(clean_entry_path(entry.name));
  if (!options_.plain) {
    const std::string leaf = leaf_of(path);
    if (leaf.starts_with(".wh.")) return add_whiteout(path, leaf);
    // A name inside of what only marks something: aufs kept its own records there, nobody may see
    // them.
    if (path.starts_with(".wh..wh.") || path.find("/.wh..wh.") != std::string::npos) return ok();
  } else if (path.empty() && entry.type == TarType::directory) {
    return ok();
  }
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
      if (options_.plain)
        return fail("unpack", "something that is no directory is in the way of one", ENOTDIR, path);
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
  TRY(may_replace(to.get(), where.leaf, where.path));
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

}  // namespace stack::layer
