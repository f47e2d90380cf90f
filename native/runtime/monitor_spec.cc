#include "monitor_spec.h"

#include <sched.h>

namespace stack {

Failure bad_member(const std::string& member, const std::string& why) {
  return fail("monitor.json", member + " " + why, EINVAL, member);
}

std::vector<std::string> strings_of(const Json& list) {
  std::vector<std::string> out;
  for (const Json& item : list.items()) out.push_back(item.as_string());
  return out;
}

namespace {

constexpr int64_t kVersion = 1;

Result<RootfsSpec> parse_rootfs(const Json& json) {
  RootfsSpec rootfs;
  const std::string& kind = json["kind"].as_string();
  if (kind == "directory") {
    rootfs.path = json["path"].as_string();
    if (rootfs.path.empty()) return bad_member("rootfs.path", "is missing");
    return rootfs;
  }
  if (kind != "overlay") return bad_member("rootfs.kind", "must be overlay or directory");
  rootfs.overlay = true;
  rootfs.layers = strings_of(json["layers"]);
  rootfs.upper = json["upper"].as_string();
  rootfs.work = json["work"].as_string();
  if (rootfs.layers.empty()) return bad_member("rootfs.layers", "is empty");
  if (rootfs.upper.empty() || rootfs.work.empty()) return bad_member("rootfs.upper", "is missing");
  for (const Json& item : json["overlays"].items())
    rootfs.overlays.push_back({item["target"].as_string(), item["source"].as_string(),
                               item["upper"].as_string(), item["work"].as_string()});
  return rootfs;
}

Result<uint16_t> parse_port(const Json& json, const std::string& member) {
  int64_t port = json.as_int(-1);
  if (port < 0 || port > 65535) return bad_member(member, "is no port number");
  return static_cast<uint16_t>(port);
}

Result<PortSpec> parse_port_spec(const Json& json) {
  PortSpec port;
  port.host_ip = json["hostIp"].as_string();
  port.host_port = TRY(parse_port(json["hostPort"], "network.ports.hostPort"));
  port.container_port = TRY(parse_port(json["containerPort"], "network.ports.containerPort"));
  const std::string& protocol = json["protocol"].as_string();
  if (protocol != "tcp" && protocol != "udp")
    return bad_member("network.ports.protocol", "must be tcp or udp, not \"" + protocol + "\"");
  port.udp = protocol == "udp";
  const auto& range = json["range"].items();
  if (range.size() == 2)
    port.range = {TRY(parse_port(range[0], "network.ports.range")),
                  TRY(parse_port(range[1], "network.ports.range"))};
  return port;
}

Result<NetworkSpec> parse_network(const Json& json) {
  NetworkSpec network;
  const std::string& mode = json["mode"].as_string();
  if (mode == "private")
    network.mode = NetworkMode::isolated;
  else if (mode == "host")
    network.mode = NetworkMode::host;
  else if (mode == "none")
    network.mode = NetworkMode::none;
  else if (mode == "join")
    network.mode = NetworkMode::join;
  else
    return bad_member("network.mode", "must be private, host, none or join");
  network.join = json["join"].as_string();
  network.router = json["router"].as_string();
  network.address4 = json["address4"].as_string();
  network.address6 = json["address6"].as_string();
  network.nat_table = json["natTable"].as_string();
  network.dns = json["dns"].as_bool();
  for (const Json& item : json["interfaces"].items()) {
    InterfaceSpec interface {
      item["name"].as_string(), item["peer"].as_string(), item["bridge"].as_string(),
          item["mac"].as_string(), item["gateway4"].as_string(), item["gateway6"].as_string(),
          strings_of(item["addresses"]), static_cast<uint32_t>(item["mtu"].as_uint(1500))
    };
    network.interfaces.push_back(std::move(interface));
  }
  for (const Json& item : json["ports"].items())
    network.ports.push_back(TRY(parse_port_spec(item)));
  return network;
}

Result<LogSpec> parse_log(const Json& json) {
  LogSpec log;
  const std::string& driver = json["driver"].as_string();
  if (driver == "none")
    log.driver = LogSpec::Driver::none;
  else if (driver == "local")
    log.driver = LogSpec::Driver::local;
  else if (driver != "json-file")
    return bad_member("log.driver", "must be json-file, local or none");
  log.path = json["path"].as_string();
  log.max_size = json["maxSize"].as_uint(0);
  log.max_files = static_cast<uint32_t>(std::max<uint64_t>(json["maxFiles"].as_uint(1), 1));
  log.blocking = json["mode"].as_string() != "non-blocking";
  log.buffer_size = std::max<uint64_t>(json["bufferSize"].as_uint(1 << 20), 65536);
  for (const auto& [name, value] : json["attributes"].members())
    log.attributes.emplace_back(name, value.as_string());
  return log;
}

std::optional<AgentSpec> parse_agent(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  return AgentSpec{strings_of(json["argv"]), strings_of(json["env"]), json["lock"].as_string(),
                   json["respawnLock"].as_string(), json["log"].string_or("")};
}

}  // namespace

Status update_restart(RestartSpec& restart, const Json& json) {
  if (const Json* policy = json.find("policy")) {
    auto parsed = parse_restart_policy(policy->as_string());
    if (!parsed) return bad_member("restart.policy", "is unknown: \"" + policy->as_string() + "\"");
    restart.policy = *parsed;
  }
  restart.max_attempts = json["maxAttempts"].as_int(restart.max_attempts);
  restart.first_delay_ms = json["firstDelayMs"].as_int(restart.first_delay_ms);
  restart.delay_ms = json["delayMs"].as_int(restart.delay_ms);
  restart.factor = json["factor"].as_double(restart.factor);
  restart.max_delay_ms = json["maxDelayMs"].as_int(restart.max_delay_ms);
  restart.jitter = json["jitter"].as_double(restart.jitter);
  restart.reset_after_ms = json["resetAfterMs"].as_int(restart.reset_after_ms);
  return ok();
}

void update_stop(StopSpec& stop, const Json& json) {
  stop.signal = static_cast<int>(json["signal"].as_int(stop.signal));
  stop.grace_ms = json["graceMs"].as_int(stop.grace_ms);
}

Json to_json(const BoundPort& port) {
  Json json = Json::object();
  json.set("hostIp", port.host_ip).set("hostPort", port.host_port);
  json.set("containerPort", port.container_port).set("protocol", port.udp ? "udp" : "tcp");
  return json;
}

BoundPort bound_port(const Json& json) {
  return {json["hostIp"].as_string(), static_cast<uint16_t>(json["hostPort"].as_uint()),
          static_cast<uint16_t>(json["containerPort"].as_uint()),
          json["protocol"].as_string() == "udp"};
}

Result<MonitorSpec> parse_monitor_spec(const Json& json) {
  if (int64_t version = json["version"].as_int(); version != kVersion)
    return bad_member("version", "is " + std::to_string(version) + ", this program knows 1");
  MonitorSpec spec;
  spec.id = json["id"].as_string();
  if (spec.id.empty()) return bad_member("id", "is missing");
  spec.name = json["name"].as_string();
  spec.runtime = json["runtime"].as_string();
  spec.init = json["init"].as_bool(true);
  spec.tty = json["tty"].as_bool();
  spec.stdin_open = json["stdin"].as_bool();
  spec.start_on_attach = json["startOnAttach"].as_bool();
  spec.rootfs = TRY(parse_rootfs(json["rootfs"]));
  for (const Json& item : json["populate"].items())
    spec.populate.push_back({item["target"].as_string(), item["source"].as_string()});
  spec.network = TRY(parse_network(json["network"]));
  for (const Json& item : json["joins"].items()) {
    const std::string& name = item["namespace"].as_string();
    int flag = name == "ipc"   ? CLONE_NEWIPC
               : name == "pid" ? CLONE_NEWPID
               : name == "uts" ? CLONE_NEWUTS
                               : 0;
    if (flag == 0) return bad_member("joins.namespace", "must be ipc, pid or uts");
    spec.joins.push_back({flag, item["directory"].as_string()});
  }
  spec.log = TRY(parse_log(json["log"]));
  TRY(update_restart(spec.restart, json["restart"]));
  update_stop(spec.stop, json["stop"]);
  if (json["oomScoreAdj"].is_integer())
    spec.oom_score_adj = static_cast<int>(json["oomScoreAdj"].as_int());
  spec.agent = parse_agent(json["agent"]);
  if (json["supervision"].is_object()) {
    if (!spec.init || !spec.runtime.empty())
      return bad_member("supervision", "needs our own runtime and init");
    spec.supervision = TRY(parse_supervision(json["supervision"]));
  }
  return spec;
}

}  // namespace stack
