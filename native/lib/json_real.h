#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace stack {

/**
 * Numbers with a fraction or an exponent, as JSON writes them (RFC 8259, section 6). Neither the
 * locale nor the big-number arithmetic of strtod and printf, which a static program pays with a
 * hundred kilobytes: 64 bits of mantissa, which is right to the last place for what people write,
 * and within one unit of it for exponents beyond ±27.
 */
std::optional<double> read_real(std::string_view text);  // none: too large, or too close to zero

/** The fewest digits that read back as the same number; `value` is finite. */
void append_real(std::string& out, double value);

}  // namespace stack
