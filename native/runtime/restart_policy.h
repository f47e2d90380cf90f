#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace stack {

enum class RestartPolicy : uint8_t { no, always, on_failure, unless_stopped };

/** Names as in the Compose Specification. */
std::optional<RestartPolicy> parse_restart_policy(std::string_view name);
std::string_view restart_policy_name(RestartPolicy policy);

/** MonitorSpec.restart. */
struct RestartSpec {
  RestartPolicy policy = RestartPolicy::no;
  int64_t max_attempts = 0;  // in a row; 0 = without limit
  int64_t first_delay_ms = 0;
  int64_t delay_ms = 100;
  double factor = 2;
  int64_t max_delay_ms = 60'000;
  double jitter = 0;
  int64_t reset_after_ms = 10'000;
};

/** How the last run ended. */
struct RunEnd {
  int exit_code = 0;
  bool stop_requested = false;
  int64_t up_ms = 0;     // how long it ran
  int64_t failures = 0;  // in a row, before this end
  double random = 0;     // [0, 1)
};

struct RestartDecision {
  bool restart = false;
  int64_t delay_ms = 0;
  int64_t failures = 0;  // for the record
};

/**
 * Restart or not, and when. The first restart comes after `first_delay_ms`, the n-th after
 * `delay_ms * factor^(n-2)` up to `max_delay_ms`, more or less `jitter` of it; a run of
 * `reset_after_ms` forgets what was before. A stop that was asked for is never followed by a
 * restart.
 */
RestartDecision next_restart(const RestartSpec& spec, const RunEnd& end);

}  // namespace stack
