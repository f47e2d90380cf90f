#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

namespace stack {

/**
 * snprintf's bargain: writes what fits and a NUL, returns the length of the whole. No floating
 * point, no wide characters, no %n: a pattern with one of these ends the program, which is better
 * than to write something else.
 */
size_t format_text(char* out, size_t room, const char* pattern, va_list& arguments);

/**
 * strtoul and its kin: white space, sign, prefix (base 0 or 16), digits. Gives the number without
 * its sign; `end` (may be null) is set behind it, or to `text` if there is none.
 */
uint64_t read_whole(const char* text, char** end, int base, bool& negative, bool& overflow);

}  // namespace stack
