#include "populate.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "fs.h"

namespace stack {

namespace {

constexpr const char* kStage = "populate volume";

struct DirCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, DirCloser>;

Result<Directory> list(int fd) {
  UniqueFd own(::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) return sys_fail(kStage, "openat");
  DIR* directory = ::fdopendir(own.get());
  if (directory == nullptr) return sys_fail(kStage, "fdopendir");
  (void)own.release();
  return Directory(directory);
}

/** Null: no more. readdir(3) tells a failure from the end by errno alone. */
Result<dirent*> next_entry(const Directory& directory) {
  errno = 0;
  dirent* entry = ::readdir(directory.get());
  if (entry == nullptr && errno != 0) return sys_fail(kStage, "getdents64");
  return entry;
}

bool is_dot(const char* name) {
  return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

Result<bool> is_empty(int fd) {
  Directory directory = TRY(list(fd));
  while (dirent* entry = TRY(next_entry(directory)))
    if (!is_dot(entry->d_name) && std::string_view(entry->d_name) != "lost+found") return false;
  return true;
}

std::string link_to(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

/** Copies one tree by descriptors; remembers inodes with several names. */
class Copier {
 public:
  explicit Copier(int target) : target_(target) {}

  Status directory(int from, int to) {
    Directory directory = TRY(list(from));
    while (dirent* entry = TRY(next_entry(directory)))
      if (!is_dot(entry->d_name)) TRY(one(from, to, entry->d_name));
    return ok();
  }

  // Owner before mode: chown clears the set-user-id bits.
  static Status attributes(int from, int to, const struct stat& status) {
    if (::fchown(to, status.st_uid, status.st_gid) < 0) return sys_fail(kStage, "fchown");
    TRY(extended(link_to(from), link_to(to)));
    if (::fchmod(to, status.st_mode & 07777) < 0) return sys_fail(kStage, "fchmod");
    const timespec times[2] = {status.st_atim, status.st_mtim};
    if (::futimens(to, times) < 0) return sys_fail(kStage, "futimens");
    return ok();
  }

 private:
  static Status extended(const std::string& from, const std::string& to) {
    ssize_t size = ::listxattr(from.c_str(), nullptr, 0);
    if (size < 0 && errno != ENOTSUP) return sys_fail(kStage, "listxattr");
    if (size <= 0) return ok();
    std::string names(static_cast<size_t>(size), 0);
    size = ::listxattr(from.c_str(), names.data(), names.size());
    if (size < 0) return sys_fail(kStage, "listxattr");
    names.resize(static_cast<size_t>(size));
    for (size_t at = 0; at < names.size();) {
      std::string name = names.c_str() + at;
      at += name.size() + 1;
      if (name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.")) continue;
      ssize_t length = ::getxattr(from.c_str(), name.c_str(), nullptr, 0);
      if (length < 0) continue;
      std::string value(static_cast<size_t>(length), 0);
      length = ::getxattr(from.c_str(), name.c_str(), value.data(), value.size());
      if (length < 0) continue;
      if (::setxattr(to.c_str(), name.c_str(), value.data(), static_cast<size_t>(length), 0) < 0 &&
          errno != ENOTSUP && errno != EPERM)
        return sys_fail(kStage, "setxattr", name);
    }
    return ok();
  }

  Status one(int from, int to, const char* name) {
    UniqueFd source(::openat(from, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!source) return sys_fail(kStage, "openat", name);
    struct stat status {};
    if (::fstat(source.get(), &status) < 0) return sys_fail(kStage, "fstat", name);
    auto inode = std::pair(status.st_dev, status.st_ino);
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      if (auto seen = links_.find(inode); seen != links_.end()) {
        // By the first copy's name: linking a descriptor needs CAP_DAC_READ_SEARCH in the file
        // system's namespace.
        if (::linkat(target_, seen->second.c_str(), to, name, 0) < 0)
          return sys_fail(kStage, "linkat", name);
        return ok();
      }
      links_.emplace(inode, path_ + name);
    }
    switch (status.st_mode & S_IFMT) {
      case S_IFDIR:
        return subdirectory(from, to, name, status);
      case S_IFREG:
        return file(from, to, name, status);
      case S_IFLNK:
        return symlink(from, to, name, status);
      default:
        return node(to, name, status);
    }
  }

  Status subdirectory(int from, int to, const char* name, const struct stat& status) {
    UniqueFd source(::openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!source) return sys_fail(kStage, "openat", name);
    if (::mkdirat(to, name, 0700) < 0) return sys_fail(kStage, "mkdirat", name);
    UniqueFd target(::openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!target) return sys_fail(kStage, "openat", name);
    size_t length = path_.size();
    path_.append(name).append("/");
    TRY(directory(source.get(), target.get()));
    path_.resize(length);
    return attributes(source.get(), target.get(), status);
  }

  Status file(int from, int to, const char* name, const struct stat& status) {
    UniqueFd source(::openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!source) return sys_fail(kStage, "openat", name);
    UniqueFd target(::openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!target) return sys_fail(kStage, "openat", name);
    TRY(content(source.get(), target.get(), name));
    return attributes(source.get(), target.get(), status);
  }

  static Status content(int from, int to, const char* name) {
    constexpr size_t kPiece = 1 << 30;
    bool range = true;
    for (;;) {
      ssize_t n = range ? ::copy_file_range(from, nullptr, to, nullptr, kPiece, 0)
                        : ::sendfile(to, from, nullptr, kPiece);
      if (n == 0) return ok();
      if (n > 0) continue;
      if (errno == EINTR) continue;
      if (!range) return sys_fail(kStage, "sendfile", name);
      if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
        return sys_fail(kStage, "copy_file_range", name);
      range = false;  // not between these two file systems
    }
  }

  static Status symlink(int from, int to, const char* name, const struct stat& status) {
    std::string text(static_cast<size_t>(status.st_size) + 1, 0);
    ssize_t length = ::readlinkat(from, name, text.data(), text.size());
    if (length < 0) return sys_fail(kStage, "readlinkat", name);
    text.resize(static_cast<size_t>(length));
    if (::symlinkat(text.c_str(), to, name) < 0) return sys_fail(kStage, "symlinkat", name);
    return owner_and_times(to, name, status);
  }

  static Status node(int to, const char* name, const struct stat& status) {
    if (S_ISSOCK(status.st_mode)) return ok();  // nobody listens on a copy
    if (::mknodat(to, name, status.st_mode, status.st_rdev) < 0)
      return sys_fail(kStage, "mknodat", name);
    if (::fchmodat(to, name, status.st_mode & 07777, 0) < 0)
      return sys_fail(kStage, "fchmodat", name);
    return owner_and_times(to, name, status);
  }

  static Status owner_and_times(int to, const char* name, const struct stat& status) {
    if (::fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
      return sys_fail(kStage, "fchownat", name);
    const timespec times[2] = {status.st_atim, status.st_mtim};
    if (::utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
      return sys_fail(kStage, "utimensat", name);
    return ok();
  }

  int target_;
  std::string path_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

// Half a copy would pass for the user's data at the next start.
void clear(int volume) {
  auto directory = list(volume);
  if (!directory) return;
  while (dirent* entry = ::readdir(directory->get()))
    if (!is_dot(entry->d_name)) (void)remove_tree(volume, entry->d_name);
}

}  // namespace

Status populate_volume(int root, const PopulateSpec& spec) {
  UniqueFd volume(::open(spec.source.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!volume) return sys_fail(kStage, "open", spec.source);
  if (::flock(volume.get(), LOCK_EX) < 0) return sys_fail(kStage, "flock", spec.source);
  if (!TRY(is_empty(volume.get()))) return ok();
  auto content = open_in_root(root, spec.target, O_RDONLY | O_DIRECTORY);
  if (!content) {
    int err = content.failure().err;
    if (err == ENOENT || err == ENOTDIR) return ok();
    return std::move(content).failure();
  }
  struct stat status {};
  if (::fstat(content->get(), &status) < 0) return sys_fail(kStage, "fstat", spec.target);
  Copier copier(volume.get());
  Status copied = copier.directory(content->get(), volume.get());
  if (copied) copied = Copier::attributes(content->get(), volume.get(), status);
  if (copied) return ok();
  clear(volume.get());
  Failure failure = copied.failure();
  failure.message += " (volume for " + spec.target + ")";
  return failure;
}

}  // namespace stack
