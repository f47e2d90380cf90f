#pragma once

#include <sys/ioctl.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "cgroup.h"
#include "fd.h"
#include "oci_config.h"
#include "result.h"

namespace stack {

struct SeccompProgram;

/**
 * Starting containers. launch() brings a new container up to the point where everything is set up
 * and its first process waits; start() lets it go on and returns when the user's execve has
 * succeeded. exec_in() runs another process in a living container. All children are direct children
 * of the caller, which must be single-threaded; it never changes its own namespaces, root, or
 * working directory.
 */

/** What PID 1 needs to go on, valid in the child only. */
struct InitPlan {
  const OciConfig* config = nullptr;
  /** Close-on-exec. PID 1 closes its copy when it has forked the main process and lost its rights. */
  int start_fd = -1;
  /** LaunchOptions::init_data and ::init_fds (same numbers as in the caller). */
  void* data = nullptr;
  /** Slave of the terminal as 0, 1, 2; exec_main makes it the main process's controlling terminal.
   */
  bool tty = false;
  /** exec_main waits here for one byte: init has lost its rights. Its end: it could not. -1: none. */
  int gate_fd = -1;
  const struct ChildState* state = nullptr;
};

/**
 * Our init: runs as PID 1, without exec, in the finished container (namespaces, root, cgroup,
 * sysctls), its own session, every signal blocked (as launch() left it), with only 0, 1, 2,
 * start_fd and init_fds open. It forks the main process, whose child side calls exec_main(plan).
 * Its return value is PID 1's exit status.
 */
using InitMain = int (*)(const InitPlan& plan);

/** In the main process: startContainer hooks are done; session, terminal, rights, seccomp, execve.
   Signals unblocked and reset. On failure tells whoever waits in start(), and exits with 126, 127
   or 128. */
[[noreturn]] void exec_main(const InitPlan& plan);

/** In PID 1, after the fork: keeps CAP_KILL alone, gains nothing by execve, cannot be dumped or
 * traced. */
Status drop_init_rights(const InitPlan& plan);
/** In a PID 1 that will start more processes: keeps what they are to get and what it takes to
 * confine them, as permitted capabilities of which CAP_KILL alone is in effect; cannot be dumped.
 */
Status keep_init_rights(const InitPlan& plan);
/** In a child of such a PID 1: what was kept takes effect. */
Status raise_kept_rights();
/** Tells whoever waits in start() why there is none. */
void tell_start_failure(int start_fd, const Failure& failure);
/** Answers start() in the main process's place. */
void tell_started(int start_fd);

struct LaunchOptions {
  std::string id;
  /** Directory of config.json: base of a relative root.path. */
  std::string bundle;
  /** Detached mount (open_tree clone or fsmount) that becomes the root; consumed: made private and
      attached in the container, so give each launch its own clone. -1: config's root.path. */
  int rootfs_fd = -1;
  /** Network namespace to join; -1: as the configuration says. */
  int netns_fd = -1;
  /** -1: /dev/null. Ignored with a terminal. */
  int stdin_fd = -1, stdout_fd = -1, stderr_fd = -1;
  /** Connected socket that gets the terminal's master instead of Launched::console_master. */
  int console_socket = -1;
  /** Descriptors 3 … 3+n-1 stay open for the user's process. */
  int preserve_fds = 0;
  /** The container's cgroup, made before. Null: it stays in the caller's. */
  const Cgroup* cgroup = nullptr;
  /** Where compiled seccomp programs are kept; "": compile each time. */
  std::string seccomp_cache_dir;
  /** Null: the user's process is PID 1 itself. */
  InitMain init_main = nullptr;
  void* init_data = nullptr;
  std::vector<int> init_fds;
  /** Whether the configuration's process can be executed is init's to find out. */
  bool init_finds_executable = false;
  /** Overrides for process.terminal's first size. */
  winsize window{};
  /** Lines written to the terminal end in "\n" alone, as runc has it in the foreground: what goes
      into a file is text, and a terminal adds the "\r" itself. */
  bool plain_line_ends = false;
  bool no_pivot = false;
  bool no_new_keyring = false;
  /** Told of the container's process as soon as there is one, long before it executes anything, to
      record it. A failure ends it. With it, what was started runs even if the caller has died. */
  std::function<Status(pid_t)> on_process;
  /** A listening SOCK_SEQPACKET socket on which the waiting process accepts its start (`create`
     verb, whose process ends before `start` runs). -1: Launched::start_sync. */
  int start_listen_fd = -1;
  /** More paths to bind into the container after the mounts of the configuration (source, target).
   */
  std::vector<std::pair<std::string, std::string>> extra_binds;
};

struct Launched {
  pid_t pid = 0;
  UniqueFd pidfd;
  uint64_t start_time = 0;
  /** Close it without start() and the container ends by itself. */
  UniqueFd start_sync;
  UniqueFd console_master;
  /** Things asked for that could not be had (oom_score_adj without privilege …), one sentence each.
   */
  std::vector<std::string> warnings;
};

/** On failure nothing is left but the cgroup, which is the caller's. */
Result<Launched> launch(const OciConfig& config, const LaunchOptions& options);

/** Returns after the user's execve: ok, or why not (stage "exec", errno ENOENT/EACCES …, path =
   what was looked for). Use start_exit_code() for the exit code that belongs to it. */
Status start(Launched& container);
/** The same over a socket of one's own (connected to start_listen_fd). */
Status start_over(int start_socket);
/** 127 not found, 126 not executable, 128 anything else: as Docker and the OCI command lines do. */
int start_exit_code(const Failure& failure);

struct ExecOptions {
  /** For the seccomp listener's message. */
  std::string id, bundle;
  /** PID 1 of the container, and what its process_start_time must be (0: unchecked). */
  pid_t pid = 0;
  uint64_t start_time = 0;
  /** The container's configuration (seccomp, namespaces) … */
  const OciConfig* config = nullptr;
  /** … and the process to run, with everything filled in (capabilities, user, environment). */
  const OciProcess* process = nullptr;
  int stdin_fd = -1, stdout_fd = -1, stderr_fd = -1;
  int console_socket = -1;
  int preserve_fds = 0;
  const Cgroup* cgroup = nullptr;
  /** A group below it (Cgroup::group) that the process joins. */
  const Cgroup* group = nullptr;
  std::string seccomp_cache_dir;
  /** The compiled filter, where the caller has it already. Null: compiled. */
  const SeccompProgram* seccomp = nullptr;
  winsize window{};
  bool plain_line_ends = false;  // as in LaunchOptions
  bool ignore_paused = false;    // wait until it is no longer, instead of refusing
  /** No seccomp, no LSM profile; the caller widens process->capabilities. */
  bool privileged = false;
  bool no_new_keyring = false;
};

struct ExecChild {
  pid_t pid = 0;
  UniqueFd pidfd;
  UniqueFd console_master;
  std::vector<std::string> warnings;
};

/** Returns after the execve succeeded. The child is the caller's own. */
Result<ExecChild> exec_in(const ExecOptions& options);

/** Looks `user[:group]` up in the container's /etc/passwd and /etc/group (`root_fd`: its root
   directory; in a living container open /proc/PID/root): numbers, names, supplementary groups,
   home. "" = 0:0. */
struct ResolvedUser {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> additional_gids;
  std::string home = "/";
};
Result<ResolvedUser> resolve_user(int root_fd, const std::string& spec);

/** Where hooks run: `enter` is called in the hook's process before it is executed. */
struct HookPlace {
  std::vector<std::string> env;  // of hooks that bring none
  std::function<Status()> enter;
};
/** All hooks of one kind in order; the container's state on their standard input. A failing one
 * stops, and what it wrote is in the failure. */
Status run_hooks(const std::vector<OciHook>& hooks, std::string_view kind,
                 const std::string& state_json, const HookPlace& place = {});

/** Re-executes this program from a read-only detached mount of itself (or a sealed memory copy),
   unless it runs from one already, so that nothing that gets hold of /proc/PID/exe can write to the
   file (CVE-2019-5736). Returns only if it is protected or on failure. Call first, before threads
   or state. */
Status protect_self(char** argv);

}  // namespace stack
