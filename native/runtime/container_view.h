#pragma once

#include <optional>
#include <string>

#include "fd.h"
#include "result.h"
#include "root_mount.h"

namespace stack {

/**
 * A container's files as it sees them itself, for whoever copies from and to it. Of one that runs:
 * its own root. Of one that does not: its root file system with the volumes and files that it would
 * get, mounted for this process alone; as long as the view lives, no monitor can start it.
 */
class ContainerView {
 public:
  /** `directory`: `ROOT/containers/ID`. EBUSY: it is just being started, or waits to be started
   * again. */
  static Result<ContainerView> open(const std::string& directory);
  /** Paths below are to be resolved in-root. */
  int root() const { return root_ ? root_.get() : mounted_->fd(); }

 private:
  ContainerView() = default;
  Status mount(const std::string& directory);

  UniqueFd root_;
  UniqueFd lock_;
  std::optional<RootMount> mounted_;
};

}  // namespace stack
