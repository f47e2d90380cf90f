#include "clock_text.h"

namespace stack {

namespace {

struct Date {
  int64_t year;
  unsigned month, day;
};

// Days since 1970-01-01 to a civil date, in eras of 400 years that begin on 1 March.
Date date_of(int64_t days) {
  days += 719468;
  int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  auto day_of_era = static_cast<unsigned>(days - era * 146097);
  unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  unsigned shifted = (5 * day_of_year + 2) / 153;  // 0 = March
  unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1};
}

size_t put(char* out, int64_t value, int width) {
  for (int i = width - 1; i >= 0; --i, value /= 10) out[i] = static_cast<char>('0' + value % 10);
  return static_cast<size_t>(width);
}

}  // namespace

size_t format_time(char (&out)[kTimeText], const timespec& time, int digits) {
  int64_t days = time.tv_sec / 86400, second = time.tv_sec % 86400;
  if (second < 0) second += 86400, --days;
  Date date = date_of(days);
  size_t at = put(out, date.year, 4);
  out[at++] = '-', at += put(out + at, date.month, 2);
  out[at++] = '-', at += put(out + at, date.day, 2);
  out[at++] = 'T', at += put(out + at, second / 3600, 2);
  out[at++] = ':', at += put(out + at, second / 60 % 60, 2);
  out[at++] = ':', at += put(out + at, second % 60, 2);
  if (digits > 0) {
    int64_t fraction = time.tv_nsec;
    for (int i = digits; i < 9; ++i) fraction /= 10;
    out[at++] = '.', at += put(out + at, fraction, digits);
  }
  out[at++] = 'Z';
  out[at] = 0;
  return at;
}

static std::string text_of(const timespec& time) {
  char text[kTimeText];
  return std::string(text, format_time(text, time, 3));
}

std::string time_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return text_of(now);
}

std::string time_after(int64_t delay_ms) {
  timespec then{};
  ::clock_gettime(CLOCK_REALTIME, &then);
  int64_t nanoseconds = then.tv_nsec + delay_ms % 1000 * 1'000'000;
  then.tv_sec += delay_ms / 1000 + nanoseconds / 1'000'000'000;
  then.tv_nsec = nanoseconds % 1'000'000'000;
  return text_of(then);
}

}  // namespace stack
