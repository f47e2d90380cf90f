// Sparse files: GNU's old format and the three that it has in pax records.
#include <cstring>
#include <string_view>

#include "unpack_tar.h"
#include "unpack_tar_header.h"

namespace stack::layer {
namespace {

constexpr size_t kMaxExtents = 1 << 20;

}  // namespace

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
  uint8_t block[kTarBlock];
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
    TRY(read(block, kTarBlock));
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
      if (left_ < kTarBlock) return bad("a sparse map is malformed");
      block.resize(kTarBlock);
      TRY(read(reinterpret_cast<uint8_t*>(block.data()), kTarBlock));
      left_ -= kTarBlock;
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

}  // namespace stack::layer
