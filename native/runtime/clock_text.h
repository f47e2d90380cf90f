#pragma once

#include <time.h>

#include <cstdint>
#include <string>

namespace stack {

/** Room for a time with nanoseconds and its NUL. */
inline constexpr size_t kTimeText = 40;

/**
 * RFC 3339 in UTC with `digits` (0–9) of the second's fraction. Neither allocates nor reads a time
 * zone, so that PID 1 can use it. Returns the length.
 */
size_t format_time(char (&out)[kTimeText], const timespec& time, int digits);

/** Now, with milliseconds: what state.json and events.log hold. */
std::string time_now();
/** The time `delay_ms` from now. */
std::string time_after(int64_t delay_ms);

}  // namespace stack
