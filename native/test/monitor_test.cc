// Tests of the monitor's pure parts. Built with sanitizers and run by
// test/integration/monitor-native.test.ts; prints a line for each failure, and ends with 1 if there
// was one.
#include <climits>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../lib/json.h"
#include "../lib/json_real.h"
#include "../runtime/clock_text.h"
#include "../runtime/format_text.h"
#include "../runtime/frame.h"
#include "../runtime/log_file.h"
#include "../runtime/monitor_spec.h"
#include "../runtime/process_board.h"
#include "../runtime/restart_policy.h"
#include "../runtime/signal_masks.h"

namespace {

int failures = 0;
int checks = 0;

void check(bool holds, const char* promise, const std::string& detail = {}) {
  ++checks;
  if (holds) return;
  ++failures;
  std::printf("FAILED %s %s\n", promise, detail.c_str());
}

using namespace stack;

RestartSpec policy(RestartPolicy policy) {
  RestartSpec spec;
  spec.policy = policy;
  return spec;
}

void restarts() {
  struct Row {
    RestartSpec spec;
    RunEnd end;
    bool restart;
    int64_t delay_ms, failures;
    const char* promise;
  };
  RestartSpec always = policy(RestartPolicy::always), limited = policy(RestartPolicy::on_failure);
  limited.max_attempts = 3;
  RestartSpec few = always;
  few.max_attempts = 2;
  RestartSpec jitter = always;
  jitter.jitter = 0.5;
  RestartSpec slow = always;
  slow.first_delay_ms = 5000;
  const Row rows[] = {
      {policy(RestartPolicy::no), {1, false, 0, 0, 0}, false, 0, 1, "no: never"},
      {policy(RestartPolicy::no), {0, false, 0, 0, 0}, false, 0, 0, "no: a success is no failure"},
      {always, {0, false, 0, 0, 0}, true, 0, 1, "always: the first at once, also after a success"},
      {always, {1, false, 0, 1, 0}, true, 100, 2, "then 100 ms"},
      {always, {1, false, 0, 2, 0}, true, 200, 3, "doubling"},
      {always, {1, false, 0, 10, 0}, true, 51'200, 11, "still doubling"},
      {always, {1, false, 0, 11, 0}, true, 60'000, 12, "to 60 s"},
      {always, {1, false, 0, 1'000'000, 0}, true, 60'000, 1'000'001, "for ever"},
      {always, {1, false, 10'000, 50, 0}, true, 0, 1, "10 s up forget the failures"},
      {always, {1, false, 9'999, 1, 0}, true, 100, 2, "less do not"},
      {always, {1, true, 0, 3, 0}, false, 0, 0, "a stop that was asked for is not undone"},
      {policy(RestartPolicy::unless_stopped),
       {0, false, 0, 0, 0},
       true,
       0,
       1,
       "unless-stopped restarts"},
      {policy(RestartPolicy::unless_stopped), {0, true, 0, 0, 0}, false, 0, 0, "unless stopped"},
      {limited, {0, false, 0, 2, 0}, false, 0, 0, "on-failure: not after a success"},
      {limited, {1, false, 0, 2, 0}, true, 200, 3, "on-failure: the third attempt"},
      {limited, {1, false, 0, 3, 0}, false, 0, 4, "on-failure: not a fourth"},
      {policy(RestartPolicy::on_failure),
       {1, false, 0, 99, 0},
       true,
       60'000,
       100,
       "on-failure without limit"},
      {few, {0, false, 0, 1, 0}, true, 100, 2, "attempts count under every policy"},
      {few, {0, false, 0, 2, 0}, false, 0, 3, "also where a success is restarted"},
      {few, {1, false, 10'000, 2, 0}, true, 0, 1, "a long run gives them back"},
      {jitter, {1, false, 0, 2, 0}, true, 100, 3, "jitter shortens"},
      {jitter, {1, false, 0, 2, 1}, true, 300, 3, "jitter lengthens"},
      {slow, {1, false, 0, 0, 0}, true, 5000, 1, "the first delay can be set"},
  };
  for (const Row& row : rows) {
    RestartDecision got = next_restart(row.spec, row.end);
    check(
        got.restart == row.restart && got.delay_ms == row.delay_ms && got.failures == row.failures,
        row.promise,
        std::to_string(got.restart) + " " + std::to_string(got.delay_ms) + " " +
            std::to_string(got.failures));
  }
}

std::string encode(std::string_view text) {
  std::string out;
  append_log_record(out, text, "stdout", "", timespec{1'700'000'000, 7});
  return out;
}

void logs() {
  check(
      encode("hi\n") ==
          "{\"log\":\"hi\\n\",\"stream\":\"stdout\",\"time\":\"2023-11-14T22:13:20.000000007Z\"}\n",
      "a record as Docker writes it");
  check(encode(std::string_view("\x00\x1f\x7f", 3)).starts_with("{\"log\":\"\\u0000\\u001f\x7f\""),
        "control characters");
  check(encode("\xe2\x80\xa8").find("\\u2028") != std::string::npos, "line separators");
  // Every sequence of three bytes of these is encoded to something that a strict parser reads.
  const unsigned char bytes[] = {0x00, 0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xed,
                                 0xa0, 0x9f, 0xf0, 0xf4, 0xf5, 0xff, '"',  '\\', '<'};
  for (unsigned char a : bytes)
    for (unsigned char b : bytes)
      for (unsigned char c : bytes) {
        const char text[] = {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c)};
        std::string line = encode(std::string_view(text, 3));
        auto parsed = Json::parse(std::string_view(line).substr(0, line.size() - 1));
        check(parsed.ok() && (*parsed)["log"].is_string(), "any bytes make valid JSON", line);
      }
  check(next_log_record("abc", false) == 0, "an incomplete line waits");
  check(next_log_record("abc", true) == 3, "unless it is the last");
  check(next_log_record("", true) == 0, "nothing is no record");
  check(next_log_record("a\nb\n", false) == 2, "one line at a time");
  std::string exact(kLogLine, 'x');
  check(next_log_record(exact, false) == kLogLine, "16 KiB are cut without waiting");
  check(next_log_record(exact + "\n", false) == kLogLine, "also where the newline is next");
  std::string wide = std::string(kLogLine - 1, 'x') + "\xc3\xa4\n";
  check(next_log_record(wide, false) == kLogLine - 1, "not inside a character");
  std::string stray = std::string(kLogLine - 5, 'x') + "\x80\x80\x80\x80\x80\x80\x80\x80";
  check(next_log_record(stray, false) == kLogLine, "bytes that are no character are cut anywhere");
}

void frames() {
  std::string wire;
  append_frame(wire, FrameType::output, "hello");
  append_frame(wire, FrameType::input, "");
  append_frame(wire, FrameType::error, std::string(kFramePayload + 1, 'e'));
  check(wire.size() == 3 * 8 + 5 + 8 + kFramePayload + 1, "long payloads become several frames");
  FrameReader reader;
  std::vector<size_t> sizes;
  for (size_t at = 0; at < wire.size(); at += 7) {
    reader.feed(std::string_view(wire).substr(at, 7));
    FrameType type{};
    std::string_view payload;
    while (reader.next(type, payload) == FrameReader::Next::frame) sizes.push_back(payload.size());
  }
  check(sizes == std::vector<size_t>{5, 0, kFramePayload, 1},
        "frames come out whole however the bytes come");
  FrameReader bad;
  bad.feed(std::string_view("\x07\0\0\0\0\0\0\0", 8));
  FrameType type{};
  std::string_view payload;
  check(bad.next(type, payload) == FrameReader::Next::malformed, "an unknown type is refused");
  FrameReader large;
  large.feed(std::string_view("\x00\0\0\0\x00\x01\x00\x01", 8));
  check(large.next(type, payload) == FrameReader::Next::malformed,
        "more than 64 KiB are refused before they come");
}

void times() {
  char out[kTimeText];
  struct Row {
    timespec time;
    int digits;
    const char* text;
  };
  const Row rows[] = {{{0, 0}, 0, "1970-01-01T00:00:00Z"},
                      {{951'782'400, 5'000'000}, 3, "2000-02-29T00:00:00.005Z"},
                      {{4'107'542'399, 999'999'999}, 9, "2100-02-28T23:59:59.999999999Z"},
                      {{4'107'542'400, 0}, 0, "2100-03-01T00:00:00Z"},
                      {{-1, 0}, 0, "1969-12-31T23:59:59Z"}};
  for (const Row& row : rows) {
    format_time(out, row.time, row.digits);
    check(std::strcmp(out, row.text) == 0, row.text, out);
  }
}

void masks() {
  constexpr const char* kStatus =
      "Name:\tx\nSigBlk:\t0000000000010000\nSigIgn:\t0000000000004000\nSigCgt:\t0000000000000002\n";
  check(status_sees_signal(kStatus, 17), "a blocked signal is seen");
  check(status_sees_signal(kStatus, 2), "a caught signal is seen");
  check(!status_sees_signal(kStatus, 15), "an ignored signal is not");
  check(!status_sees_signal(kStatus, 9), "nor one that nobody minds");
  check(status_sees_signal("nonsense", 15), "what cannot be known counts as seen");
}

void specs() {
  constexpr const char* kSpec =
      R"({"version":1,"id":"x","rootfs":{"kind":"directory","path":"/r"},"network":{"mode":"none","ports":[{"hostIp":"","hostPort":0,)"
      R"("containerPort":80,"protocol":"udp","range":[1,2]}]},"log":{"driver":"none"},"restart":{"policy":"on-failure","maxAttempts":2}})";
  auto spec = parse_monitor_spec(*Json::parse(kSpec));
  check(spec.ok() && spec->network.ports[0].udp && spec->network.ports[0].range->second == 2 &&
            spec->restart.max_attempts == 2 && spec->stop.signal == 15,
        "a short task has the defaults");
  struct Row {
    const char *from, *to, *member;
  };
  const Row rows[] = {{"\"version\":1", "\"version\":2", "version"},
                      {"\"none\",\"ports\"", "\"moon\",\"ports\"", "network.mode"},
                      {"udp", "sctp", "network.ports.protocol"},
                      {"80", "80000", "network.ports.containerPort"},
                      {"on-failure", "sometimes", "restart.policy"},
                      {"\"path\":\"/r\"", "\"path\":\"\"", "rootfs.path"}};
  for (const Row& row : rows) {
    std::string text = kSpec;
    text.replace(text.find(row.from), std::strlen(row.from), row.to);
    auto bad = parse_monitor_spec(*Json::parse(text));
    check(!bad.ok() && bad.failure().path == row.member,
          "a wrong task is refused by the member's name", row.member);
  }
}

// The C library's own is what ours has to equal.
void formatted(const char* pattern, ...) {
  for (size_t room : {size_t{0}, size_t{1}, size_t{5}, size_t{200}}) {
    char ours[200] = "", theirs[200] = "";
    va_list arguments, again;
    va_start(arguments, pattern);
    va_copy(again, arguments);
    size_t size = format_text(ours, room, pattern, arguments);
    int expected = std::vsnprintf(theirs, room, pattern, again);
    va_end(again);
    va_end(arguments);
    check(size == static_cast<size_t>(expected) && std::string(ours) == theirs,
          "a pattern is filled in as the C library does", std::string(pattern) + ": " + ours);
  }
}

void formats() {
  formatted("plain, 100%%");
  formatted("[%d] [%i] [%u]", -7, INT_MIN, UINT_MAX);
  formatted("[%5d] [%-5d] [%05d] [%+d] [%.3d] [%8.3d]", 42, 42, -42, 42, 7, -7);
  formatted("[%ld] [%lld] [%lu] [%llu] [%zu]", LONG_MIN, LLONG_MAX, ULONG_MAX, ULLONG_MAX,
            size_t{12});
  formatted("[%hhu] [%hd] [%hhx]", 300, 70000, -1);
  formatted("[%x] [%X] [%#x] [%08x] [%016llx] [%o] [%04o]", 255, 255, 255, 255, 0xabcULL, 8, 0755);
  formatted("[%s] [%10s] [%-10s] [%.2s] [%.*s] [%*d]", "abc", "abc", "abc", "abc", 1, "abc", 6, 9);
  formatted("[%c] [%3c] [%-3c]", 'x', 'y', 'z');
  formatted("[%d] [%x] [%.0d] [%s]", 0, 0, 0, "");
}

void numbers() {
  for (const char* text :
       {"0", "17", " \t-17x", "+5", "0x1f", "0xg", "017", "0", "zz", "", "-",
        "18446744073709551615", "18446744073709551616", "999999999999999999999999"}) {
    for (int base : {0, 8, 10, 16, 36}) {
      char *ours = nullptr, *theirs = nullptr;
      bool negative = false, overflow = false;
      uint64_t value = read_whole(text, &ours, base, negative, overflow);
      uint64_t expected = std::strtoull(text, &theirs, base);
      if (overflow) value = ULLONG_MAX, negative = false;
      check((negative ? 0 - value : value) == expected && ours == theirs,
            "a number is read as the C library does", std::string(text));
    }
  }
}

void reals() {
  for (const char* text : {"0.1", "1e5", "0.5E-3", "-2.5", "1e300", "1e-300", "123456.789",
                           "0.30000000000000004", "1.7976931348623157e308", "9007199254740993.0"}) {
    auto value = read_real(text);
    check(value && *value == std::strtod(text, nullptr), "a real is the nearest one", text);
    std::string again;
    if (value) append_real(again, *value);
    check(value && std::strtod(again.c_str(), nullptr) == *value,
          "a real reads back as it was written", again);
  }
  check(!read_real("1e999") && !read_real("-1e99999999999"), "a real that is too large is none");
  for (const auto& [value, text] :
       {std::pair{0.1, "0.1"}, {-2.5, "-2.5"}, {1e21, "1e21"}, {5.0, "5"}, {0.00001, "0.00001"}}) {
    std::string out;
    append_real(out, value);
    check(out == text, "a real is written with the fewest digits", out);
  }
}

ProcessSpec named(const char* name) {
  ProcessSpec process;
  process.name = name;
  process.args = {"x"};
  return process;
}

std::string text_of(const std::vector<ProcessStep>& steps) {
  std::string out;
  for (const ProcessStep& step : steps) {
    out += step.kind == ProcessStep::Kind::start ? '+' : step.kind == ProcessStep::Kind::signal ? '-' : '!';
    out += std::to_string(step.process);
  }
  return out;
}

void boards() {
  SupervisionSpec spec;
  spec.processes = {named("prep"), named("db"), named("web")};
  spec.processes[0].oneshot = true;
  spec.processes[1].restart = policy(RestartPolicy::always);
  spec.processes[1].ready.push_back({});
  spec.processes[1].depends_on = {{0, DependencyCondition::completed}};
  spec.processes[2].essential = true;
  spec.processes[2].depends_on = {{1, DependencyCondition::ready}};
  ProcessBoard board(spec);
  check(text_of(board.steps(0)) == "+0", "only who waits for nobody is started");
  board.spawned(0, 10);
  board.executed(0, 1);
  check(board.steps(1).empty(), "a one-shot that runs is not done");
  board.ended(0, 0, 0, 2, 0);
  check(text_of(board.steps(2)) == "+1", "its success lets the next one start");
  board.spawned(1, 11);
  board.executed(1, 3);
  check(board.steps(3).empty(), "executed is not ready");
  board.ready(1);
  check(text_of(board.steps(4)) == "+2", "ready is");
  board.spawned(2, 12);
  board.executed(2, 5);
  board.ended(1, 1, 0, 6, 0);
  check(text_of(board.steps(6)) == "+1", "the first restart comes at once; dependents stay");
  board.spawned(1, 13);
  board.executed(1, 7);
  board.ended(1, 1, 0, 8, 0);
  check(board.steps(8).empty() && board.next_due() == 108, "the second one waits");
  check(text_of(board.steps(108)) == "+1", "until it is due");
  board.spawned(1, 14);
  board.executed(1, 109);
  check(!board.finished(), "something runs");
  board.stop_all();
  check(text_of(board.steps(110)) == "-2", "a stop begins with who depends on others");
  check(board.steps(111).empty(), "and waits for it");
  check(board.next_due() == 110 + 10'000, "as long as its grace");
  check(text_of(board.steps(10'110)) == "!2", "then it is killed");
  board.ended(2, 137, 9, 10'111, 0);
  check(text_of(board.steps(10'111)) == "-1", "then the one that it needed");
  board.ended(1, 0, 0, 10'112, 0);
  auto end = board.finished();
  check(end && end->code == 137 && end->signal == 9, "the essential one's code is the container's");
}

void essentials() {
  SupervisionSpec spec;
  spec.processes = {named("a"), named("b"), named("c")};
  spec.processes[0].essential = true;
  spec.processes[0].restart = policy(RestartPolicy::on_failure);
  spec.processes[0].restart.max_attempts = 1;
  spec.processes[2].depends_on = {{1, DependencyCondition::completed}};
  ProcessBoard board(spec);
  check(text_of(board.steps(0)) == "+0+1", "both start");
  for (size_t i : {0u, 1u}) {
    board.spawned(i, static_cast<pid_t>(20 + i));
    board.executed(i, 1);
  }
  board.ended(0, 5, 0, 2, 0);
  check(text_of(board.steps(2)) == "+0", "an essential one is started again while its policy says so");
  board.spawned(0, 22);
  board.executed(0, 3);
  check(board.stop(1, 4) && text_of(board.steps(4)) == "-1", "a stop by hand");
  board.ended(1, 0, 0, 5, 0);
  check(board.status()[1].phase == ProcessPhase::stopped, "is not followed by a restart");
  check(board.steps(5).empty() && board.status()[2].phase == ProcessPhase::waiting,
        "nor is it a completion");
  board.ended(0, 5, 0, 6, 0);
  check(board.status()[0].phase == ProcessPhase::fatal, "given up after its attempts");
  (void)board.steps(6);
  auto end = board.finished();
  check(end && end->code == 5, "and the container ends with its code");
}

void supervision_task() {
  auto parse = [](const char* text) { return parse_supervision(*Json::parse(text)); };
  check(parse(R"({"processes":[{"name":"a","args":["x"]}]})").ok(), "a task of one process");
  for (const char* text :
       {R"({"processes":[]})", R"({"processes":[{"name":"../a","args":["x"]}]})",
        R"({"processes":[{"name":"a","args":[]}]})",
        R"({"processes":[{"name":"a","args":["x"]},{"name":"a","args":["x"]}]})",
        R"({"processes":[{"name":"a","args":["x"],"dependsOn":[{"process":"b","condition":"ready"}]}]})",
        R"({"processes":[{"name":"a","args":["x"],"dependsOn":[{"process":"a","condition":"ready"}]}]})",
        R"({"processes":[{"name":"a","args":["x"],"ready":[{"kind":"log"}]}]})"})
    check(!parse(text).ok(), "refused", text);
}

}  // namespace

int main() {
  boards();
  essentials();
  supervision_task();
  formats();
  numbers();
  reals();
  restarts();
  logs();
  frames();
  times();
  masks();
  specs();
  std::printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
