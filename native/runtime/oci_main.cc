#include <fcntl.h>
#include <sys/prctl.h>
#include <time.h>

#include <cstdio>
#include <string>

#include "clock_text.h"
#include "container.h"
#include "fs.h"
#include "oci_verbs.h"
#include "proc.h"

// The OCI runtime's command line: `stack-runtime [options] VERB [options] ID …`.

int oci_main(int argc, char** argv);

namespace stack {

namespace {

struct VerbEntry {
  const char* name;
  OciVerb run;
  bool starts_processes;  // in containers: then this program must be protected first
  const char* words;
};
constexpr VerbEntry kVerbs[] = {{"create", oci_create, true, "ID"},
                                {"run", oci_run, true, "ID"},
                                {"start", oci_start, false, "ID"},
                                {"state", oci_state, false, "ID"},
                                {"kill", oci_kill, false, "ID [SIGNAL]"},
                                {"delete", oci_delete, false, "ID"},
                                {"exec", oci_exec, true, "ID COMMAND [ARG …]"},
                                {"list", oci_list, false, ""},
                                {"ps", oci_ps, false, "ID"},
                                {"pause", oci_pause, false, "ID"},
                                {"resume", oci_resume, false, "ID"},
                                {"update", oci_update, false, "ID"},
                                {"events", oci_events, false, "ID"},
                                {"spec", oci_spec, false, ""},
                                {"features", oci_features, false, ""}};

const std::vector<OciOption> kGlobalOptions = {
    {"root", "", true},           {"log", "", true},      {"log-format", "", true},
    {"debug", "", false},         {"rootless", "", true}, {"systemd-cgroup", "", false},
    {"cgroup-manager", "", true},  // crun's name for the same choice
    {"version", "v", false},      {"help", "h", false}};

constexpr const char* kUsage =
    "usage: stack-runtime [--root DIR] [--log FILE] [--log-format text|json] VERB [options] [ID] "
    "…\n"
    "\n"
    "An OCI runtime: create, start, state, kill, delete, run, exec, ps, list, pause, resume, "
    "update,\n"
    "events, spec, features, with the options of runc. And the parts of stack: monitor, unpack.\n";

void log_line(const OciGlobals& globals, const char* level, const std::string& text) {
  if (globals.log.empty()) return;
  UniqueFd fd(::open(globals.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!fd) return;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  char date[kTimeText];
  (void)format_time(date, now, 0);
  std::string line;
  if (globals.log_json) {
    Json json = Json::object();
    json.set("level", level).set("msg", text).set("time", date);
    line = json.dump();
  } else {
    line = "time=\"" + std::string(date) + "\" level=" + level + " msg=";
    append_json_string(line, text);
  }
  (void)write_all(fd.get(), line + "\n").ok();
}

Result<OciGlobals> read_globals(const OciArgs& args) {
  OciGlobals out;
  out.root = clean_path(args.get("root", default_root()));
  if (args.has("root") && !args.get("root").starts_with('/')) {
    char* current = ::getcwd(nullptr, 0);
    if (current == nullptr) return sys_fail("arguments", "getcwd");
    out.root = clean_path(std::string(current) + "/" + args.get("root"));
    ::free(current);
  }
  out.log = args.get("log");
  std::string format = args.get("log-format", "text");
  if (format != "text" && format != "json") {
    return fail("arguments", "--log-format must be text or json", EINVAL, format);
  }
  out.log_json = format == "json";
  out.debug = args.has("debug");
  std::string manager = args.get("cgroup-manager", "cgroupfs");
  if (manager != "cgroupfs" && manager != "systemd") {
    return fail("arguments", "--cgroup-manager must be cgroupfs", EINVAL, manager);
  }
  if (args.has("systemd-cgroup") || manager == "systemd") {
    return fail("arguments",
                "--systemd-cgroup is not supported: give linux.cgroupsPath inside of a unit with "
                "Delegate=yes instead",
                ENOTSUP);
  }
  return out;
}

int run_verb(const VerbEntry& verb, const OciGlobals& globals, const std::vector<std::string>& args,
             char** argv) {
  if (verb.starts_processes) {
    auto protection = protect_self(argv);
    if (!protection.ok()) {
      std::fprintf(stderr, "stack-runtime: %s\n", protection.failure().text().c_str());
      return 1;
    }
    ::prctl(PR_SET_NAME, "stack-runtime");
  }
  std::string words;
  for (const std::string& word : args) words += " " + word;
  oci_debug(globals, std::string(verb.name) + words);
  auto result = verb.run(globals, args);
  if (result.ok()) {
    oci_debug(globals, std::string(verb.name) + ": status " + std::to_string(*result));
    return *result;
  }
  const Failure& failure = result.failure();
  if (failure.stage == "help") {
    std::printf("usage: stack-runtime %s [options] %s\n%s", verb.name, verb.words,
                failure.message.c_str());
    return 0;
  }
  std::fprintf(stderr, "stack-runtime: %s\n", failure.text().c_str());
  log_line(globals, "error", failure.text());
  // As runc: 255 where exec itself fails, so that it is no exit code of the program's.
  bool exec = std::string_view(verb.name) == "exec";
  bool executes = exec || std::string_view(verb.name) == "run";
  int code = executes ? start_exit_code(failure) : 1;
  if (code == 126 || code == 127) return code;
  return exec ? 255 : 1;
}

}  // namespace

void oci_debug(const OciGlobals& globals, const std::string& text) {
  if (!globals.debug) return;
  if (globals.log.empty()) std::fprintf(stderr, "stack-runtime: level=debug %s\n", text.c_str());
  log_line(globals, "debug", text);
}

void oci_warn(const OciGlobals& globals, const std::string& text) {
  std::fprintf(stderr, "stack-runtime: warning: %s\n", text.c_str());
  log_line(globals, "warning", text);
}

}  // namespace stack

int oci_main(int argc, char** argv) {
  using namespace stack;
  ensure_standard_fds();
  auto args = OciArgs::parse({argv + (argc > 0 ? 1 : 0), argv + argc}, kGlobalOptions,
                             OciArgs::Order::before_words);
  if (!args.ok()) {
    std::fprintf(stderr, "stack-runtime: %s\n%s", args.failure().text().c_str(), kUsage);
    return 1;
  }
  if (args->has("version")) {
    std::printf("stack-runtime\nspec: 1.3.0\n");
    return 0;
  }
  if (args->has("help") || args->rest().empty()) {
    std::fputs(kUsage, args->has("help") ? stdout : stderr);
    return args->has("help") ? 0 : 1;
  }
  auto globals = read_globals(*args);
  if (!globals.ok()) {
    std::fprintf(stderr, "stack-runtime: %s\n", globals.failure().text().c_str());
    return 1;
  }
  const std::string& name = args->rest()[0];
  for (const VerbEntry& verb : kVerbs) {
    if (name == verb.name) {
      return run_verb(verb, *globals, {args->rest().begin() + 1, args->rest().end()}, argv);
    }
  }
  if (name == "checkpoint" || name == "restore") {
    std::fprintf(stderr, "stack-runtime: %s is not supported\n", name.c_str());
  } else {
    std::fprintf(stderr, "stack-runtime: unknown command %s\n%s", name.c_str(), kUsage);
  }
  return 1;
}
