#include "monitor_record.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "clock_text.h"
#include "fs.h"

namespace stack {

namespace {

constexpr std::string_view kPhases[] = {"created", "running", "paused", "restarting", "exited"};

ContainerRecord::Phase phase_of(const std::string& name) {
  for (size_t i = 0; i < std::size(kPhases); ++i)
    if (kPhases[i] == name) return static_cast<ContainerRecord::Phase>(i);
  return ContainerRecord::Phase::created;
}

}  // namespace

std::string boot_id() {
  static std::string known;  // it does not change while this process lives
  if (!known.empty()) return known;
  auto text = read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!text) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return known = *text;
}

Json to_json(const ContainerRecord& record) {
  Json ports = Json::array();
  for (const BoundPort& port : record.ports) ports.push(to_json(port));
  Json json = Json::object();
  json.set("version", 1).set("id", record.id);
  json.set("status", kPhases[static_cast<size_t>(record.phase)]);
  json.set("bootId", boot_id()).set("monitorPid", record.monitor_pid);
  json.set("pid", record.pid).set("pidStart", record.pid_start);
  json.set("startedAt", record.started_at).set("finishedAt", record.finished_at);
  json.set("exitCode", record.exit_code).set("signal", record.signal);
  json.set("oomKilled", record.oom_killed).set("endedBy", record.ended_by);
  json.set("reason", record.reason);
  json.set("error", record.error ? failure_to_json(*record.error) : Json());
  json.set("failures", record.failures).set("restarts", record.restarts);
  json.set("nextRestartAt", record.next_restart_at).set("stopRequested", record.stop_requested);
  json.set("ports", std::move(ports)).set("netns", record.netns);
  if (record.supervision.is_object()) json.set("supervision", record.supervision);
  return json;
}

ContainerRecord container_record(const Json& json) {
  ContainerRecord record;
  record.id = json["id"].as_string();
  record.phase = phase_of(json["status"].as_string());
  record.boot = json["bootId"].as_string();
  record.monitor_pid = static_cast<pid_t>(json["monitorPid"].as_int());
  record.pid = static_cast<pid_t>(json["pid"].as_int());
  record.pid_start = json["pidStart"].as_uint();
  record.started_at = json["startedAt"].as_string();
  record.finished_at = json["finishedAt"].as_string();
  record.exit_code = static_cast<int>(json["exitCode"].as_int());
  record.signal = static_cast<int>(json["signal"].as_int());
  record.oom_killed = json["oomKilled"].as_bool();
  record.ended_by = json["endedBy"].as_string();
  record.reason = json["reason"].as_string();
  if (json["error"].is_object()) record.error = failure_from_json(json["error"]);
  record.failures = json["failures"].as_int();
  record.restarts = json["restarts"].as_int();
  record.next_restart_at = json["nextRestartAt"].as_string();
  record.stop_requested = json["stopRequested"].as_bool();
  for (const Json& port : json["ports"].items()) record.ports.push_back(bound_port(port));
  record.netns = json["netns"].as_string();
  record.supervision = json["supervision"];
  return record;
}

namespace {

Status replace_json(int directory, const std::string& name, const Json& json) {
  const std::string stage = "write " + name, fresh = name + ".new";
  UniqueFd file(::openat(directory, fresh.c_str(),
                         O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return sys_fail(stage, "openat", fresh);
  Status written = write_all(file.get(), json.dump() + "\n");
  if (!written)
    written = sys_fail(stage, "write", fresh, written.failure().err);
  else if (::renameat(directory, fresh.c_str(), directory, name.c_str()) < 0)
    written = sys_fail(stage, "renameat", name);
  if (!written) ::unlinkat(directory, fresh.c_str(), 0);
  return written;
}

}  // namespace

Status write_record(int directory, const ContainerRecord& record) {
  // Without it the record would pass for one of another boot.
  if (boot_id().empty()) return sys_fail("write state.json", "read", "/proc/sys/kernel/random/boot_id");
  return replace_json(directory, "state.json", to_json(record));
}

Status write_crash(int directory, const ContainerRecord& record, const std::string& output) {
  Json json = Json::object();
  json.set("version", 1).set("run", record.restarts);
  json.set("startedAt", record.started_at).set("finishedAt", record.finished_at);
  json.set("exitCode", record.exit_code).set("signal", record.signal);
  json.set("oomKilled", record.oom_killed).set("endedBy", record.ended_by);
  json.set("reason", record.reason);
  json.set("error", record.error ? failure_to_json(*record.error) : Json());
  json.set("output", output);
  return replace_json(directory, "crash.json", json);
}

Result<ContainerRecord> read_record(const std::string& directory) {
  std::string text = TRY(read_file(directory + "/state.json", 1 << 20));
  return container_record(TRY(Json::parse(text)));
}

Result<EventRecorder> EventRecorder::open(int directory) {
  UniqueFd fd(::openat(directory, "events.log",
                       O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return sys_fail("open events.log", "openat", "events.log");
  return EventRecorder(std::move(fd));
}

void EventRecorder::add(std::string_view type, const Json& fields) const {
  Json line = Json::object();
  line.set("v", 1).set("t", time_now()).set("type", type);
  for (const auto& [name, value] : fields.members()) line.set(name, value);
  (void)write_all(fd_.get(), line.dump() + "\n");
}

off_t EventRecorder::end() const {
  struct stat status {};
  return ::fstat(fd_.get(), &status) == 0 ? status.st_size : 0;
}

EventRecorder::RunNews EventRecorder::news_of(int64_t run, off_t from) const {
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::pread(fd_.get(), buffer, sizeof buffer, from)) > 0; from += n)
    text.append(buffer, static_cast<size_t>(n));
  RunNews news;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    auto line = Json::parse(std::string_view(text).substr(at, end - at));
    at = end + 1;
    if (!line) continue;
    const std::string type = (*line)["type"].as_string();
    // A container that is started again by hand may count its runs as before.
    if (type == "monitor-started") news = {};
    if ((*line)["run"].as_int(-1) != run) continue;
    if (type == "start") news.started = true;
    if (type == "exit" && (*line)["by"].as_string() == "init")
      news.exit = InitExit{static_cast<int>((*line)["code"].as_int()),
                           static_cast<int>((*line)["signal"].as_int()), (*line)["restart"].as_bool()};
  }
  return news;
}

}  // namespace stack
