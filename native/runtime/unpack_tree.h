// Writes the entries of one layer below one directory, as overlayfs wants them, and nowhere else.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fd.h"
#include "result.h"
#include "unpack_tar.h"

namespace stack::layer {

struct TreeOptions {
  /// Opaque directories are marked by user.overlay.opaque instead of trusted.overlay.opaque
  /// (rootless mounts).
  bool user_xattrs = false;
  /// Most bytes that all files may have together, holes included.
  uint64_t max_bytes = UINT64_MAX;
  /// An archive of somebody's files, not a layer: names like `.wh.x` are names, the directory that
  /// it goes to stays as it is, and directories and other things never replace each other.
  bool plain = false;
  struct Owner {
    uint32_t uid = 0, gid = 0;
  };
  /// Of everything, whatever the archive says.
  std::optional<Owner> owner;
};

/// What the caller has to know of the tree besides that it is there.
struct TreeSummary {
  uint64_t bytes = 0;
  uint64_t files = 0;
  /// Directories that have no entry of their own in the layer: their owner and mode are only a
  /// guess.
  std::vector<std::string> implicit;
  /// Directories that hide what the layers below have in them; "" is the root.
  std::vector<std::string> opaque;
};

/**
 * Every operation is on a directory's descriptor that was resolved inside the root (openat2,
 * RESOLVE_IN_ROOT), and on a last component that is never followed. Directories get their owner,
 * mode, attributes and time when everything is in them (finish).
 */
class Tree {
 public:
  Tree(UniqueFd root, const TreeOptions& options);

  /// `tar` is where the entry's content comes from.
  Status add(const TarEntry& entry, TarReader& tar);
  Status finish();
  TreeSummary take_summary() { return std::move(summary_); }

 private:
  struct Directory {
    uint32_t mode = 0755;
    uint32_t uid = 0;
    uint32_t gid = 0;
    int64_t mtime = 0;
    uint32_t mtime_ns = 0;
    std::vector<std::pair<std::string, std::string>> xattrs;
    bool implicit = true;
    bool opaque = false;
  };
  /// A parent's descriptor (the cache owns it) and the name in it.
  struct Place {
    int parent = -1;
    std::string path;
    std::string leaf;
  };

  Result<Place> place(const std::string& path, bool make = true);
  Result<int> open_directory(const std::string& path, bool make, int depth = 0);
  Status make_directory(const std::string& path, int depth);
  Result<std::string> through_symlink(int parent, const std::string& path, const std::string& leaf);
  Status may_replace(int parent, const std::string& leaf, const std::string& path) const;
  Status clear_way(const Place& place);
  void forget_below(const std::string& path);

  Status add_as(const TarEntry& entry, TarReader& tar);
  Status add_whiteout(const std::string& path, std::string_view name);
  Status add_directory(const std::string& path, const TarEntry& entry);
  Status add_file(const Place& place, const TarEntry& entry, TarReader& tar);
  Status add_hard_link(const Place& place, const TarEntry& entry);
  Status add_other(const Place& place, const TarEntry& entry);
  Status write_file(int fd, const Place& place, const TarEntry& entry, TarReader& tar);
  Status write_sparse(int fd, const Place& place, const TarEntry& entry, TarReader& tar);
  /// Owner, attributes, mode and time of what is no directory and has no descriptor of its own.
  Status decorate(const Place& place, const TarEntry& entry);
  Status finish_directory(const std::string& path, const Directory& directory);

  UniqueFd root_;
  TreeOptions options_;
  TreeSummary summary_;
  uint64_t logical_bytes_ = 0;
  std::map<std::string, Directory> directories_;
  std::unordered_map<std::string, UniqueFd> open_;
};

}  // namespace stack::layer
