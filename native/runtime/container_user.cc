#include <fcntl.h>

#include <algorithm>
#include <charconv>

#include "container.h"
#include "fs.h"

// `user: NAME[:GROUP]` looked up in the container's own files, never in the host's (and without the
// C library's name service, which would load the host's or the image's modules).

namespace stack {

namespace {

constexpr size_t kMaxFile = 4u << 20;
constexpr uint64_t kLastId = 2147483647;  // as Docker: what is above is a mistake or an attack

/** "" where the image has none, or something else. */
Result<std::string> read_in_root(int root, const char* path) {
  // O_NONBLOCK: the image could have put a FIFO there.
  auto fd = open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd.ok()) {
    int err = fd.failure().err;
    // Of a user without rights, of links in a ring, of a FIFO's like.
    constexpr int kNone[] = {ENOENT, ENOTDIR, EACCES, ELOOP, ENXIO, ENODEV, EISDIR, EPERM};
    if (std::find(std::begin(kNone), std::end(kNone), err) != std::end(kNone)) return std::string();
    return std::move(fd).failure();
  }
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0) return sys_fail("user", "fstat", path);
  if (!S_ISREG(info.st_mode)) return std::string();
  auto text = read_all(fd->get(), kMaxFile);
  if (!text.ok() && text.failure().err != EFBIG)
    return sys_fail("user", "read", path, text.failure().err);
  return text.ok() ? std::move(text).take() : std::string();
}

std::vector<std::string> split(std::string_view line, char separator) {
  std::vector<std::string> out;
  for (;;) {
    size_t end = line.find(separator);
    out.emplace_back(line.substr(0, end));
    if (end == std::string_view::npos) return out;
    line.remove_prefix(end + 1);
  }
}

void for_each_line(const std::string& text, size_t fields, auto&& visit) {
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    auto parts = split(std::string_view(text).substr(at, end - at), ':');
    if (parts.size() >= fields) visit(parts);
    at = end + 1;
  }
}

bool parse_id(std::string_view text, uint64_t& out) {
  if (text.empty()) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

Status check_id(uint64_t id, const std::string& spec) {
  if (id <= kLastId) return ok();
  return fail("user", "user " + spec + ": ids must be 0 to 2147483647", EINVAL, spec);
}

}  // namespace

Result<ResolvedUser> resolve_user(int root_fd, const std::string& spec) {
  ResolvedUser out;
  std::string user = spec, group;
  size_t colon = spec.find(':');
  bool has_group = colon != std::string::npos;
  if (has_group) {
    user = spec.substr(0, colon);
    group = spec.substr(colon + 1);
  }
  if (user.empty()) user = "0";
  std::string passwd = TRY(read_in_root(root_fd, "/etc/passwd"));
  uint64_t number = 0;
  bool numeric = parse_id(user, number);
  bool found = false;
  std::string name;
  auto take = [&](const std::vector<std::string>& line) {
    uint64_t uid = 0, gid = 0;
    if (!parse_id(line[2], uid) || !parse_id(line[3], gid) || uid > kLastId || gid > kLastId)
      return;
    found = true;
    name = line[0];
    out.uid = static_cast<uid_t>(uid);
    out.gid = static_cast<gid_t>(gid);
    out.home = line[5].empty() ? "/" : line[5];
  };
  // A user whose name is a number comes before the number itself, as in other engines.
  for_each_line(passwd, 6, [&](const auto& line) {
    if (!found && line[0] == user) take(line);
  });
  for_each_line(passwd, 6, [&](const auto& line) {
    uint64_t uid = 0;
    if (!found && numeric && parse_id(line[2], uid) && uid == number) take(line);
  });
  if (!found && !numeric) {
    return fail("user",
                "unable to find user " + user + ": no matching entries in the image's /etc/passwd",
                ENOENT, spec);
  }
  if (!found) {
    TRY(check_id(number, spec));
    out.uid = static_cast<uid_t>(number);
  }
  std::string groups = TRY(read_in_root(root_fd, "/etc/group"));
  if (has_group && !group.empty()) {
    bool group_found = false;
    uint64_t gid = 0;
    bool group_numeric = parse_id(group, gid);
    for_each_line(groups, 3, [&](const auto& line) {
      uint64_t id = 0;
      if (group_found || line[0] != group || !parse_id(line[2], id)) return;
      group_found = true;
      gid = id;
    });
    if (!group_found && !group_numeric) {
      return fail(
          "user",
          "unable to find group " + group + ": no matching entries in the image's /etc/group",
          ENOENT, spec);
    }
    TRY(check_id(gid, spec));
    out.gid = static_cast<gid_t>(gid);
    return out;
  }
  // An explicit group stands alone; without one the user is in all that list him.
  for_each_line(groups, 4, [&](const auto& line) {
    uint64_t id = 0;
    if (name.empty() || !parse_id(line[2], id) || id > kLastId) return;
    auto members = split(line[3], ',');
    if (std::find(members.begin(), members.end(), name) == members.end()) return;
    if (id != out.gid) out.additional_gids.push_back(static_cast<gid_t>(id));
  });
  return out;
}

}  // namespace stack
