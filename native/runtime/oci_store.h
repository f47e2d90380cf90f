#pragma once

#include <string>
#include <vector>

#include "cgroup.h"
#include "fd.h"
#include "oci_config.h"

namespace stack {

/** `--root`'s directory: one directory (0700) for each container, with state.json, a copy of
   config.json (what happens to the bundle later does not matter) and, until it is started,
   start.sock. */

enum class OciStatus { created, running, paused, stopped };
const char* status_name(OciStatus status);

struct OciRecord {
  std::string id;
  std::string bundle;
  std::string cgroup;   // "" = none
  std::string created;  // RFC 3339
  pid_t pid = 0;
  uint64_t pid_start = 0;
  uid_t owner = 0;
};

class OciContainer {
 public:
  OciContainer() = default;
  /** Takes an id that is free; the directory is made exclusively. */
  static Result<OciContainer> make(const std::string& root, const std::string& id);
  /** ENOENT: there is none. Holds the container's lock until it is destroyed. */
  static Result<OciContainer> open(const std::string& root, const std::string& id);

  const OciRecord& record() const { return record_; }
  OciRecord& record() { return record_; }
  Status save() const;
  Status save_config(std::string_view text) const;
  Result<OciConfig> config() const;
  Result<OciStatus> status() const;
  Result<Cgroup> cgroup() const;
  /** Listening, SOCK_SEQPACKET. */
  Result<UniqueFd> listen_for_start() const;
  Result<UniqueFd> connect_to_start() const;
  Status forget_start() const;
  /** state.json of the OCI runtime specification. */
  Json state(const OciConfig& config, OciStatus status) const;
  Status remove_files() const;

 private:
  std::string directory_;
  UniqueFd lock_;
  OciRecord record_;
};

Status check_container_id(const std::string& id);
std::vector<std::string> list_containers(const std::string& root);
std::string default_root();

}  // namespace stack
