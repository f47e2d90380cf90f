#include "unpack_tar.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

#include "unpack_tar_header.h"

namespace stack::layer {
namespace {

/// Long names and pax records: Go's reader has the same limit.
constexpr uint64_t kMaxText = 1 << 20;
/// PATH_MAX, without its zero byte: nothing longer can be made or reached.
constexpr size_t kMaxName = 4095;

/// `-12.25`: seconds rounded down, and nanoseconds from there.
bool parse_time(std::string_view text, int64_t& seconds, uint32_t& nanoseconds) {
  const size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  const bool negative = !whole.empty() && whole.front() == '-';
  if (!parse_decimal(whole, seconds)) return false;
  nanoseconds = 0;
  if (dot == std::string_view::npos) return true;
  std::string digits(text.substr(dot + 1, 9));
  if (digits.find_first_not_of("0123456789") != std::string::npos) return false;
  digits.resize(9, '0');
  parse_decimal(std::string_view(digits), nanoseconds);
  if (negative && nanoseconds > 0) {
    seconds -= 1;
    nanoseconds = 1000000000 - nanoseconds;
  }
  return true;
}

}  // namespace

Failure TarReader::bad(const std::string& what) const {
  return fail("read the tar", what, EBADMSG, current_);
}

const std::string* TarReader::Overrides::find(std::string_view key) const {
  for (auto it = records.rbegin(); it != records.rend(); ++it)
    if (it->first == key) return &it->second;
  return nullptr;
}

Status TarReader::read(uint8_t* to, size_t size) {
  while (size > 0) {
    std::span<const uint8_t> there = source_.peek();
    if (there.empty()) return bad("the archive ends in the middle of an entry");
    const size_t take = std::min(size, there.size());
    std::memcpy(to, there.data(), take);
    source_.advance(take);
    to += take;
    size -= take;
  }
  return ok();
}

Status TarReader::skip(uint64_t size) {
  while (size > 0) {
    std::span<const uint8_t> there = source_.peek();
    if (there.empty()) return bad("the archive ends in the middle of an entry");
    const size_t take = static_cast<size_t>(std::min<uint64_t>(size, there.size()));
    source_.advance(take);
    size -= take;
  }
  return ok();
}

Result<std::span<const uint8_t>> TarReader::data() {
  if (left_ == 0) return std::span<const uint8_t>{};
  std::span<const uint8_t> there = source_.peek();
  if (there.empty()) return bad("the archive ends in the middle of an entry");
  there = there.first(static_cast<size_t>(std::min<uint64_t>(left_, there.size())));
  left_ -= there.size();
  // The chunk stays valid until the next peek, so the bytes may be looked at after this.
  source_.advance(there.size());
  return there;
}

Result<bool> TarReader::read_header(Header& header) {
  TRY(skip(left_));
  // Some writers leave out the padding of the very last entry: its end is then the archive's.
  if (padding_ > 0 && !source_.peek().empty()) TRY(skip(padding_));
  left_ = padding_ = 0;
  if (source_.peek().empty()) return false;
  TRY(read(header.raw, kTarBlock));
  if (header.zero()) return false;
  if (!header.sum_is_right())
    return bad("a header's checksum is wrong: this is not a tar archive, or damaged");
  header.type = static_cast<char>(header.raw[156]);
  if (!parse_number(header.raw + 124, 12, header.size) || header.size < 0)
    return bad("an entry's size is malformed");
  return true;
}

Result<std::string> TarReader::read_text(const Header& header) {
  const auto size = static_cast<uint64_t>(header.size);
  if (size > kMaxText)
    return bad("a header extension of " + std::to_string(size) + " bytes is too long");
  std::string text(static_cast<size_t>(size), '\0');
  TRY(read(reinterpret_cast<uint8_t*>(text.data()), text.size()));
  TRY(skip((kTarBlock - size % kTarBlock) % kTarBlock));
  return text;
}

/// Records of the form `LENGTH KEY=VALUE\n`, the length counting itself (pax, "Extended Header").
Status TarReader::read_pax(const Header& header, Overrides& overrides) {
  const std::string text = TRY(read_text(header));
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t space = rest.find(' ');
    size_t length = 0;
    if (space == std::string_view::npos || !parse_decimal(rest.substr(0, space), length) ||
        length <= space + 1 || length > rest.size() || rest[length - 1] != '\n')
      return bad("a pax record is malformed");
    const std::string_view record = rest.substr(space + 1, length - space - 2);
    const size_t equals = record.find('=');
    if (equals == 0 || equals == std::string_view::npos) return bad("a pax record has no key");
    overrides.records.emplace_back(record.substr(0, equals), record.substr(equals + 1));
    rest.remove_prefix(length);
  }
  return ok();
}

