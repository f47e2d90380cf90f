#include "unpack_tar.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

namespace stack {
namespace {

constexpr size_t kBlock = 512;
/// Long names and pax records: Go's reader has the same limit.
constexpr uint64_t kMaxText = 1 << 20;
constexpr size_t kMaxExtents = 1 << 20;
/// PATH_MAX, without its zero byte: nothing longer can be made or reached.
constexpr size_t kMaxName = 4095;

std::string_view field(const uint8_t* at, size_t size) {
  const char* text = reinterpret_cast<const char*>(at);
  return {text, strnlen(text, size)};
}

/// Octal with spaces and zeros around it, or GNU's base-256 (first bit set, two's complement).
bool parse_number(const uint8_t* at, size_t size, int64_t& value) {
  if ((at[0] & 0x80) != 0) {
    const bool negative = (at[0] & 0x40) != 0;
    uint64_t bits = negative ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < size; ++i) {
      const uint8_t byte = i == 0 ? (at[0] & 0x7f) | (negative ? 0x80 : 0) : at[i];
      const uint64_t top = bits >> 56;
      if (i >= 8 && top != (negative ? 0xffu : 0u)) return false;
      bits = (bits << 8) | byte;
    }
    value = static_cast<int64_t>(bits);
    return (value < 0) == negative;
  }
  std::string_view text = field(at, size);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  value = 0;
  if (text.empty()) return true;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  return error == std::errc{} && end == text.data() + text.size();
}

template <class T>
bool parse_decimal(std::string_view text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 10);
  return error == std::errc{} && end == text.data() + text.size();
}

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

/// POSIX.1-2017, pax, "ustar Interchange Format"; old GNU's differs behind byte 345.
struct TarReader::Header {
  uint8_t raw[kBlock];
  char type = '0';
  int64_t size = 0;

  bool gnu() const { return std::memcmp(raw + 257, "ustar  ", 7) == 0; }
  bool ustar() const { return std::memcmp(raw + 257, "ustar\0", 6) == 0; }
  bool zero() const {
    return std::all_of(raw, raw + kBlock, [](uint8_t byte) { return byte == 0; });
  }
  bool sum_is_right() const {
    int64_t stated = 0;
    if (!parse_number(raw + 148, 8, stated)) return false;
    int64_t with_unsigned = 8 * ' ', with_signed = 8 * ' ';
    for (size_t i = 0; i < kBlock; ++i) {
      if (i >= 148 && i < 156) continue;
      with_unsigned += raw[i];
      with_signed += static_cast<int8_t>(raw[i]);  // what some old writers did
    }
    return stated == with_unsigned || stated == with_signed;
  }
  std::string name() const {
    std::string name(field(raw, 100));
    const std::string_view prefix = field(raw + 345, 155);
    if (ustar() && !prefix.empty()) name = std::string(prefix) + "/" + name;
    return name;
  }
};

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
  TRY(read(header.raw, kBlock));
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
  TRY(skip((kBlock - size % kBlock) % kBlock));
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
  padding_ = (kBlock - left_ % kBlock) % kBlock;
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

Status TarReader::read_sparse(const Header& header, const Overrides& overrides, TarEntry& entry) {
  if (header.type == 'S') {
    TRY(read_sparse_gnu(header, entry));
    return check_sparse(entry);
  }
  // The three ways in which GNU tar says it with pax records: 0.0, 0.1 and 1.0.
  if (const std::string* major = overrides.find("GNU.sparse.major"); major != nullptr) {
    const std::string* minor = overrides.find("GNU.sparse.minor");
    if (*major != "1" || minor == nullptr || *minor != "0")
      return bad("a sparse file is in an unknown format");
    entry.sparse = true;
    if (const std::string* name = overrides.find("GNU.sparse.name")) entry.name = current_ = *name;
    TRY(read_sparse_map(entry));
  } else if (const std::string* map = overrides.find("GNU.sparse.map"); map != nullptr) {
    entry.sparse = true;
    if (const std::string* name = overrides.find("GNU.sparse.name")) entry.name = current_ = *name;
    std::string_view rest = *map;
    while (!rest.empty()) {
      TarEntry::Extent extent;
      for (uint64_t* number : {&extent.offset, &extent.size}) {
        const size_t comma = rest.find(',');
        if (!parse_decimal(rest.substr(0, comma), *number)) return bad("a sparse map is malformed");
        rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
      }
      entry.extents.push_back(extent);
    }
  } else if (overrides.find("GNU.sparse.numblocks") != nullptr) {
    entry.sparse = true;
    for (const auto& [key, value] : overrides.records) {
      uint64_t number = 0;
      if (key != "GNU.sparse.offset" && key != "GNU.sparse.numbytes") continue;
      if (!parse_decimal(value, number)) return bad("a sparse map is malformed");
      if (key == "GNU.sparse.offset")
        entry.extents.push_back({number, 0});
      else if (entry.extents.empty())
        return bad("a sparse map is malformed");
      else
        entry.extents.back().size = number;
    }
  }
  if (!entry.sparse) return ok();
  const std::string* real = overrides.find("GNU.sparse.realsize");
  if (real == nullptr) real = overrides.find("GNU.sparse.size");
  if (real == nullptr || !parse_decimal(*real, entry.size) || entry.size > INT64_MAX)
    return bad("a sparse file has no size");
  return check_sparse(entry);
}

