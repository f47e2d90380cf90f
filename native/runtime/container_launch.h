#pragma once

#include <signal.h>

#include <string>

#include "container.h"
#include "proc.h"

namespace stack {

/** All signals, for as long as it lives: no handler of the caller's may run in a child of ours. */
class SignalsBlocked {
 public:
  SignalsBlocked();
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

/** The parent's half of the conversation with a child that sets itself up. Kills it if anything
 * fails. */
class LaunchParent {
 public:
  LaunchParent(const OciConfig& config, const LaunchOptions& options, UniqueFd sync)
      : config_(config), options_(options), sync_(std::move(sync)) {}
  ~LaunchParent();
  LaunchParent(const LaunchParent&) = delete;
  LaunchParent& operator=(const LaunchParent&) = delete;

  void expect_stage(Cloned stage) { stage_ = std::move(stage); }
  void expect_container(Cloned child) { child_ = std::move(child); }
  /** Until the child is ready; then `out` has it. */
  Status run(Launched& out);

 private:
  Status on_pid(Received& message);
  Status tell_process();
  Status on_map();
  Status on_hooks();
  Status on_ready(Received& message, Launched& out);
  Failure child_died();
  /** Of who has closed its end: why, if it said so before. */
  Failure last_word();
  Status go();

  const OciConfig& config_;
  const LaunchOptions& options_;
  UniqueFd sync_;
  Cloned stage_, child_;
  bool done_ = false;
};

/** uid_map, gid_map and setgroups of a process that waits in its new user namespace. */
Status write_id_maps(pid_t pid, const std::vector<OciIdMapping>& uids,
                     const std::vector<OciIdMapping>& gids);

/** A user namespace with these mappings and nobody in it, for idmapped mounts. */
Result<UniqueFd> make_user_namespace(const std::vector<OciIdMapping>& uids,
                                     const std::vector<OciIdMapping>& gids);

std::string rootfs_path(const OciConfig& config, const std::string& bundle);

/** Of a container without a mount namespace of its own: takes what launch() mounted away again. */
Status unmount_shared_rootfs(const OciConfig& config, const std::string& bundle);

/** State of the container as hooks and the `state` verb get it (runtime.md "State"). */
std::string state_document(const OciConfig& config, const std::string& id,
                           const std::string& status, pid_t pid, const std::string& bundle);

}  // namespace stack
