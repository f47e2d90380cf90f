#include "restart_policy.h"

#include <algorithm>

namespace stack {

std::optional<RestartPolicy> parse_restart_policy(std::string_view name) {
  if (name == "no") return RestartPolicy::no;
  if (name == "always") return RestartPolicy::always;
  if (name == "on-failure") return RestartPolicy::on_failure;
  if (name == "unless-stopped") return RestartPolicy::unless_stopped;
  return std::nullopt;
}

std::string_view restart_policy_name(RestartPolicy policy) {
  switch (policy) {
    case RestartPolicy::no:
      return "no";
    case RestartPolicy::always:
      return "always";
    case RestartPolicy::on_failure:
      return "on-failure";
    case RestartPolicy::unless_stopped:
      return "unless-stopped";
  }
  return "no";
}

static int64_t delay_for(const RestartSpec& spec, int64_t failures, double random) {
  double delay = static_cast<double>(spec.first_delay_ms);
  if (failures > 1) {
    delay = static_cast<double>(spec.delay_ms);
    double factor = std::max(spec.factor, 1.0), longest = static_cast<double>(spec.max_delay_ms);
    // Few rounds, however often it has failed: a factor of 1 changes nothing, any other is there soon.
    for (int64_t i = 2; i < failures && factor > 1 && delay > 0 && delay < longest; ++i)
      delay *= factor;
  }
  delay = std::min(delay, static_cast<double>(spec.max_delay_ms));
  delay *= 1 + std::clamp(spec.jitter, 0.0, 1.0) * (2 * random - 1);
  return static_cast<int64_t>(std::max(delay, 0.0));
}

RestartDecision next_restart(const RestartSpec& spec, const RunEnd& end) {
  bool reset = end.up_ms >= spec.reset_after_ms;
  int64_t failures = (reset ? 0 : end.failures) + 1;
  if (end.stop_requested) return {false, 0, 0};
  switch (spec.policy) {
    case RestartPolicy::no:
      return {false, 0, end.exit_code == 0 ? 0 : failures};
    case RestartPolicy::on_failure:
      if (end.exit_code == 0) return {false, 0, 0};
      break;
    case RestartPolicy::always:
    case RestartPolicy::unless_stopped:
      break;
  }
  if (spec.max_attempts > 0 && failures > spec.max_attempts) return {false, 0, failures};
  return {true, delay_for(spec, failures, end.random), failures};
}

}  // namespace stack
