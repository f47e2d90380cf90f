// A reader of tar streams: ustar (POSIX.1-2017, pax), GNU's extensions, and what Go's and BSD's
// writers make of them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "result.h"
#include "unpack_stream.h"

namespace stack::layer {

enum class TarType : uint8_t {
  file,
  hard_link,
  symlink,
  char_device,
  block_device,
  directory,
  fifo,
};

struct TarEntry {
  /// One piece of a sparse file: so many stored bytes belong at that offset.
  struct Extent {
    uint64_t offset = 0;
    uint64_t size = 0;
  };

  TarType type = TarType::file;
  /// As it is written in the archive: not cleaned, not trusted.
  std::string name;
  std::string link;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime = 0;
  uint32_t mtime_ns = 0;
  /// Bytes of the file, holes included.
  uint64_t size = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
  bool sparse = false;
  std::vector<Extent> extents;
};

class TarReader {
 public:
  explicit TarReader(ByteSource& source) : source_(source) {}

  /// The next entry; false at the end of the archive. Skips what was not read of the one before.
  Result<bool> next(TarEntry& entry);
  /// The next stored bytes of the entry, without copying; empty when there are no more.
  Result<std::span<const uint8_t>> data();

 private:
  /// What pax records and GNU's long names said about the next entry (pax: "extended header").
  struct Overrides {
    std::vector<std::pair<std::string, std::string>> records;
    std::string name;
    std::string link;
    bool has_name = false;
    bool has_link = false;
    const std::string* find(std::string_view key) const;
  };
  struct Header;

  Status read(uint8_t* to, size_t size);
  Status skip(uint64_t size);
  Result<bool> read_header(Header& header);
  /// The content of an auxiliary entry: a long name or pax records.
  Result<std::string> read_text(const Header& header);
  Status read_pax(const Header& header, Overrides& overrides);
  Result<TarEntry> make_entry(const Header& header, const Overrides& overrides);
  Status apply_pax(const Overrides& overrides, TarEntry& entry);
  Status apply_record(const std::string& key, const std::string& value, TarEntry& entry);
  Status read_sparse(const Header& header, const Overrides& overrides, TarEntry& entry);
  Status read_sparse_gnu(const Header& header, TarEntry& entry);
  Status read_sparse_map(TarEntry& entry);
  Result<uint64_t> read_sparse_number(std::string& block, size_t& at);
  Status check_sparse(const TarEntry& entry);
  Failure bad(const std::string& what) const;

  ByteSource& source_;
  /// Stored bytes of the current entry that were not read yet, and the padding behind them.
  uint64_t left_ = 0;
  uint64_t padding_ = 0;
  /// For messages.
  std::string current_;
};

}  // namespace stack::layer
