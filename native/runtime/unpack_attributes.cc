#include "unpack_attributes.h"

#include <cerrno>

namespace stack::layer {
namespace {

/// Attributes that overlayfs itself reads would let a layer redirect its directories.
bool overlay_private(const std::string& name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

/**
 * File systems, kernels and user namespaces that cannot keep an attribute refuse it in these ways;
 * Docker goes on as well. Attributes of other security modules (security.selinux …) are the host's
 * business.
 */
bool attribute_may_fail(const std::string& name, int error) {
  if (error == ENOTSUP || error == EOPNOTSUPP) return true;
  return (error == EPERM || error == EINVAL) && name != "security.capability";
}

}  // namespace

Status set_attributes(const std::string& path, const Attributes& xattrs, const SetAttribute& set) {
  for (const auto& [name, value] : xattrs) {
    if (overlay_private(name)) continue;
    if (set(name.c_str(), value.data(), value.size()) == 0) continue;
    if (!attribute_may_fail(name, errno)) return sys_fail("unpack", "setxattr " + name, path);
  }
  return ok();
}

}  // namespace stack::layer
