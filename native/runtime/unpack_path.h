// Names inside of a layer.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>

#include "result.h"

namespace stack::layer {

/// The layer is to blame, not the host: no system call in it.
Failure hostile(const std::string& path, const std::string& what);

/// The name in clean form ("a/b"; "" is the root), or a failure if it leads out of the root.
Result<std::string> clean_entry_path(std::string_view path);
/// Of a clean path: "a/b" -> "a", "a" -> "".
std::string parent_of(const std::string& path);
std::string leaf_of(const std::string& path);

/// Overlayfs' mark for "not here any more": a character device 0:0.
bool is_whiteout(const struct stat& st);

}  // namespace stack::layer