Result<bool> TarReader::next(TarEntry& entry) {
  Overrides overrides;
  bool extended = false;
  while (true) {
    Header header;
    if (!TRY(read_header(header))) {
      if (extended) return bad("the archive ends behind a header extension");
      return false;
    }
    if (header.type == 'x' || header.type == 'X') {
      TRY(read_pax(header, overrides));
    } else if (header.type == 'L' || header.type == 'K') {
      std::string text = TRY(read_text(header));
      text.resize(strnlen(text.data(), text.size()));
      (header.type == 'L' ? overrides.name : overrides.link) = std::move(text);
      (header.type == 'L' ? overrides.has_name : overrides.has_link) = true;
    } else if (header.type == 'g') {
      // Global records: writers put comments there (git's commit), and Docker reads nothing from
      // them.
      Overrides ignored;
      TRY(read_pax(header, ignored));
      continue;
    } else {
      entry = TRY(make_entry(header, overrides));
      return true;
    }
    extended = true;
  }
}

Result<TarEntry> TarReader::make_entry(const Header& header, const Overrides& overrides) {
  TarEntry entry;
  entry.name = overrides.has_name ? overrides.name : header.name();
  entry.link = overrides.has_link ? overrides.link : std::string(field(header.raw + 157, 100));
  current_ = entry.name;
  int64_t mode = 0, uid = 0, gid = 0, major = 0, minor = 0;
  if (!parse_number(header.raw + 100, 8, mode) || !parse_number(header.raw + 108, 8, uid) ||
      !parse_number(header.raw + 116, 8, gid) || !parse_number(header.raw + 136, 12, entry.mtime))
    return bad("a number in a header is malformed");
  if (header.type == '3' || header.type == '4') {
    if (!parse_number(header.raw + 329, 8, major) || !parse_number(header.raw + 337, 8, minor) ||
        major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff)
      return bad("a device number is malformed");
  }
  if ((uid < 0 || uid >= UINT32_MAX) && overrides.find("uid") == nullptr)
    return bad("the user id is out of range");
  if ((gid < 0 || gid >= UINT32_MAX) && overrides.find("gid") == nullptr)
    return bad("the group id is out of range");
  entry.mode = static_cast<uint32_t>(mode) & 07777;
  entry.uid = static_cast<uint32_t>(uid);
  entry.gid = static_cast<uint32_t>(gid);
  entry.major = static_cast<uint32_t>(major);
  entry.minor = static_cast<uint32_t>(minor);
  entry.size = static_cast<uint64_t>(header.size);
  TRY(apply_pax(overrides, entry));

  switch (header.type) {
    case '0':
    case '\0':
    case '7':
    case 'S':
      // Before ustar a directory was a file whose name ends with a slash.
      entry.type = entry.name.ends_with('/') ? TarType::directory : TarType::file;
      break;
    case '1':
      entry.type = TarType::hard_link;
      break;
    case '2':
      entry.type = TarType::symlink;
      break;
    case '3':
      entry.type = TarType::char_device;
      break;
    case '4':
      entry.type = TarType::block_device;
      break;
    case '5':
      entry.type = TarType::directory;
      break;
    case '6':
      entry.type = TarType::fifo;
      break;
    default:
      return bad(std::string("an entry has the unknown type '") + header.type + "'");
  }
  // Only files have content; some writers state the target's size for a hard link and write
  // nothing.
  if (entry.type != TarType::file) entry.size = 0;
  left_ = entry.size;
  padding_ = (kTarBlock - left_ % kTarBlock) % kTarBlock;
  if (entry.type == TarType::file) TRY(read_sparse(header, overrides, entry));
  if (entry.name.size() > kMaxName || entry.link.size() > kMaxName)
    return fail("read the tar", "a name is longer than 4095 bytes", ENAMETOOLONG,
                entry.name.substr(0, 64) + "…");
  if (entry.name.find('\0') != std::string::npos || entry.link.find('\0') != std::string::npos)
    return bad("a name contains a zero byte");
  return entry;
}

Status TarReader::apply_pax(const Overrides& overrides, TarEntry& entry) {
  for (const auto& [key, value] : overrides.records) TRY(apply_record(key, value, entry));
  return ok();
}

Status TarReader::apply_record(const std::string& key, const std::string& value, TarEntry& entry) {
  static constexpr std::string_view kXattr = "SCHILY.xattr.";
  bool good = true;
  auto id = [&](uint32_t& to) {
    uint64_t number = 0;
    good = parse_decimal(value, number) && number < UINT32_MAX;
    to = static_cast<uint32_t>(number);
  };
  if (key == "path") {
    entry.name = current_ = value;
  } else if (key == "linkpath") {
    entry.link = value;
  } else if (key == "size") {
    good = parse_decimal(value, entry.size) && entry.size <= INT64_MAX;
  } else if (key == "uid") {
    id(entry.uid);
  } else if (key == "gid") {
    id(entry.gid);
  } else if (key == "mtime") {
    good = parse_time(value, entry.mtime, entry.mtime_ns);
  } else if (key.starts_with(kXattr)) {
    std::string name = key.substr(kXattr.size());
    std::erase_if(entry.xattrs, [&](const auto& old) { return old.first == name; });
    entry.xattrs.emplace_back(std::move(name), value);
  }
  if (!good) return bad("the pax record " + key + " is malformed");
  return ok();
}

}  // namespace stack::layer
