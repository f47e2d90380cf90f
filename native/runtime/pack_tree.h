// Files as a tar stream.
#pragma once

#include <string>

#include "result.h"

namespace stack {

struct PackOptions {
  /// Under this name in the archive; "": what is in the directory, without itself.
  std::string name;
  /// What is mounted inside is left empty.
  bool one_mount = false;
};

/**
 * Writes what is at `path` in `root` to `out`, as POSIX.1-2017 pax: owner, mode, whole seconds of
 * its time, hard links, attributes of users and capabilities. `path` is resolved inside the root,
 * its last component is not followed. Sockets are left out. What grows or shrinks meanwhile has the
 * size that it had at first.
 */
Status pack_tree(int root, const std::string& path, const PackOptions& options, int out);

}  // namespace stack
