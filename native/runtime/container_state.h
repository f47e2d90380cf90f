#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "container.h"
#include "seccomp.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

namespace stack {

/** What a mount's option list means; see parse_mount_options. */
struct MountOptions {
  uint64_t set = 0, clear = 0;                      // MOUNT_ATTR_* of this mount
  uint64_t recursive_set = 0, recursive_clear = 0;  // the r… forms (rro, rnosuid …)
  uint64_t propagation = 0;                         // MS_PRIVATE …
  bool propagation_recursive = false;
  bool bind = false, recursive = false, remount = false, copy_up = false;
  bool idmap = false, idmap_recursive = false;
  bool source_nofollow = false;
  std::vector<std::string> super_flags;  // sync, lazytime …: flags of the file system
  std::string data;                      // what only the file system knows
};
MountOptions parse_mount_options(const std::vector<std::string>& options);

/** A mount's source as far as the parent could open it, in its own mount namespace with its rights.
 */
struct MountSource {
  MountOptions options;
  UniqueFd tree;  // bind mounts: detached and finished; invalid: the child does it
};

/**
 * Everything the child needs; built by the parent before clone3, so that the child finds it in its
 * copy of the memory and nothing has to be sent.
 */
struct ChildState {
  const OciConfig* config = nullptr;
  const OciProcess* process = nullptr;
  const LaunchOptions* options = nullptr;
  std::vector<MountSource> sources;  // one for each of config->mounts
  std::vector<MountSource> extra_sources;
  UniqueFd rootfs;
  /** Host devices to bind, for user namespaces, where mknod is forbidden: (path, detached mount).
   */
  std::vector<std::pair<std::string, UniqueFd>> device_trees;
  UniqueFd
      null_tree;  // /dev/null of the host, verified, for masked files; only with a user namespace
  UniqueFd
      sys_tree;  // /sys of the host, for a user namespace without a network namespace of its own
  UniqueFd null_file;                           // opened /dev/null
  std::vector<std::pair<int, UniqueFd>> joins;  // (CLONE_NEW*, namespace)
  Cgroup::Entry cgroup;
  SeccompProgram seccomp;
  UniqueFd listener_socket;                  // connected to seccomp.listener_path
  const char* listener_status = "creating";  // the container's, for the listener
  pid_t init_pid = 0;                        // of the container, for the listener; 0: host_pid
  pid_t host_pid = 0;  // of the container's first process, as the parent sees it
  bool new_userns = false;
  bool in_userns = false;
  bool into_cgroup = false;  // clone3 put the child into the unified leaf
  bool unshare_cgroup = false;
  bool apply_rlimits_in_child = true;
  bool shared_root_attached = false;  // without a mount namespace: to be undone on failure
  bool no_new_keyring = false;
  bool privileged = false;  // exec: no seccomp, no LSM
  int preserve_fds = 0;
  UniqueFd sync;   // child's side
  UniqueFd start;  // child's side (connected or listening)
  bool start_listens = false;
  UniqueFd private_proc;  // a procfs of our own, reachable by nobody else; made when needed
  std::vector<UniqueFd> host_pseudo_mounts;  // with no_pivot
  std::string executable;                    // process.args[0] as found
  std::vector<std::string> env;              // process.env, completed by find_executable
};

/** What the child says on the sync socket; the first byte of a message. */
namespace sync_message {
constexpr char kMap = 'M';      // user namespace exists: write the maps
constexpr char kHooks = 'H';    // namespaces exist: run prestart and createRuntime hooks
constexpr char kReady = 'R';    // done; with the terminal's master if there is one
constexpr char kWarning = 'W';  // text
constexpr char kFailure = 'F';  // Failure as JSON
constexpr char kPid = 'P';      // from a stage process: pid of the container's, with its pidfd
constexpr char kGo = 'g';       // the parent's answer
constexpr char kStart = 's';    // on the start socket
constexpr char kExec = 'x';     // on the start socket: about to execve
}  // namespace sync_message

/** The child's whole life up to the start. Never returns. */
[[noreturn]] void run_container_child(ChildState& state);
/** Tells the parent and ends. */
[[noreturn]] void die(ChildState& state, const Failure& failure);
/** To whoever gets the seccomp listener, if there is to be one. */
Status connect_listener(ChildState& state);
void warn(const ChildState& state, const std::string& text);
Status ask_parent(const ChildState& state, char what);

// container_namespaces.cc
Status join_namespaces(const ChildState& state, int which_flags);
Status enter_cgroup(const ChildState& state);
Status become_root_of_userns(const ChildState& state);

// container_mounts.cc
/** `root`: where the root file system will be attached, "" if nowhere. */
Result<MountSource> open_mount_source(const OciMount& mount, const OciConfig& config,
                                      const std::string& root = "");
Status attach_rootfs(ChildState& state);
Status make_mounts(ChildState& state);
Status finish_mounts(ChildState& state);  // /dev read-only, then cover_paths
Status cover_paths(ChildState& state);    // masked and read-only paths, and a root that is read-only
Result<bool> is_directory(int fd);
Status mount_cgroups(ChildState& state, const OciMount& mount, const MountOptions& options,
                     int target);
Status copy_tree(int from, int to);

// container_shared_mounts.cc: without a mount namespace of its own
bool shares_mounts(const OciConfig& config);
Status attach_shared_rootfs(ChildState& state);
/** What is left when the child fails. */
void detach_shared_rootfs(const ChildState& state);
Status enter_shared_rootfs(const ChildState& state);

// container_devices.cc
Result<UniqueFd> clone_verified_null();
Status make_devices(ChildState& state);
struct Console {
  UniqueFd master, slave;
};
Result<Console> open_console(int root, const LaunchOptions& options);
Status bind_console(int root, const Console& console);

// container_kernel.cc: what is neither mount nor right
Status set_names_and_sysctls(ChildState& state);
Result<int> private_proc(ChildState& state);

// container_rights.cc
Status set_scheduling(const OciProcess& process);
/** config.md "execCPUAffinity", for further processes only: before the change to the container's
   cgroup, and after it. */
Status set_initial_affinity(const OciProcess& process);
Status set_final_affinity(const OciProcess& process);
void reset_affinity();
Status set_rlimits(const OciProcess& process, pid_t pid);
Status set_oom_score_adj(const OciProcess& process, const std::string& pid_directory);
Status prepare_working_directory(ChildState& state, int root);
/** In the container's root; also completes the environment. */
Status find_executable(ChildState& state);
/** Session, stdio owner, LSM, seccomp, capabilities, user, execve: section order of config.md. */
[[noreturn]] void become_user_process(const ChildState& state, int start_fd, bool tty);
/** Those that this runtime does not know, and ambient ones that the kernel will not raise. */
void warn_about_capabilities(const ChildState& state);
/** What become_user_process does before execve, for a startContainer hook. */
Status lose_rights_for_hook(const ChildState& state);
Status take_stdio(const ChildState& state, const Console* console);
/** These become 0, 1 and 2; they may be any of these themselves. */
Status take_streams(const int (&wanted)[3]);
/** A session of its own, so that no terminal of the caller's is reached. */
Status begin_session();
/** Nobody without CAP_SYS_PTRACE may look into this process, nor into what it has open. */
Status forbid_tracing();

}  // namespace stack
