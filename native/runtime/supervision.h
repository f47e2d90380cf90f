#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json.h"
#include "restart_policy.h"
#include "result.h"

namespace stack {

// What our init is to supervise: `supervision` of monitor.json, field by field as in
// src/runtime/formats.ts.

struct ReadyProbe {
  /** told: somebody else asks, and tells when it holds. */
  enum class Kind : uint8_t { tcp, http, exec, file, exit, told };
  Kind kind = Kind::tcp;
  uint16_t port = 0;
  std::string path;  // http, file
  std::vector<std::pair<int, int>> status;
  std::vector<std::string> args;
  std::string text;         // told: what is asked
  int code = 0;             // exit
  int64_t timeout_ms = -1;  // -1: none
  int64_t interval_ms = 0;  // between two looks; 0: soon at first, then ever more seldom
};

enum class DependencyCondition : uint8_t { started, ready, completed };

struct ProcessDependency {
  size_t process = 0;  // index into SupervisionSpec::processes
  DependencyCondition condition = DependencyCondition::started;
};

/** One supervised process. */
struct ProcessSpec {
  std::string name;
  /** The container's own command: config.json's process, with the container's streams. */
  bool main = false;
  std::vector<std::string> args;
  /** Over the container's environment; no value takes a variable away. */
  std::vector<std::pair<std::string, std::optional<std::string>>> env;
  std::string user;  // "": the container's
  std::string cwd;   // "": the container's
  RestartSpec restart;
  bool essential = false;
  bool oneshot = false;
  int stop_signal = 15;
  int64_t grace_ms = 10'000;  // -1: for ever
  std::vector<ReadyProbe> ready;
  std::vector<ProcessDependency> depends_on;
};

enum class OrphanAction : uint8_t { none, log, unhealthy, restart };

struct SupervisionSpec {
  std::vector<ProcessSpec> processes;
  /** Names of daemons that the container starts by itself. */
  std::vector<std::string> expect;
  /** How long they may take to appear. */
  int64_t expect_grace_ms = 10'000;
  OrphanAction on_orphan_exit = OrphanAction::none;
  /** What is left when all has ended may take this long to heed SIGTERM; -1: for ever. */
  int64_t grace_ms = 10'000;
};

/** "PATH" of "PATH=/bin". */
std::string_view variable_name(std::string_view variable);
bool has_variable(const std::vector<std::string>& environment, std::string_view name);

/** The variables of a process: the container's, changed as its declaration says. */
void apply_environment(std::vector<std::string>& environment, const ProcessSpec& spec);

/** The failure's stage is "monitor.json", its path the member. */
Result<SupervisionSpec> parse_supervision(const Json& json);

}  // namespace stack
