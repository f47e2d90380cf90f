#include "supervision.h"

#include <algorithm>

#include "monitor_spec.h"

namespace stack {

namespace {

// As many as streams have their places in fifo/mark.
constexpr size_t kMostProcesses = 100;

// It names files and a cgroup.
bool is_process_name(const std::string& name) {
  if (name.empty() || name.size() > 64 || name[0] == '.' || name[0] == '-') return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

Result<ReadyProbe> parse_probe(const Json& json, const std::string& member) {
  ReadyProbe probe;
  const std::string& kind = json["kind"].as_string();
  probe.timeout_ms = json["timeoutMs"].as_int(-1);
  probe.interval_ms = json["intervalMs"].as_int(0);
  probe.port = static_cast<uint16_t>(json["port"].as_uint());
  probe.path = json["path"].as_string();
  probe.args = strings_of(json["args"]);
  probe.code = static_cast<int>(json["code"].as_int());
  for (const Json& range : json["status"].items())
    if (range.size() == 2)
      probe.status.emplace_back(static_cast<int>(range.items()[0].as_int()),
                                static_cast<int>(range.items()[1].as_int()));
  bool complete = true;
  if (kind == "tcp" || kind == "http") {
    probe.kind = kind == "tcp" ? ReadyProbe::Kind::tcp : ReadyProbe::Kind::http;
    complete = probe.port != 0;
  } else if (kind == "exec") {
    probe.kind = ReadyProbe::Kind::exec;
    complete = !probe.args.empty();
  } else if (kind == "file") {
    probe.kind = ReadyProbe::Kind::file;
    complete = probe.path.starts_with('/');
  } else if (kind == "exit") {
    probe.kind = ReadyProbe::Kind::exit;
  } else if (kind == "told") {
    probe.kind = ReadyProbe::Kind::told;
    probe.text = json["text"].as_string();
  } else {
    return bad_member(member, "has a probe of unknown kind: \"" + kind + "\"");
  }
  if (!complete) return bad_member(member, "has an incomplete " + kind + " probe");
  return probe;
}

Result<ProcessSpec> parse_process(const Json& json) {
  ProcessSpec process;
  process.name = json["name"].as_string();
  std::string member = "supervision.processes." + process.name;
  if (!is_process_name(process.name)) return bad_member(member, "is no name of a process");
  process.main = json["main"].as_bool();
  process.args = strings_of(json["args"]);
  if (!process.main && process.args.empty()) return bad_member(member + ".args", "is empty");
  for (const auto& [name, value] : json["env"].members())
    process.env.emplace_back(
        name, value.is_string() ? std::optional(value.as_string()) : std::optional<std::string>());
  process.user = json["user"].as_string();
  process.cwd = json["cwd"].as_string();
  TRY(update_restart(process.restart, json["restart"]));
  process.essential = json["essential"].as_bool();
  process.oneshot = json["oneshot"].as_bool();
  process.stop_signal = static_cast<int>(json["stop"]["signal"].as_int(15));
  process.grace_ms = json["stop"]["graceMs"].as_int(10'000);
  if (process.stop_signal < 1 || process.stop_signal > 64)
    return bad_member(member + ".stop.signal", "is no signal");
  for (const Json& item : json["ready"].items())
    process.ready.push_back(TRY(parse_probe(item, member + ".ready")));
  return process;
}

Result<ProcessDependency> parse_dependency(const SupervisionSpec& spec, size_t of,
                                           const Json& json) {
  std::string member = "supervision.processes." + spec.processes[of].name + ".dependsOn";
  const std::string& name = json["process"].as_string();
  auto found = std::ranges::find_if(spec.processes, [&](const auto& p) { return p.name == name; });
  if (found == spec.processes.end()) return bad_member(member, "names an unknown process: " + name);
  ProcessDependency out;
  out.process = static_cast<size_t>(found - spec.processes.begin());
  const std::string& condition = json["condition"].as_string();
  if (condition == "ready")
    out.condition = DependencyCondition::ready;
  else if (condition == "completed")
    out.condition = DependencyCondition::completed;
  else if (condition != "started")
    return bad_member(member, "has an unknown condition: " + condition);
  return out;
}

// Whoever built the file has checked it; a supervisor that waits for ever would be worse than a
// refusal.
bool acyclic(const SupervisionSpec& spec) {
  std::vector<bool> done(spec.processes.size());
  for (size_t round = 0; round < spec.processes.size(); ++round)
    for (size_t i = 0; i < spec.processes.size(); ++i)
      done[i] = done[i] || std::ranges::all_of(spec.processes[i].depends_on,
                                               [&](const auto& on) { return done[on.process]; });
  return std::ranges::all_of(done, [](bool each) { return each; });
}

}  // namespace

std::string_view variable_name(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

bool has_variable(const std::vector<std::string>& environment, std::string_view name) {
  return std::ranges::any_of(environment,
                             [&](const auto& each) { return variable_name(each) == name; });
}

void apply_environment(std::vector<std::string>& environment, const ProcessSpec& spec) {
  for (const auto& [name, value] : spec.env) {
    auto same = std::ranges::find_if(environment,
                                     [&](const auto& each) { return variable_name(each) == name; });
    if (!value) {
      if (same != environment.end()) environment.erase(same);
    } else if (same == environment.end()) {
      environment.push_back(name + "=" + *value);
    } else {
      *same = name + "=" + *value;
    }
  }
}

Result<SupervisionSpec> parse_supervision(const Json& json) {
  SupervisionSpec spec;
  for (const Json& item : json["processes"].items()) {
    ProcessSpec process = TRY(parse_process(item));
    for (const ProcessSpec& other : spec.processes)
      if (other.name == process.name)
        return bad_member("supervision.processes", "has " + process.name + " twice");
    spec.processes.push_back(std::move(process));
  }
  if (spec.processes.empty()) return bad_member("supervision.processes", "is empty");
  if (spec.processes.size() > kMostProcesses)
    return bad_member("supervision.processes", "has more than " + std::to_string(kMostProcesses));
  for (size_t i = 0; i < spec.processes.size(); ++i)
    for (const Json& item : json["processes"].items()[i]["dependsOn"].items())
      spec.processes[i].depends_on.push_back(TRY(parse_dependency(spec, i, item)));
  if (!acyclic(spec))
    return bad_member("supervision.processes", "depend on each other in a circle");
  spec.expect = strings_of(json["expect"]);
  spec.expect_grace_ms = json["expectGraceMs"].as_int(spec.expect_grace_ms);
  spec.grace_ms = json["graceMs"].as_int(spec.grace_ms);
  const std::string& action = json["onOrphanExit"].as_string();
  if (action == "log")
    spec.on_orphan_exit = OrphanAction::log;
  else if (action == "unhealthy")
    spec.on_orphan_exit = OrphanAction::unhealthy;
  else if (action == "restart")
    spec.on_orphan_exit = OrphanAction::restart;
  else if (!action.empty())
    return bad_member("supervision.onOrphanExit", "is unknown: \"" + action + "\"");
  return spec;
}

}  // namespace stack
