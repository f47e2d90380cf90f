#include "oci_config.h"

#include <sched.h>
#include <sys/personality.h>

#include <climits>

#include "fs.h"
#include "oci_config_reader.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

namespace stack {

namespace {

constexpr int64_t kMaxId = 0xfffffffe;  // (uid_t)-1 means "unchanged" to the kernel

uint64_t capability_set(const ConfigReader& in, const char* key, OciProcess& process) {
  uint64_t mask = 0;
  for (const std::string& name : in.strings(key)) {
    int number = capability_number(name);
    if (number < 0) {
      process.unknown_capabilities.push_back(name);
    } else {
      mask |= 1ull << number;
    }
  }
  return mask;
}

struct NamedNumber {
  const char* name;
  int number;
};

constexpr NamedNumber kRlimits[] = {
    {"RLIMIT_CPU", 0},       {"RLIMIT_FSIZE", 1}, {"RLIMIT_DATA", 2},    {"RLIMIT_STACK", 3},
    {"RLIMIT_CORE", 4},      {"RLIMIT_RSS", 5},   {"RLIMIT_NPROC", 6},   {"RLIMIT_NOFILE", 7},
    {"RLIMIT_MEMLOCK", 8},   {"RLIMIT_AS", 9},    {"RLIMIT_LOCKS", 10},  {"RLIMIT_SIGPENDING", 11},
    {"RLIMIT_MSGQUEUE", 12}, {"RLIMIT_NICE", 13}, {"RLIMIT_RTPRIO", 14}, {"RLIMIT_RTTIME", 15}};

constexpr NamedNumber kPolicies[] = {{"SCHED_OTHER", 0},   {"SCHED_FIFO", 1}, {"SCHED_RR", 2},
                                     {"SCHED_BATCH", 3},   {"SCHED_ISO", 4},  {"SCHED_IDLE", 5},
                                     {"SCHED_DEADLINE", 6}};
constexpr NamedNumber kSchedFlags[] = {
    {"SCHED_FLAG_RESET_ON_FORK", 0x01}, {"SCHED_FLAG_RECLAIM", 0x02},
    {"SCHED_FLAG_DL_OVERRUN", 0x04},    {"SCHED_FLAG_KEEP_POLICY", 0x08},
    {"SCHED_FLAG_KEEP_PARAMS", 0x10},   {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}};
constexpr NamedNumber kIoClasses[] = {
    {"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}};
constexpr NamedNumber kNamespaces[] = {{"pid", CLONE_NEWPID},       {"network", CLONE_NEWNET},
                                       {"mount", CLONE_NEWNS},      {"ipc", CLONE_NEWIPC},
                                       {"uts", CLONE_NEWUTS},       {"user", CLONE_NEWUSER},
                                       {"cgroup", CLONE_NEWCGROUP}, {"time", CLONE_NEWTIME}};

template <size_t N>
int lookup(const NamedNumber (&table)[N], std::string_view name) {
  for (const NamedNumber& entry : table) {
    if (name == entry.name) return entry.number;
  }
  return -1;
}

rlim_t rlimit_value(const ConfigReader& in, const char* key) {
  const Json& value = in.json()[key];
  if (value.is_integer() && value.as_int() == -1) return RLIM_INFINITY;
  constexpr uint64_t kNone = UINT64_MAX - 1;
  uint64_t number = value.as_uint(kNone);
  if (!value.is_number() || number == kNone) in.wrong(key, "must be a whole number");
  return number;
}

void read_rlimits(const ConfigReader& in, OciProcess& process) {
  for (const ConfigReader& entry : in.children("rlimits")) {
    OciRlimit limit;
    limit.name = entry.required("type");
    limit.resource = lookup(kRlimits, limit.name);
    if (limit.resource < 0) entry.wrong("type", "is not a resource limit: " + limit.name);
    limit.limit.rlim_cur = rlimit_value(entry, "soft");
    limit.limit.rlim_max = rlimit_value(entry, "hard");
    if (limit.limit.rlim_cur > limit.limit.rlim_max) {
      entry.wrong("soft", "is above hard for " + limit.name);
    }
    for (const OciRlimit& other : process.rlimits) {
      if (other.resource == limit.resource) entry.wrong("type", limit.name + " is given twice");
    }
    process.rlimits.push_back(limit);
  }
}

void read_user(const ConfigReader& in, OciProcess& process) {
  process.uid = static_cast<uid_t>(in.integer("uid", 0, kMaxId));
  process.gid = static_cast<gid_t>(in.integer("gid", 0, kMaxId));
  if (in.has("umask")) process.umask = static_cast<mode_t>(in.integer("umask", 0, 0777));
  for (const Json& item : in.json()["additionalGids"].items()) {
    int64_t gid = item.as_int(-1);
    if (gid < 0 || gid > kMaxId) in.wrong("additionalGids", "has something that is no group id");
    process.additional_gids.push_back(static_cast<gid_t>(gid));
  }
}

void read_scheduling(const ConfigReader& in, OciProcess& process) {
  if (in.has("scheduler")) {
    ConfigReader from = in.child("scheduler");
    OciScheduler out;
    out.policy = lookup(kPolicies, from.required("policy"));
    if (out.policy < 0) from.wrong("policy", "is not a scheduling policy");
    out.nice = static_cast<int32_t>(from.integer("nice", -20, 19));
    out.priority = static_cast<uint32_t>(from.integer("priority", 0, 99));
    for (const std::string& name : from.strings("flags")) {
      int flag = lookup(kSchedFlags, name);
      if (flag < 0) from.wrong("flags", "has an unknown flag: " + name);
      out.flags |= static_cast<uint64_t>(flag);
    }
    out.runtime = static_cast<uint64_t>(from.integer("runtime", 0, INT64_MAX));
    out.deadline = static_cast<uint64_t>(from.integer("deadline", 0, INT64_MAX));
    out.period = static_cast<uint64_t>(from.integer("period", 0, INT64_MAX));
    process.scheduler = out;
  }
  if (in.has("ioPriority")) {
    ConfigReader from = in.child("ioPriority");
    int io_class = lookup(kIoClasses, from.required("class"));
    if (io_class < 0) from.wrong("class", "is not an I/O priority class");
    int priority = static_cast<int>(from.integer("priority", 0, 7));
    process.io_priority = (io_class << 13) | priority;
  }
  if (in.has("execCPUAffinity")) {
    process.exec_cpu_initial = in.child("execCPUAffinity").string("initial");
    process.exec_cpu_final = in.child("execCPUAffinity").string("final");
  }
}

OciProcess read_process(const ConfigReader& in) {
  OciProcess out;
  out.terminal = in.boolean("terminal");
  ConfigReader size = in.child("consoleSize");
  out.rows = static_cast<uint16_t>(size.integer("height", 0, 65535));
  out.columns = static_cast<uint16_t>(size.integer("width", 0, 65535));
  out.cwd = in.required("cwd");
  if (!out.cwd.starts_with('/')) in.wrong("cwd", "must be an absolute path");
  out.env = in.strings("env");
  out.args = in.strings("args");
  if (out.args.empty()) in.wrong("args", "must have at least one entry");
  read_user(in.child("user"), out);
  if (in.has("capabilities")) {
    ConfigReader from = in.child("capabilities");
    OciCapabilities sets;
    sets.bounding = capability_set(from, "bounding", out);
    sets.effective = capability_set(from, "effective", out);
    sets.inheritable = capability_set(from, "inheritable", out);
    sets.permitted = capability_set(from, "permitted", out);
    sets.ambient = capability_set(from, "ambient", out);
    out.capabilities = sets;
  }
  read_rlimits(in, out);
  out.no_new_privileges = in.boolean("noNewPrivileges");
  out.apparmor_profile = in.string("apparmorProfile");
  out.selinux_label = in.string("selinuxLabel");
  if (in.has("oomScoreAdj")) {
    out.oom_score_adj = static_cast<int>(in.integer("oomScoreAdj", -1000, 1000));
  }
  read_scheduling(in, out);
  return out;
}

std::vector<OciIdMapping> read_mappings(const ConfigReader& in, const char* key) {
  std::vector<OciIdMapping> out;
  for (const ConfigReader& entry : in.children(key)) {
    OciIdMapping mapping;
    mapping.container = static_cast<uint32_t>(entry.integer("containerID", 0, kMaxId));
    mapping.host = static_cast<uint32_t>(entry.integer("hostID", 0, kMaxId));
    mapping.size = static_cast<uint32_t>(entry.integer("size", 1, kMaxId + 1, 0));
    if (mapping.size == 0) entry.wrong("size", "is required");
    out.push_back(mapping);
  }
  return out;
}

void read_mounts(const ConfigReader& in, OciConfig& out) {
  for (const ConfigReader& entry : in.children("mounts")) {
    OciMount mount;
    mount.destination = entry.required("destination");
    // Relative destinations are forbidden since 1.0, but Docker 17 made them: taken as from "/".
    mount.destination = clean_path(mount.destination);
    mount.type = entry.string("type");
    mount.source = entry.string("source");
    mount.options = entry.strings("options");
    mount.uid_mappings = read_mappings(entry, "uidMappings");
    mount.gid_mappings = read_mappings(entry, "gidMappings");
    out.mounts.push_back(std::move(mount));
  }
}

/** Our own annotation `run.stack.within`: an object of mount targets and directories. */
Status read_within(OciConfig& out) {
  const std::string* text = out.annotation("run.stack.within");
  if (text == nullptr) return ok();
  Json within = TRY(Json::parse(*text));
  for (OciMount& mount : out.mounts) mount.within = within[mount.destination].as_string();
  return ok();
}

std::vector<OciHook> read_hooks(const ConfigReader& in, const char* key) {
  std::vector<OciHook> out;
  for (const ConfigReader& entry : in.children(key)) {
    OciHook hook;
    hook.path = entry.required("path");
    if (!hook.path.starts_with('/')) entry.wrong("path", "must be absolute");
    hook.args = entry.strings("args");
    hook.env = entry.strings("env");
    hook.timeout = static_cast<int>(entry.integer("timeout", 0, INT_MAX));
    if (entry.has("timeout") && hook.timeout == 0) entry.wrong("timeout", "must be above 0");
    out.push_back(std::move(hook));
  }
  return out;
}

void read_namespaces(const ConfigReader& linux_part, OciConfig& out) {
  for (const ConfigReader& entry : linux_part.children("namespaces")) {
    OciNamespace space;
    space.type = entry.required("type");
    space.flag = lookup(kNamespaces, space.type);
    if (space.flag < 0) entry.wrong("type", "is not a namespace: " + space.type);
    space.path = entry.string("path");
    if (!space.path.empty() && !space.path.starts_with('/')) {
      entry.wrong("path", "must be absolute");
    }
    if (out.find_namespace(space.flag) != nullptr)
      entry.wrong("type", space.type + " is given twice");
    out.namespaces.push_back(std::move(space));
  }
}

void read_devices(const ConfigReader& linux_part, OciConfig& out) {
  for (const ConfigReader& entry : linux_part.children("devices")) {
    OciDevice device;
    std::string type = entry.required("type");
    if (type.size() != 1 || std::string("bcup").find(type) == std::string::npos) {
      entry.wrong("type", "must be one of b, c, u, p");
      return;
    }
    device.type = type[0];
    device.path = clean_path(entry.required("path"));
    if (device.type != 'p' && (!entry.has("major") || !entry.has("minor"))) {
      entry.wrong("major", "and minor are required for " + device.path);
    }
    device.major = static_cast<uint32_t>(entry.integer("major", 0, UINT32_MAX));
    device.minor = static_cast<uint32_t>(entry.integer("minor", 0, UINT32_MAX));
    if (entry.has("fileMode"))
      device.mode = static_cast<mode_t>(entry.integer("fileMode", 0, 07777));
    device.uid = static_cast<uid_t>(entry.integer("uid", 0, kMaxId));
    device.gid = static_cast<gid_t>(entry.integer("gid", 0, kMaxId));
    out.devices.push_back(std::move(device));
  }
}

void read_time_offsets(const ConfigReader& linux_part, OciConfig& out) {
  ConfigReader in = linux_part.child("timeOffsets");
  for (const auto& [clock, unused] : in.json().members()) {
    ConfigReader entry = in.child(clock.c_str());
    if (clock != "monotonic" && clock != "boottime") {
      in.wrong(clock, "is not a clock of a time namespace");
    }
    out.time_offsets.push_back({clock, entry.integer("secs", INT64_MIN + 1, INT64_MAX),
                                static_cast<uint32_t>(entry.integer("nanosecs", 0, 999999999))});
  }
  if (!out.time_offsets.empty() && out.find_namespace(CLONE_NEWTIME) == nullptr) {
    in.wrong("", "needs a time namespace");
  }
}

/** What the specification has and we do not do must not be passed over in silence. */
void refuse_unsupported(const ConfigReader& top, const ConfigReader& linux_part) {
  if (top.has("vm")) top.wrong("vm", "is not supported: this runtime runs no virtual machines");
  const char* why = "is not supported by this runtime";
  for (const char* key : {"intelRdt", "memoryPolicy", "netDevices"}) {
    if (linux_part.has(key) && linux_part.json()[key].size() > 0) linux_part.wrong(key, why);
  }
}

void read_linux(const ConfigReader& in, OciConfig& out) {
  read_namespaces(in, out);
  out.uid_mappings = read_mappings(in, "uidMappings");
  out.gid_mappings = read_mappings(in, "gidMappings");
  read_time_offsets(in, out);
  read_devices(in, out);
  ConfigReader sysctl = in.child("sysctl");
  for (const auto& [key, value] : in.json()["sysctl"].members()) {
    out.sysctl.emplace_back(key, sysctl.string(key.c_str()));
  }
  out.masked_paths = in.strings("maskedPaths");
  out.readonly_paths = in.strings("readonlyPaths");
  out.cgroups_path = in.string("cgroupsPath");
  out.rootfs_propagation = in.string("rootfsPropagation");
  out.mount_label = in.string("mountLabel");
  out.resources = in.json()["resources"];
  out.seccomp = in.json()["seccomp"];
  if (in.has("personality")) {
    ConfigReader from = in.child("personality");
    std::string domain = from.required("domain");
    if (domain == "LINUX") {
      out.personality = PER_LINUX;
    } else if (domain == "LINUX32") {
      out.personality = PER_LINUX32;
    } else {
      from.wrong("domain", "must be LINUX or LINUX32");
    }
    if (from.json()["flags"].size() > 0) from.wrong("flags", "are not supported by any kernel");
  }
}

void check_version(const ConfigReader& top, const std::string& version) {
  // Any 1.x: members that a newer one adds are ignored, as the specification wants it.
  if (!version.starts_with("1.")) {
    top.wrong("ociVersion", "must be 1.x, not " + version);
  }
}

void check_userns(const ConfigReader& linux_part, const OciConfig& out) {
  const OciNamespace* user = out.find_namespace(CLONE_NEWUSER);
  bool mapped = !out.uid_mappings.empty() || !out.gid_mappings.empty();
  if (mapped && user == nullptr) linux_part.wrong("uidMappings", "needs a user namespace");
  if (mapped && user != nullptr && !user->path.empty()) {
    linux_part.wrong("uidMappings", "cannot change a user namespace that is joined");
  }
  if (user != nullptr && user->path.empty() &&
      (out.uid_mappings.empty() || out.gid_mappings.empty())) {
    linux_part.wrong("uidMappings", "and gidMappings are required for a new user namespace");
  }
}

}  // namespace

const OciNamespace* OciConfig::find_namespace(int flag) const {
  for (const OciNamespace& space : namespaces) {
    if (space.flag == flag) return &space;
  }
  return nullptr;
}

const std::string* OciConfig::annotation(std::string_view key) const {
  for (const auto& [name, value] : annotations) {
    if (name == key) return &value;
  }
  return nullptr;
}

Result<OciConfig> parse_oci_config(std::string_view text) {
  auto parsed = Json::parse(text);
  if (!parsed.ok()) return fail("config", "config.json: " + parsed.failure().message, EINVAL);
  const Json& json = parsed.value();
  Failure failure;
  ConfigReader top(json, "", &failure);
  OciConfig out;
  out.version = top.required("ociVersion");
  check_version(top, out.version);
  out.hostname = top.string("hostname");
  out.domainname = top.string("domainname");
  ConfigReader root = top.child("root");
  out.root_path = root.string("path");
  out.root_readonly = root.boolean("readonly");
  out.has_process = top.has("process");
  if (out.has_process) out.process = read_process(top.child("process"));
  read_mounts(top, out);
  ConfigReader hooks = top.child("hooks");
  out.hooks.prestart = read_hooks(hooks, "prestart");
  out.hooks.create_runtime = read_hooks(hooks, "createRuntime");
  out.hooks.create_container = read_hooks(hooks, "createContainer");
  out.hooks.start_container = read_hooks(hooks, "startContainer");
  out.hooks.poststart = read_hooks(hooks, "poststart");
  out.hooks.poststop = read_hooks(hooks, "poststop");
  ConfigReader annotations = top.child("annotations");
  for (const auto& [key, value] : json["annotations"].members()) {
    if (key.empty()) annotations.wrong("", "has an empty key");
    out.annotations.emplace_back(key, annotations.string(key.c_str()));
  }
  ConfigReader linux_part = top.child("linux");
  read_linux(linux_part, out);
  check_userns(linux_part, out);
  refuse_unsupported(top, linux_part);
  if (!failure.message.empty()) return failure;
  auto within = read_within(out);
  if (!within.ok()) return fail("config", "annotations: run.stack.within is no JSON", EINVAL);
  return out;
}

Result<OciConfig> load_oci_config(const std::string& path) {
  auto text = read_file(path);
  if (!text.ok()) {
    Failure failure = std::move(text).failure();
    failure.stage = "config";
    return failure;
  }
  return parse_oci_config(text.value());
}

Result<OciProcess> parse_oci_process(const Json& json) {
  Failure failure;
  OciProcess out = read_process(ConfigReader(json, "process", &failure));
  if (!failure.message.empty()) return failure;
  return out;
}

}  // namespace stack
