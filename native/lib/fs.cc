#include "fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <algorithm>
#include <climits>
#include <vector>

namespace stack {

Result<UniqueFd> open_in_root(int root, const std::string& path, int flags, mode_t mode,
                              uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<uint64_t>(static_cast<unsigned>(flags | O_CLOEXEC));
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve;
  // EAGAIN: something was renamed while ".." was walked; the kernel asks to try again (openat2(2)).
  for (int attempt = 0;; attempt++) {
    int fd = static_cast<int>(
        ::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how));
    if (fd >= 0) return UniqueFd(fd);
    if ((errno != EAGAIN && errno != EINTR) || attempt >= 128) {
      return sys_fail("open in root", "openat2", path);
    }
  }
}

namespace {

std::vector<std::string> components(const std::string& path) {
  std::vector<std::string> out;
  size_t start = 0;
  while (start < path.size()) {
    size_t end = path.find('/', start);
    if (end == std::string::npos) end = path.size();
    std::string part = path.substr(start, end - start);
    if (!part.empty() && part != ".") out.push_back(std::move(part));
    start = end + 1;
  }
  return out;
}

Result<std::string> read_link_at(int link) {
  std::string target(PATH_MAX, 0);
  ssize_t length = ::readlinkat(link, "", target.data(), target.size());
  if (length < 0) return sys_fail("open in root", "readlinkat");
  target.resize(static_cast<size_t>(length));
  return target;
}

constexpr int kMostLinks = 40;  // as the kernel: MAXSYMLINKS

/** The path without links, also where links lead to what does not exist yet: images bring
   `/etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf`. A hint only: whoever uses it
   resolves it in the root again. */
Result<std::string> without_links(int root, const std::string& path) {
  std::vector<std::string> rest = components(path);
  std::reverse(rest.begin(), rest.end());
  std::string out;
  for (int links = 0; !rest.empty();) {
    std::string part = std::move(rest.back());
    rest.pop_back();
    if (part == "..") {
      out.resize(out.empty() ? 0 : out.rfind('/'));
      continue;
    }
    std::string next = out + "/" + part;
    auto found = open_in_root(root, next, O_PATH | O_NOFOLLOW);
    struct stat info {};
    if (!found.ok() && found.failure().err != ENOENT) return std::move(found).failure();
    if (found.ok() && ::fstat(found->get(), &info) != 0)
      return sys_fail("open in root", "fstat", next);
    if (!found.ok() || !S_ISLNK(info.st_mode)) {
      out = std::move(next);
      continue;
    }
    if (++links > kMostLinks) return sys_fail("open in root", "readlinkat", path, ELOOP);
    std::string target = TRY(read_link_at(found->get()));
    if (target.starts_with('/')) out.clear();
    std::vector<std::string> more = components(target);
    rest.insert(rest.end(), more.rbegin(), more.rend());
  }
  return out.empty() ? "/" : out;
}

}  // namespace

Result<UniqueFd> make_directories_in_root(int root, const std::string& path, mode_t mode) {
  auto direct = open_in_root(root, path, O_PATH | O_DIRECTORY);
  if (direct.ok() || direct.failure().err != ENOENT) return direct;
  std::string plain = TRY(without_links(root, path));
  // Walk on the cleaned path: each prefix is resolved in-root anew, so symlinks on the way count.
  std::string prefix;
  UniqueFd current = TRY(open_in_root(root, "/", O_PATH | O_DIRECTORY));
  for (const std::string& part : components(plain)) {
    prefix += "/" + part;
    auto next = open_in_root(root, prefix, O_PATH | O_DIRECTORY);
    if (!next.ok() && next.failure().err == ENOENT) {
      if (::mkdirat(current.get(), part.c_str(), mode) != 0 && errno != EEXIST) {
        return sys_fail("make directory in root", "mkdirat", prefix);
      }
      next = open_in_root(root, prefix, O_PATH | O_DIRECTORY);
    }
    if (!next.ok()) return std::move(next).failure();
    current = std::move(next).take();
  }
  return current;
}

Result<InRootEntry> entry_in_root(int root, const std::string& path) {
  std::string clean = clean_path(path);
  size_t slash = clean.rfind('/');
  std::string name = clean.substr(slash + 1);
  if (name.empty()) return sys_fail("open in root", "openat2", path, EISDIR);
  UniqueFd parent = TRY(make_directories_in_root(root, slash == 0 ? "/" : clean.substr(0, slash)));
  return InRootEntry{std::move(parent), std::move(name)};
}

Result<UniqueFd> make_file_in_root(int root, const std::string& path, mode_t mode) {
  auto found = open_in_root(root, path, O_PATH);
  if (found.ok() || found.failure().err != ENOENT) return found;
  InRootEntry entry = TRY(entry_in_root(root, TRY(without_links(root, path))));
  // O_EXCL does not follow a symlink that somebody puts in the last place meanwhile.
  UniqueFd made(::openat(entry.parent.get(), entry.name.c_str(),
                         O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!made && errno != EEXIST) return sys_fail("make file in root", "openat", path);
  return open_in_root(root, path, O_PATH);
}

Result<UniqueFd> reopen(int path_fd, int flags) {
  std::string path = "/proc/self/fd/" + std::to_string(path_fd);
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd) return sys_fail("reopen", "open", path);
  return fd;
}

