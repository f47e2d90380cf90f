#include <algorithm>
#include <charconv>

#include "cgroup.h"
#include "fs.h"

// Counters, in the shape of the `data` member of runc's `events --stats`, which monitoring tools
// parse.

namespace stack {

namespace {

uint64_t number_in(const std::string& text) {
  if (text.starts_with("max")) return UINT64_MAX;
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

uint64_t read_number(const std::string& path) {
  auto text = read_file(path, 65536);
  return text.ok() ? number_in(*text) : 0;
}

/** "name value" lines. */
Json read_table(const std::string& path) {
  Json out = Json::object();
  auto text = read_file(path, 1u << 20);
  if (!text.ok()) return out;
  for (size_t at = 0; at < text->size();) {
    size_t end = std::min(text->find('\n', at), text->size());
    std::string line = text->substr(at, end - at);
    at = end + 1;
    size_t space = line.find(' ');
    if (space != std::string::npos)
      out.set(line.substr(0, space), number_in(line.substr(space + 1)));
  }
  return out;
}

Json cpu_v1(const Cgroup& cgroup) {
  Json usage = Json::object();
  std::string acct = cgroup.directory_of("cpuacct");
  if (!acct.empty()) {
    constexpr uint64_t kNanosecondsPerTick = 10'000'000;  // USER_HZ is 100 on every architecture
    Json stat = read_table(acct + "/cpuacct.stat");
    usage.set("total", read_number(acct + "/cpuacct.usage"))
        .set("kernel", stat["system"].as_uint() * kNanosecondsPerTick)
        .set("user", stat["user"].as_uint() * kNanosecondsPerTick);
  }
  Json out = Json::object();
  out.set("usage", std::move(usage));
  Json stat = read_table(cgroup.directory_of("cpu") + "/cpu.stat");
  Json throttling = Json::object();
  throttling.set("periods", stat["nr_periods"].as_uint())
      .set("throttledPeriods", stat["nr_throttled"].as_uint())
      .set("throttledTime", stat["throttled_time"].as_uint());
  out.set("throttling", std::move(throttling));
  return out;
}

Json cpu_v2(const std::string& directory) {
  Json stat = read_table(directory + "/cpu.stat");
  Json usage = Json::object(), throttling = Json::object(), out = Json::object();
  usage.set("total", stat["usage_usec"].as_uint() * 1000)
      .set("kernel", stat["system_usec"].as_uint() * 1000)
      .set("user", stat["user_usec"].as_uint() * 1000);
  throttling.set("periods", stat["nr_periods"].as_uint())
      .set("throttledPeriods", stat["nr_throttled"].as_uint())
      .set("throttledTime", stat["throttled_usec"].as_uint() * 1000);
  out.set("usage", std::move(usage)).set("throttling", std::move(throttling));
  return out;
}

Json usage_v1(const std::string& directory, const std::string& name) {
  std::string prefix = directory + "/" + name;
  Json out = Json::object();
  out.set("usage", read_number(prefix + ".usage_in_bytes"))
      .set("max", read_number(prefix + ".max_usage_in_bytes"))
      .set("limit", read_number(prefix + ".limit_in_bytes"))
      .set("failcnt", read_number(prefix + ".failcnt"));
  return out;
}

Json memory_v1(const std::string& directory) {
  Json raw = read_table(directory + "/memory.stat");
  Json out = Json::object();
  out.set("cache", raw["total_cache"].as_uint())
      .set("usage", usage_v1(directory, "memory"))
      .set("swap", usage_v1(directory, "memory.memsw"))
      .set("raw", std::move(raw));
  return out;
}

Json memory_v2(const std::string& directory) {
  Json raw = read_table(directory + "/memory.stat");
  Json events = read_table(directory + "/memory.events");
  Json usage = Json::object(), swap = Json::object(), out = Json::object();
  usage.set("usage", read_number(directory + "/memory.current"))
      .set("max", read_number(directory + "/memory.peak"))
      .set("limit", read_number(directory + "/memory.max"))
      .set("failcnt", events["max"].as_uint());
  swap.set("usage", read_number(directory + "/memory.swap.current"))
      .set("limit", read_number(directory + "/memory.swap.max"));
  out.set("cache", raw["file"].as_uint())
      .set("usage", std::move(usage))
      .set("swap", std::move(swap))
      .set("raw", std::move(raw));
  return out;
}

}  // namespace

Result<Json> Cgroup::stats() const {
  Json out = Json::object();
  const Place* cpu = place_of("cpu");
  if (cpu != nullptr)
    out.set("cpu", cpu->hierarchy.unified ? cpu_v2(cpu->directory) : cpu_v1(*this));
  const Place* memory = place_of("memory");
  if (memory != nullptr) {
    out.set("memory", memory->hierarchy.unified ? memory_v2(memory->directory)
                                                : memory_v1(memory->directory));
  }
  const Place* pids = place_of("pids");
  if (pids != nullptr) {
    Json count = Json::object();
    count.set("current", read_number(pids->directory + "/pids.current"));
    uint64_t limit = read_number(pids->directory + "/pids.max");
    if (limit != UINT64_MAX) count.set("limit", limit);
    out.set("pids", std::move(count));
  }
  out.set("oomKills", oom_kills());
  return out;
}

}  // namespace stack
