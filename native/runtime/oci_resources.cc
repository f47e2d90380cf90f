#include <poll.h>
#include <sys/timerfd.h>

#include "fs.h"
#include "oci_verbs.h"

// update and events: limits and counters of a living container.

namespace stack {

namespace {

enum class Value : uint8_t { number, bytes, text };
struct UpdateFlag {
  const char* option;
  const char* group;
  const char* member;
  Value value;
};
constexpr UpdateFlag kFlags[] = {{"memory", "memory", "limit", Value::bytes},
                                 {"memory-swap", "memory", "swap", Value::bytes},
                                 {"memory-reservation", "memory", "reservation", Value::bytes},
                                 {"kernel-memory", "memory", "kernel", Value::bytes},
                                 {"kernel-memory-tcp", "memory", "kernelTCP", Value::bytes},
                                 {"cpu-share", "cpu", "shares", Value::number},
                                 {"cpu-shares", "cpu", "shares", Value::number},
                                 {"cpu-quota", "cpu", "quota", Value::number},
                                 {"cpu-period", "cpu", "period", Value::number},
                                 {"cpu-burst", "cpu", "burst", Value::number},
                                 {"cpu-rt-period", "cpu", "realtimePeriod", Value::number},
                                 {"cpu-rt-runtime", "cpu", "realtimeRuntime", Value::number},
                                 {"cpu-idle", "cpu", "idle", Value::number},
                                 {"cpuset-cpus", "cpu", "cpus", Value::text},
                                 {"cpuset-mems", "cpu", "mems", Value::text},
                                 {"pids-limit", "pids", "limit", Value::number},
                                 {"blkio-weight", "blockIO", "weight", Value::number}};

/** "50M", "1g", "512", "-1": with units of 1024, as runc's command line has them; null if it is
 * none. */
Json parse_bytes(const std::string& text) {
  constexpr std::string_view kUnits = "bkmgtp";
  size_t digits = text.find_first_not_of("0123456789", text.starts_with('-') ? 1 : 0);
  std::string unit = digits == std::string::npos ? "" : text.substr(digits);
  for (char& c : unit) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  auto number = Json::parse(text.substr(0, digits));
  if (!number.ok() || !number->is_integer()) return nullptr;
  if (unit.empty()) return *number;
  size_t power = kUnits.find(unit[0]);
  std::string_view rest = std::string_view(unit).substr(1);
  bool known = power != std::string_view::npos &&
               (rest.empty() || (power > 0 && (rest == "b" || rest == "ib")));
  int64_t bytes = 0;
  int64_t factor = known ? int64_t{1} << (10 * power) : 0;
  if (!known || __builtin_mul_overflow(number->as_int(), factor, &bytes)) return nullptr;
  return static_cast<long>(bytes);
}

Result<Json> resources_from(const OciArgs& args) {
  Json out = Json::object();
  if (args.has("resources")) {
    std::string path = args.get("resources");
    std::string text = path == "-" ? TRY(read_all(0)) : TRY(read_file(path));
    out = TRY(Json::parse(text));
    if (!out.is_object()) return fail("update", "resources must be an object", EINVAL, path);
  }
  for (const UpdateFlag& flag : kFlags) {
    if (!args.has(flag.option)) continue;
    std::string text = args.get(flag.option);
    Json value = text;
    if (flag.value == Value::bytes) value = parse_bytes(text);
    if (flag.value == Value::number) {
      auto number = Json::parse(text);
      value = number.ok() && number->is_integer() ? *number : Json();
    }
    if (value.is_null()) {
      std::string what =
          flag.value == Value::bytes ? " must be bytes (50M, 1g)" : " must be a whole number";
      return fail("arguments", "--" + std::string(flag.option) + what, EINVAL, text);
    }
    Json group = out[flag.group].is_object() ? out[flag.group] : Json::object();
    group.set(flag.member, std::move(value));
    out.set(flag.group, std::move(group));
  }
  return out;
}

Result<OciContainer> open_living(const OciGlobals& globals, const OciArgs& args, const char* verb) {
  if (args.rest().size() != 1)
    return fail("arguments", "exactly one container id is required", EINVAL);
  OciContainer container = TRY(OciContainer::open(globals.root, args.rest()[0]));
  if (TRY(container.status()) == OciStatus::stopped)
    return fail(verb, "container not running", ESRCH);
  return container;
}

void print_event(const std::string& type, const std::string& id, Json data) {
  Json event = Json::object();
  event.set("type", type).set("id", id);
  if (!data.is_null()) event.set("data", std::move(data));
  (void)write_all(1, event.dump() + "\n").ok();
}

/** Go's durations as runc takes them: "100ms", "5s", "1m30s"; a number alone is in seconds. */
Result<long> parse_interval(const std::string& text) {
  struct Unit {
    const char* name;
    long milliseconds;
  };
  constexpr Unit kUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"", 1000}};
  constexpr long kLongest = 86400000;
  long total = 0;
  const char* at = text.c_str();
  bool valid = *at != 0;
  while (valid && *at != 0) {
    char* end = nullptr;
    long number = *at >= '0' && *at <= '9' ? std::strtol(at, &end, 10) : -1;
    valid = number >= 0 && number <= kLongest;
    if (!valid) break;
    std::string_view rest(end);
    std::string_view unit = rest.substr(0, rest.find_first_of("0123456789"));
    long factor = 0;
    for (const Unit& known : kUnits) {
      if (unit == known.name) factor = known.milliseconds;
    }
    total += number * factor;
    valid = factor != 0 && total <= kLongest;
    at = end + unit.size();
  }
  if (valid && total > 0) return total;
  return fail("arguments", "--interval must be a duration (100ms, 5s, 1m)", EINVAL, text);
}

