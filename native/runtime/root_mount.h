#pragma once

#include <string>

#include "fd.h"
#include "monitor_spec.h"
#include "result.h"

namespace stack {

/**
 * The container's root file system, mounted once as a detached mount that nobody else sees; each
 * run gets a clone of it, so that all runs share one writable layer.
 */
class RootMount {
 public:
  static Result<RootMount> create(const RootfsSpec& spec);
  /** A fresh detached clone, for LaunchOptions::rootfs_fd. */
  Result<UniqueFd> clone() const;
  /** Its root directory; paths below are resolved in-root. */
  int fd() const { return tree_.get(); }

 private:
  explicit RootMount(UniqueFd tree) : tree_(std::move(tree)) {}
  UniqueFd tree_;
};

}  // namespace stack