/// GNU's old format: four pieces in the header, 21 in each block behind it.
Status TarReader::read_sparse_gnu(const Header& header, TarEntry& entry) {
  entry.sparse = true;
  int64_t real = 0;
  if (!parse_number(header.raw + 483, 12, real) || real < 0)
    return bad("a sparse file has no size");
  entry.size = static_cast<uint64_t>(real);
  uint8_t block[kBlock];
  std::memcpy(block, header.raw + 386, 4 * 24);
  size_t count = 4;
  bool more = header.raw[482] != 0;
  while (true) {
    for (size_t i = 0; i < count; ++i) {
      int64_t offset = 0, size = 0;
      if (block[24 * i + 12] == 0 && block[24 * i] == 0) break;
      if (!parse_number(block + 24 * i, 12, offset) ||
          !parse_number(block + 24 * i + 12, 12, size) || offset < 0 || size < 0)
        return bad("a sparse map is malformed");
      entry.extents.push_back({static_cast<uint64_t>(offset), static_cast<uint64_t>(size)});
    }
    if (entry.extents.size() > kMaxExtents) return bad("a sparse map is too long");
    if (!more) return ok();
    TRY(read(block, kBlock));
    count = 21;
    more = block[504] != 0;
  }
}

/// Format 1.0: decimal numbers, one a line, in whole blocks before the data.
Status TarReader::read_sparse_map(TarEntry& entry) {
  std::string block;
  size_t at = 0;
  const uint64_t count = TRY(read_sparse_number(block, at));
  if (count > kMaxExtents) return bad("a sparse map is too long");
  for (uint64_t i = 0; i < count; ++i) {
    TarEntry::Extent extent;
    extent.offset = TRY(read_sparse_number(block, at));
    extent.size = TRY(read_sparse_number(block, at));
    entry.extents.push_back(extent);
  }
  return ok();
}

Result<uint64_t> TarReader::read_sparse_number(std::string& block, size_t& at) {
  std::string digits;
  while (true) {
    if (at == block.size()) {
      if (left_ < kBlock) return bad("a sparse map is malformed");
      block.resize(kBlock);
      TRY(read(reinterpret_cast<uint8_t*>(block.data()), kBlock));
      left_ -= kBlock;
      at = 0;
    }
    const char c = block[at++];
    if (c == '\n') break;
    digits += c;
    if (digits.size() > 20) return bad("a sparse map is malformed");
  }
  uint64_t value = 0;
  if (!parse_decimal(std::string_view(digits), value)) return bad("a sparse map is malformed");
  return value;
}

/// The pieces lie in order, inside the file, and are exactly what is stored.
Status TarReader::check_sparse(const TarEntry& entry) {
  uint64_t end = 0, stored = 0;
  for (const TarEntry::Extent& extent : entry.extents) {
    if (extent.offset < end || extent.size > entry.size || extent.offset > entry.size - extent.size)
      return bad("the pieces of a sparse file overlap or lie outside of it");
    end = extent.offset + extent.size;
    stored += extent.size;
  }
  if (stored != left_) return bad("a sparse file has not as many bytes as its map says");
  return ok();
}

}  // namespace stack