Result<std::string> read_file(const std::string& path, size_t limit) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_fail("read file", "open", path);
  auto text = read_all(fd.get(), limit);
  if (!text.ok()) return sys_fail("read file", "read", path, text.failure().err);
  return text;
}

Status write_existing_at(int dir, const std::string& path, std::string_view data) {
  UniqueFd fd(::openat(dir, path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return sys_fail("write file", "open", path);
  ssize_t n;
  do {
    n = ::write(fd.get(), data.data(), data.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return sys_fail("write file", "write", path);
  if (static_cast<size_t>(n) != data.size()) return sys_fail("write file", "write", path, EIO);
  return ok();
}

Status write_existing(const std::string& path, std::string_view data) {
  return write_existing_at(AT_FDCWD, path, data);
}

Status replace_file(const std::string& path, std::string_view data, mode_t mode) {
  std::string temporary = path + ".tmp-" + std::to_string(::getpid());
  ::unlink(temporary.c_str());
  UniqueFd fd(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd) return sys_fail("replace file", "open", temporary);
  auto written = write_all(fd.get(), data);
  if (!written.ok()) {
    ::unlink(temporary.c_str());
    return sys_fail("replace file", "write", temporary, written.failure().err);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    Failure failure = sys_fail("replace file", "rename", path);
    ::unlink(temporary.c_str());
    return failure;
  }
  return ok();
}

Status make_directories(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return ok();
  if (errno != ENOENT) return sys_fail("make directory", "mkdir", path);
  std::string clean = clean_path(path);
  for (size_t at = clean.find('/', 1);; at = clean.find('/', at + 1)) {
    std::string prefix = clean.substr(0, at);
    if (::mkdir(prefix.c_str(), mode) != 0 && errno != EEXIST) {
      return sys_fail("make directory", "mkdir", prefix);
    }
    if (at == std::string::npos) return ok();
  }
}

namespace {

/// Directories that lie deeper are moved up: neither descriptors nor the stack may run out.
constexpr int kDeepest = 64;

class TreeRemoval {
 public:
  explicit TreeRemoval(int top) : top_(top) {}

  /// Everything below `dir`, but for what had to be moved up to the top.
  Status empty(int dir, int depth) {
    std::vector<std::string> names;
    TRY(children_of(dir, names));
    for (const std::string& name : names) {
      if (::unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) continue;
      if (errno != EISDIR && errno != EPERM) return sys_fail("remove", "unlinkat", name);
      if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) continue;
      if (depth >= kDeepest) {
        TRY(move_up(dir, name));
        continue;
      }
      // What is mounted there is not ours to delete.
      UniqueFd child =
          TRY(open_in_root(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_NO_XDEV));
      TRY(empty(child.get(), depth + 1));
      if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return sys_fail("remove", "unlinkat", name);
      }
    }
    return ok();
  }

  [[nodiscard]] bool moved() const { return moved_ > emptied_; }
  /// Begins another round over the top, where the deep ones are now.
  void next_round() { emptied_ = moved_; }

 private:
  static Status children_of(int dir, std::vector<std::string>& names) {
    int own = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* stream = own < 0 ? nullptr : ::fdopendir(own);
    if (stream == nullptr) {
      Failure failure = sys_fail("remove", "fdopendir", "");
      if (own >= 0) ::close(own);
      return failure;
    }
    errno = 0;
    while (dirent* entry = ::readdir(stream)) {
      std::string_view child = entry->d_name;
      if (child != "." && child != "..") names.emplace_back(child);
      errno = 0;
    }
    int err = errno;
    ::closedir(stream);
    if (err != 0) return sys_fail("remove", "getdents64", "", err);
    return ok();
  }

  Status move_up(int dir, const std::string& name) {
    for (;;) {
      std::string target = ".deep." + std::to_string(++moved_);
      if (::renameat2(dir, name.c_str(), top_, target.c_str(), RENAME_NOREPLACE) == 0) return ok();
      if (errno != EEXIST) return sys_fail("remove", "renameat2", name);
    }
  }

  int top_;
  uint64_t moved_ = 0;
  uint64_t emptied_ = 0;
};

}  // namespace

Status remove_tree(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return ok();
  if (errno != EISDIR && errno != EPERM) return sys_fail("remove", "unlinkat", name);
  UniqueFd dir(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir) return sys_fail("remove", "openat", name);
  TreeRemoval removal(dir.get());
  do {
    removal.next_round();
    TRY(removal.empty(dir.get(), 0));
  } while (removal.moved());
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return sys_fail("remove", "unlinkat", name);
  }
  return ok();
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<bool> is_there(const std::string& path) {
  if (::access(path.c_str(), F_OK) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return sys_fail("look for", "access", path);
}

std::string clean_path(std::string_view path) {
  std::vector<std::string> kept;
  for (std::string& part : components(std::string(path))) {
    if (part == "..") {
      if (!kept.empty()) kept.pop_back();
    } else {
      kept.push_back(std::move(part));
    }
  }
  std::string out;
  for (const std::string& part : kept) out += "/" + part;
  return out.empty() ? "/" : out;
}

}  // namespace stack
