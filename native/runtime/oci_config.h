#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json.h"
#include "result.h"

namespace stack {

/**
 * `config.json` of the OCI runtime specification (1.0 to 1.3), parsed and checked. Everything in it
 * is either carried here or refused by parse_oci_config with the member's name; unknown members are
 * ignored, as the specification demands. Section numbers refer to config.md and config-linux.md.
 */

/** config.md "POSIX process": rlimits. */
struct OciRlimit {
  int resource = 0;  // RLIMIT_*
  std::string name;
  rlimit limit{};
};

/** Capability sets as bit masks; absent = not touched (the specification's "not set" = empty). */
struct OciCapabilities {
  uint64_t bounding = 0;
  uint64_t effective = 0;
  uint64_t inheritable = 0;
  uint64_t permitted = 0;
  uint64_t ambient = 0;
};

struct OciScheduler {
  int policy = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t flags = 0;
  uint64_t runtime = 0, deadline = 0, period = 0;
};

struct OciProcess {
  bool terminal = false;
  uint16_t rows = 0, columns = 0;
  std::string cwd = "/";
  std::vector<std::string> env;
  std::vector<std::string> args;
  uid_t uid = 0;
  gid_t gid = 0;
  std::optional<mode_t> umask;
  std::vector<gid_t> additional_gids;
  std::optional<OciCapabilities> capabilities;
  /** Capability names that do not exist: to be warned about, not refused (config.md). */
  std::vector<std::string> unknown_capabilities;
  std::vector<OciRlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile;
  std::string selinux_label;
  std::optional<int> oom_score_adj;
  std::optional<OciScheduler> scheduler;
  std::optional<int> io_priority;  // as ioprio_set(2) takes it
  std::string exec_cpu_initial, exec_cpu_final;
};

struct OciIdMapping {
  uint32_t container = 0;
  uint32_t host = 0;
  uint32_t size = 0;
};

struct OciMount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
  std::vector<OciIdMapping> uid_mappings, gid_mappings;  // idmap of this mount
  /** The source is a part of this directory, and its links end there ("": anywhere). */
  std::string within;
};

struct OciNamespace {
  int flag = 0;      // CLONE_NEW*
  std::string type;  // as written
  std::string path;  // "": a new one
};

struct OciDevice {
  char type = 'c';  // b c u p
  std::string path;
  uint32_t major = 0, minor = 0;
  std::optional<mode_t> mode;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct OciTimeOffset {
  std::string clock;  // monotonic, boottime
  int64_t secs = 0;
  uint32_t nanosecs = 0;
};

struct OciHook {
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
  int timeout = 0;  // seconds; 0 = none
};

struct OciHooks {
  std::vector<OciHook> prestart, create_runtime, create_container, start_container, poststart,
      poststop;
};

struct OciConfig {
  std::string version;
  std::string hostname, domainname;
  std::string root_path;
  bool root_readonly = false;
  OciProcess process;
  bool has_process = false;
  std::vector<OciMount> mounts;
  OciHooks hooks;
  std::vector<std::pair<std::string, std::string>> annotations;

  // linux
  std::vector<OciNamespace> namespaces;
  std::vector<OciIdMapping> uid_mappings, gid_mappings;
  std::vector<OciTimeOffset> time_offsets;
  std::vector<OciDevice> devices;
  std::vector<std::pair<std::string, std::string>> sysctl;
  std::vector<std::string> masked_paths, readonly_paths;
  std::string cgroups_path;
  std::string rootfs_propagation;
  std::string mount_label;
  std::optional<unsigned long> personality;
  /** linux.resources, as written: Cgroup::apply reads it. Null if absent. */
  Json resources;
  /** linux.seccomp, as written: seccomp.h reads it. Null if absent. */
  Json seccomp;

  const OciNamespace* find_namespace(int flag) const;
  const std::string* annotation(std::string_view key) const;
};

/** The failure's stage is "config", its path the member (`process.cwd`). */
Result<OciConfig> parse_oci_config(std::string_view text);
Result<OciConfig> load_oci_config(const std::string& path);
/** A process object alone, for `exec --process`. */
Result<OciProcess> parse_oci_process(const Json& json);

/** "CAP_NET_ADMIN" → 12; -1 if unknown. */
int capability_number(std::string_view name);
const std::vector<std::string>& capability_names();
/** "SIGTERM", "TERM", "15", "RTMIN+3" → number; 0 if unknown. */
int signal_number(std::string_view name);

}  // namespace stack
