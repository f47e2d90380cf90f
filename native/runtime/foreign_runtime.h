#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "container.h"
#include "json.h"
#include "monitor_spec.h"
#include "result.h"
#include "root_mount.h"
#include "standard_streams.h"

namespace stack {

/**
 * A container that another OCI runtime (runc, crun, runsc …) makes: its command line does what
 * launch(), start() and exec_in() do for ours. Its PID 1 is the user's process, never our init, and
 * becomes the monitor's child because the monitor is a subreaper. Its bundle and state are in
 * `foreign/` of the container's directory; the root is mounted there, in a mount namespace of the
 * monitor's own.
 */
class ForeignRuntime {
 public:
  ForeignRuntime(std::string program, std::string id, std::string directory)
      : program_(std::move(program)), id_(std::move(id)), directory_(std::move(directory)) {}

  /** Mounts the root where the bundle says. Once. */
  Status mount(const RootMount& root);
  /** `create`: the container waits for start(). `netns` -1: as config.json says. */
  Result<Launched> create(int netns, bool tty, const Stdio::Ends& ends);
  Status start();
  Status kill(int signal);
  /** After its end, or instead of it. Never fails: what is gone is gone. */
  void remove();
  /** Runs `exec` in the foreground; the child is the runtime, which ends as the process does. */
  Result<ExecChild> exec(const OciProcess& process, const ExecOptions& options);

 private:
  struct Streams {
    int in = -1, out = -1, err = -1;
    bool controlling_terminal = false;
  };
  std::vector<std::string> command(const std::vector<std::string>& words) const;
  Result<pid_t> spawn(const std::vector<std::string>& words, const Streams& streams) const;
  Status run(const std::vector<std::string>& words, const Streams& streams) const;
  Failure failure(const std::string& verb) const;
  Status write_bundle(int netns, bool tty) const;
  Result<Json> stage_sources(const Json& config) const;
  std::string path(const std::string& name) const { return directory_ + "/foreign/" + name; }

  std::string program_, id_, directory_;
  int execs_ = 0;
};

/** The process object of config.json for `exec --process`. `base`: the container's own, as written.
 */
Json process_to_json(const Json& base, const OciProcess& process);

}  // namespace stack
