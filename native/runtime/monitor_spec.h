#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "json.h"
#include "restart_policy.h"
#include "result.h"
#include "supervision.h"

namespace stack {

// `monitor.json`, field by field as MonitorSpec in src/runtime/formats.ts.

struct RootfsSpec {
  struct Overlay {
    std::string target, source, upper, work;
  };
  bool overlay = false;
  std::string path;                 // directory
  std::vector<std::string> layers;  // overlay: uppermost first
  std::string upper, work;
  std::vector<Overlay> overlays;
};

struct PopulateSpec {
  std::string target, source;
};

struct BoundPort {
  std::string host_ip;
  uint16_t host_port = 0;
  uint16_t container_port = 0;
  bool udp = false;
};
Json to_json(const BoundPort& port);
BoundPort bound_port(const Json& json);

struct PortSpec : BoundPort {
  std::optional<std::pair<uint16_t, uint16_t>> range;
};

struct InterfaceSpec {
  std::string name, peer, bridge, mac, gateway4, gateway6;
  std::vector<std::string> addresses;
  uint32_t mtu = 1500;
};

enum class NetworkMode : uint8_t { isolated, host, none, join };

struct NetworkSpec {
  NetworkMode mode = NetworkMode::none;
  std::string join, router, address4, address6, nat_table;
  std::vector<InterfaceSpec> interfaces;
  bool dns = false;
  std::vector<PortSpec> ports;
};

struct LogSpec {
  enum class Driver : uint8_t { json_file, local, none };
  Driver driver = Driver::json_file;
  std::string path;
  uint64_t max_size = 0;
  uint32_t max_files = 1;
  bool blocking = true;
  uint64_t buffer_size = 1 << 20;
  std::vector<std::pair<std::string, std::string>> attributes;
};

struct StopSpec {
  int signal = 15;
  int64_t grace_ms = 10'000;  // -1: for ever
};

struct AgentSpec {
  std::vector<std::string> argv, env;
  std::string lock, respawn_lock;
  std::string log;  // "": none
};

struct JoinSpec {
  int flag = 0;  // CLONE_NEW*
  std::string directory;
};

struct MonitorSpec {
  std::string id, name, runtime;
  bool init = true, tty = false, stdin_open = false, start_on_attach = false;
  RootfsSpec rootfs;
  std::vector<PopulateSpec> populate;
  NetworkSpec network;
  std::vector<JoinSpec> joins;
  LogSpec log;
  RestartSpec restart;
  StopSpec stop;
  std::optional<int> oom_score_adj;
  std::optional<AgentSpec> agent;
  std::optional<SupervisionSpec> supervision;  // only with our init
};

/** The failure's stage is "monitor.json", its path the member. */
Result<MonitorSpec> parse_monitor_spec(const Json& json);

/** What every parser of a part of it says of a member that is wrong. */
Failure bad_member(const std::string& member, const std::string& why);
/** The strings of a list. */
std::vector<std::string> strings_of(const Json& list);
/** `restart` and `stop` alone, over what is there: the operation `update`. */
Status update_restart(RestartSpec& restart, const Json& json);
void update_stop(StopSpec& stop, const Json& json);

}  // namespace stack