Result<int> follow_events(const Cgroup& cgroup, const std::string& id, pid_t pid, long interval) {
  UniqueFd pidfd = TRY(open_pidfd(pid));
  OomNews oom = TRY(cgroup.oom_events());
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  if (!timer) return sys_fail("events", "timerfd_create");
  timespec period{interval / 1000, interval % 1000 * 1000000};
  itimerspec every{period, period};
  ::timerfd_settime(timer.get(), 0, &every, nullptr);
  uint64_t kills = cgroup.oom_kills();
  for (;;) {
    pollfd waits[3] = {{pidfd.get(), POLLIN, 0}, {timer.get(), POLLIN, 0}, {oom.fd.get(), static_cast<short>(oom.events), 0}};
    if (::poll(waits, 3, -1) < 0 && errno != EINTR) return sys_fail("events", "poll");
    char drop[512];
    if (waits[2].revents != 0) {
      // v1 tells by an eventfd, before it kills: the counter is behind. v2 tells of any change
      // there.
      bool told = oom.take() && oom.events == POLLIN;
      uint64_t now = cgroup.oom_kills();
      if (told || now > kills) print_event("oom", id, nullptr);
      kills = now;
    }
    if (waits[0].revents != 0) return 0;
    if (waits[1].revents != 0) {
      (void)!::read(timer.get(), drop, sizeof drop);
      print_event("stats", id, TRY(cgroup.stats()));
    }
  }
}

}  // namespace

Result<int> oci_update(const OciGlobals& globals, const std::vector<std::string>& args) {
  std::vector<OciOption> options = {{"resources", "r", true}};
  for (const UpdateFlag& flag : kFlags) options.push_back({flag.option, "", true});
  OciArgs parsed = TRY(OciArgs::parse(args, options));
  OciContainer container = TRY(open_living(globals, parsed, "update"));
  Cgroup cgroup = TRY(container.cgroup());
  TRY(cgroup.apply(TRY(resources_from(parsed))));
  for (const std::string& text : cgroup.warnings()) oci_warn(globals, text);
  return 0;
}

Result<int> oci_events(const OciGlobals& globals, const std::vector<std::string>& args) {
  OciArgs parsed = TRY(OciArgs::parse(args, {{"stats", "", false}, {"interval", "", true}}));
  long interval = TRY(parse_interval(parsed.get("interval", "5s")));
  OciContainer container = TRY(open_living(globals, parsed, "events"));
  Cgroup cgroup = TRY(container.cgroup());
  std::string id = container.record().id;
  pid_t pid = container.record().pid;
  container = OciContainer();  // lets others work on it meanwhile
  if (!parsed.has("stats")) return follow_events(cgroup, id, pid, interval);
  print_event("stats", id, TRY(cgroup.stats()));
  return 0;
}

}  // namespace stack
