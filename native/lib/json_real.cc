#include "json_real.h"

#include <bit>
#include <cfloat>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace stack {

namespace {

constexpr long double kPowers[] = {1e1L, 1e2L, 1e4L, 1e8L, 1e16L, 1e32L, 1e64L, 1e128L, 1e256L};
constexpr int kLargestExponent = 511;  // all of kPowers
constexpr int kDigits = 17;            // enough for any double (DBL_DECIMAL_DIG)

long double power_of_ten(int exponent) {
  long double power = 1;
  for (int bit = 0; exponent != 0; exponent >>= 1, ++bit)
    if ((exponent & 1) != 0) power *= kPowers[bit];
  return power;
}

long double scale(long double value, int exponent) {
  // In two steps: the power alone may be beyond what there is.
  if (exponent < -kLargestExponent) {
    value /= power_of_ten(kLargestExponent);
    exponent += kLargestExponent;
  }
  if (exponent < -kLargestExponent) return 0;
  return exponent < 0 ? value / power_of_ten(-exponent) : value * power_of_ten(exponent);
}

/** Of a positive value, from its binary exponent: right, or one too low. (libm's are 20 KB.) */
int about_log10(double value) {
  int shift = value < DBL_MIN ? 64 : 0;  // what is not normalised has no exponent of its own
  if (shift != 0) value *= 0x1p64;
  int binary = static_cast<int>(std::bit_cast<uint64_t>(value) >> 52 & 0x7ff) - 1023 - shift;
  constexpr int64_t kLog10Of2 = 1292913986;  // times 2^32
  return static_cast<int>(binary * kLog10Of2 >> 32);
}

/** The first `digits` digits of a positive value, rounded, and the exponent of the first. */
std::pair<uint64_t, int> leading_digits(double value, int digits) {
  int exponent = about_log10(value);
  auto whole = [&] {
    return static_cast<uint64_t>(scale(value, digits - 1 - exponent) + 0.5L);
  };
  uint64_t limit = 1;
  for (int i = 0; i < digits; ++i) limit *= 10;
  uint64_t found = whole();
  while (found >= limit) exponent++, found = whole();  // it was one too low, or was rounded up
  while (found < limit / 10) exponent--, found = whole();
  return {found, exponent};
}

std::string written(std::string digits, int exponent) {
  while (digits.size() > 1 && digits.back() == '0') digits.pop_back();
  std::string out;
  auto count = static_cast<int>(digits.size());
  if (exponent < -5 || exponent >= kDigits) {
    out += digits.substr(0, 1);
    if (count > 1) out += "." + digits.substr(1);
    return out + "e" + std::to_string(exponent);
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1)
    return out + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0');
  auto point = static_cast<size_t>(exponent + 1);
  return out + digits.substr(0, point) + "." + digits.substr(point);
}

}  // namespace

std::optional<double> read_real(std::string_view text) {
  constexpr uint64_t kFull = UINT64_MAX / 10 - 1;  // another digit might not fit
  size_t at = 0;
  bool negative = !text.empty() && text[0] == '-';
  if (negative) at++;
  uint64_t mantissa = 0;
  int64_t exponent = 0;
  bool fraction = false;
  for (; at < text.size() && text[at] != 'e' && text[at] != 'E'; ++at) {
    if (text[at] == '.') {
      fraction = true;
    } else if (mantissa <= kFull) {
      mantissa = mantissa * 10 + static_cast<uint64_t>(text[at] - '0');
      if (fraction) exponent--;
    } else if (!fraction) {
      exponent++;
    }
  }
  if (at < text.size()) {
    at++;
    if (at < text.size() && text[at] == '+') at++;
    int given = 0;
    auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), given);
    if (error != std::errc()) given = text[at] == '-' ? INT32_MIN / 2 : INT32_MAX / 2;
    exponent += given;
  }
  if (mantissa == 0) return negative ? -0.0 : 0.0;
  if (exponent > kLargestExponent || exponent < -2 * kLargestExponent) return std::nullopt;
  long double value = scale(static_cast<long double>(mantissa), static_cast<int>(exponent));
  if (value > DBL_MAX || value < DBL_TRUE_MIN) return std::nullopt;
  auto result = static_cast<double>(value);
  return negative ? -result : result;
}

void append_real(std::string& out, double value) {
  if (value == 0) {
    out += std::signbit(value) ? "-0.0" : "0";
    return;
  }
  double size = std::fabs(value);
  std::string text;
  for (int digits = kDigits - 2; digits <= kDigits; ++digits) {
    auto [whole, exponent] = leading_digits(size, digits);
    text = written(std::to_string(whole), exponent);
    auto back = read_real(text);
    if (back && *back == size) break;
  }
  if (value < 0) out += '-';
  out += text;
}

}  // namespace stack
