// A writer of tar streams: ustar, with pax records where a header cannot say it (POSIX.1-2017,
// pax).
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "result.h"

namespace stack {

struct TarMember {
  /// With a slash at its end if it is a directory.
  std::string name;
  /// Target of a symbolic link, or name of the first of a hard link's names.
  std::string link;
  /// '0' file, '1' hard link, '2' symlink, '3' '4' devices, '5' directory, '6' FIFO.
  char type = '0';
  uint64_t size = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

class TarWriter {
 public:
  explicit TarWriter(int out) : out_(out) {}

  /// Owner, mode, time and device number come from `info`. `size` bytes of content have to follow.
  Status member(const TarMember& member, const struct stat& info);
  Status write(std::string_view bytes);
  /// Zeros up to the next block.
  Status pad(uint64_t size);
  Status zeros(uint64_t count);
  /// The two empty blocks at the end.
  Status finish();

 private:
  Status header(const TarMember& member, const struct stat& info);
  Status flush();

  int out_;
  std::string buffer_;
};

}  // namespace stack
