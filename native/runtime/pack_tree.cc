#include "pack_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "fd.h"
#include "fs.h"
#include "tar_writer.h"

namespace stack {

namespace {

constexpr const char* kStage = "pack";
/// procfs and sysfs do not say how long their files are: these are read before they are written.
constexpr size_t kMaxUnsized = 1 << 20;

struct Entry {
  UniqueFd fd;  // O_PATH
  struct stat info {};
  uint64_t mount = 0;
};

Result<Entry> open_entry(UniqueFd fd, const std::string& name) {
  Entry entry{std::move(fd)};
  struct statx extended {};
  if (::fstat(entry.fd.get(), &entry.info) < 0) return sys_fail(kStage, "fstat", name);
  if (::statx(entry.fd.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &extended) < 0)
    return sys_fail(kStage, "statx", name);
  entry.mount = extended.stx_mnt_id;
  return entry;
}

Result<std::vector<std::string>> names_in(int directory, const std::string& name) {
  DIR* stream = ::fdopendir(::fcntl(directory, F_DUPFD_CLOEXEC, 3));
  if (stream == nullptr) return sys_fail(kStage, "fdopendir", name);
  std::vector<std::string> names;
  errno = 0;
  while (dirent* entry = ::readdir(stream)) {
    std::string_view one = entry->d_name;
    if (one != "." && one != "..") names.emplace_back(one);
  }
  int error = errno;
  ::closedir(stream);
  if (error != 0) return sys_fail(kStage, "readdir", name, error);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::pair<std::string, std::string>> attributes_of(int fd) {
  std::vector<std::pair<std::string, std::string>> found;
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  char names[65536];
  const ssize_t size = ::listxattr(path.c_str(), names, sizeof names);
  for (ssize_t at = 0; at < size;) {
    const std::string name = names + at;
    at += static_cast<ssize_t>(name.size()) + 1;
    if (name != "security.capability" && !name.starts_with("user.")) continue;
    if (name.starts_with("user.overlay.")) continue;
    char value[65536];
    const ssize_t length = ::getxattr(path.c_str(), name.c_str(), value, sizeof value);
    if (length >= 0) found.emplace_back(name, std::string(value, static_cast<size_t>(length)));
  }
  return found;
}

Result<std::string> target_of(const Entry& entry, const std::string& name) {
  char target[4096];
  const ssize_t size = ::readlinkat(entry.fd.get(), "", target, sizeof target);
  if (size < 0) return sys_fail(kStage, "readlinkat", name);
  return std::string(target, static_cast<size_t>(size));
}

/// Reads exactly `size` bytes at most; fewer if the file has become shorter.
Result<uint64_t> copy_content(int fd, uint64_t size, const std::string& name, TarWriter& tar) {
  char piece[128 * 1024];
  uint64_t done = 0;
  while (done < size) {
    const auto most = static_cast<size_t>(std::min<uint64_t>(size - done, sizeof piece));
    const ssize_t n = ::read(fd, piece, most);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_fail(kStage, "read", name);
    if (n == 0) break;
    TRY(tar.write({piece, static_cast<size_t>(n)}));
    done += static_cast<uint64_t>(n);
  }
  return done;
}

class Packer {
 public:
  Packer(const PackOptions& options, int out) : options_(options), tar_(out) {}

  Status run(UniqueFd start) {
    Entry entry = TRY(open_entry(std::move(start), options_.name));
    mount_ = entry.mount;
    if (!options_.name.empty()) {
      TRY(add(entry, options_.name));
    } else {
      if (!S_ISDIR(entry.info.st_mode))
        return fail(kStage, "it is no directory", ENOTDIR, options_.name);
      TRY(children(entry, ""));
    }
    return tar_.finish();
  }

 private:
  Status add(const Entry& entry, const std::string& name) {
    const mode_t type = entry.info.st_mode & S_IFMT;
    if (type == S_IFSOCK) return ok();  // nobody listens on a copy
    if (type == S_IFDIR) return directory(entry, name);
    TarMember member;
    member.name = name;
    if (entry.info.st_nlink > 1) {
      const auto [first, isNew] =
          links_.emplace(std::pair(entry.info.st_dev, entry.info.st_ino), name);
      if (!isNew) {
        member.type = '1';
        member.link = first->second;
        return tar_.member(member, entry.info);
      }
    }
    if (type == S_IFREG) return file(entry, std::move(member));
    if (type == S_IFLNK) member.link = TRY(target_of(entry, name));
    member.type = type == S_IFLNK ? '2' : type == S_IFCHR ? '3' : type == S_IFBLK ? '4' : '6';
    return tar_.member(member, entry.info);
  }

  Status directory(const Entry& entry, const std::string& name) {
    TarMember member;
    member.name = name + "/";
    member.type = '5';
    member.xattrs = attributes_of(entry.fd.get());
    TRY(tar_.member(member, entry.info));
    return children(entry, member.name);
  }

  /// `prefix`: with a slash at its end, or empty.
  Status children(const Entry& entry, const std::string& prefix) {
    if (is_elsewhere(entry)) return ok();
    UniqueFd fd = TRY(reopen(entry.fd.get(), O_RDONLY | O_DIRECTORY));
    for (const std::string& leaf : TRY(names_in(fd.get(), prefix))) {
      const std::string name = prefix + leaf;
      UniqueFd child(::openat(fd.get(), leaf.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!child && errno == ENOENT) continue;  // removed meanwhile
      if (!child) return sys_fail(kStage, "openat", name);
      TRY(add(TRY(open_entry(std::move(child), name)), name));
    }
    return ok();
  }

  Status file(const Entry& entry, TarMember member) {
    if (is_elsewhere(entry)) return tar_.member(member, entry.info);
    UniqueFd fd = TRY(reopen(entry.fd.get(), O_RDONLY | O_NONBLOCK));
    member.xattrs = attributes_of(entry.fd.get());
    member.size = static_cast<uint64_t>(entry.info.st_size);
    if (member.size == 0) return unsized(fd.get(), std::move(member), entry.info);
    TRY(tar_.member(member, entry.info));
    const uint64_t done = TRY(copy_content(fd.get(), member.size, member.name, tar_));
    TRY(tar_.zeros(member.size - done));
    return tar_.pad(member.size);
  }

  Status unsized(int fd, TarMember member, const struct stat& info) {
    std::string content;
    char piece[65536];
    for (ssize_t n = 0; content.size() < kMaxUnsized && (n = ::read(fd, piece, sizeof piece)) > 0;)
      content.append(piece, static_cast<size_t>(n));
    member.size = content.size();
    TRY(tar_.member(member, info));
    TRY(tar_.write(content));
    return tar_.pad(member.size);
  }

  bool is_elsewhere(const Entry& entry) const {
    return options_.one_mount && entry.mount != mount_;
  }

  const PackOptions& options_;
  TarWriter tar_;
  uint64_t mount_ = 0;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

}  // namespace

Status pack_tree(int root, const std::string& path, const PackOptions& options, int out) {
  // A descriptor for each level of the tree.
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
  }
  UniqueFd start = TRY(open_in_root(root, path, O_PATH | O_NOFOLLOW));
  return Packer(options, out).run(std::move(start));
}

}  // namespace stack
