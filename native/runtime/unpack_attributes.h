// Extended attributes of what a layer contains.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "result.h"

namespace stack::layer {

using Attributes = std::vector<std::pair<std::string, std::string>>;
/// fsetxattr or lsetxattr with the thing bound: name, value, size; 0, or -1 and errno.
using SetAttribute = std::function<int(const char*, const void*, size_t)>;

/// Sets them all but overlayfs' own; what this file system cannot keep is left out, as Docker does.
Status set_attributes(const std::string& path, const Attributes& xattrs, const SetAttribute& set);

}  // namespace stack::layer
