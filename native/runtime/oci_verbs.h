#pragma once

#include <sys/ioctl.h>

#include <string>
#include <vector>

#include "oci_args.h"
#include "oci_store.h"
#include "result.h"

namespace stack {

/** What the options before the verb say. */
struct OciGlobals {
  std::string root;
  std::string log;
  bool log_json = false;
  bool debug = false;
};

/** The verb's exit status, or why it failed. `args`: what follows the verb. */
using OciVerb = Result<int> (*)(const OciGlobals& globals, const std::vector<std::string>& args);

Result<int> oci_create(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_run(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_start(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_state(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_kill(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_delete(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_exec(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_list(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_ps(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_pause(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_resume(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_update(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_events(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_spec(const OciGlobals& globals, const std::vector<std::string>& args);
Result<int> oci_features(const OciGlobals& globals, const std::vector<std::string>& args);

/** Kills, waits, removes cgroup and files, runs poststop hooks. */
Status destroy_container(const OciGlobals& globals, OciContainer& container,
                         const OciConfig& config);
/** With --debug: to the log, else to standard error. */
void oci_debug(const OciGlobals& globals, const std::string& text);
/** To the log and standard error. */
void oci_warn(const OciGlobals& globals, const std::string& text);

/** Before a program is started in the foreground: signals wait until attend_process can pass them
 * on. */
void hold_signals();
/** A program in the foreground: signals go to it, its terminal (if any) is relayed to ours, until
 * it ends. */
Result<int> attend_process(int pidfd, UniqueFd console_master);
/** Connects to `--console-socket`. -1 descriptor if the path is empty. */
Result<UniqueFd> connect_console_socket(const std::string& path, bool terminal, bool detached);
Result<UniqueFd> connect_unix(const std::string& path, const char* stage);
/** `--pidfd-socket`: nothing if there is no socket. */
Status send_pidfd(const UniqueFd& socket, const UniqueFd& pidfd);
winsize terminal_size(const OciProcess& process);
Status write_pid_file(const std::string& path, pid_t pid);
Result<int> parse_preserve_fds(const OciArgs& args);

}  // namespace stack
