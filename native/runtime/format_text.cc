#include "format_text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace stack {

namespace {

constexpr char kUnknown[] = "format: a conversion that format_text.cc does not have\n";

/** Counts everything, keeps what fits: snprintf's bargain. */
struct Sink {
  char* out;
  size_t room;
  size_t length = 0;

  void put(char c) {
    if (length < room) out[length] = c;
    length++;
  }
  void pad(char c, int count) {
    for (; count > 0; --count) put(c);
  }
  void text(const char* from, size_t size) {
    for (size_t i = 0; i < size; ++i) put(from[i]);
  }
};

struct Spec {
  bool left = false, zero = false, alternate = false, plus = false;
  int width = 0, precision = -1;
  int longs = 0;  // l: 1, ll, z, j, t: 2; h: -1, hh: -2
};

uint64_t unsigned_argument(const Spec& spec, va_list& arguments) {
  if (spec.longs >= 1) return va_arg(arguments, unsigned long);
  unsigned value = va_arg(arguments, unsigned);
  if (spec.longs == -1) return static_cast<unsigned short>(value);
  if (spec.longs == -2) return static_cast<unsigned char>(value);
  return value;
}

int64_t signed_argument(const Spec& spec, va_list& arguments) {
  if (spec.longs >= 1) return va_arg(arguments, long);
  int value = va_arg(arguments, int);
  if (spec.longs == -1) return static_cast<short>(value);
  if (spec.longs == -2) return static_cast<signed char>(value);
  return value;
}

void put_number(Sink& sink, const Spec& spec, uint64_t value, unsigned base, bool upper,
                const char* sign) {
  const char* digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  char text[24];
  int size = 0;
  for (; value != 0; value /= base) text[size++] = digits[value % base];
  int wanted = spec.precision < 0 ? 1 : spec.precision;
  int zeros = wanted > size ? wanted - size : 0;
  int sign_size = static_cast<int>(::strlen(sign));
  int fill = spec.width - size - zeros - sign_size;
  if (spec.zero && !spec.left && spec.precision < 0 && fill > 0) zeros += fill, fill = 0;
  if (!spec.left) sink.pad(' ', fill);
  sink.text(sign, static_cast<size_t>(sign_size));
  sink.pad('0', zeros);
  while (size > 0) sink.put(text[--size]);
  if (spec.left) sink.pad(' ', fill);
}

void put_string(Sink& sink, const Spec& spec, const char* text) {
  if (text == nullptr) text = "(null)";
  size_t size =
      spec.precision < 0 ? ::strlen(text) : ::strnlen(text, static_cast<size_t>(spec.precision));
  int fill = spec.width - static_cast<int>(size);
  if (!spec.left) sink.pad(' ', fill);
  sink.text(text, size);
  if (spec.left) sink.pad(' ', fill);
}

int read_count(const char*& at, va_list& arguments) {
  if (*at == '*') return ++at, va_arg(arguments, int);
  int value = 0;
  for (; *at >= '0' && *at <= '9'; ++at) value = value * 10 + (*at - '0');
  return value;
}

Spec read_spec(const char*& at, va_list& arguments) {
  Spec spec;
  for (;; ++at) {
    if (*at == '-')
      spec.left = true;
    else if (*at == '0')
      spec.zero = true;
    else if (*at == '#')
      spec.alternate = true;
    else if (*at == '+')
      spec.plus = true;
    else
      break;
  }
  spec.width = read_count(at, arguments);
  if (spec.width < 0) spec.left = true, spec.width = -spec.width;
  if (*at == '.') spec.precision = read_count(++at, arguments);
  for (;; ++at) {
    if (*at == 'l')
      spec.longs++;
    else if (*at == 'h')
      spec.longs--;
    else if (*at == 'z' || *at == 'j' || *at == 't')
      spec.longs = 2;
    else
      return spec;
  }
}

// Everything but floating point, wide characters and %n, which nothing here uses: better to end
// than to write something else.
void put_conversion(Sink& sink, const char*& at, va_list& arguments) {
  Spec spec = read_spec(at, arguments);
  char kind = *at++;
  switch (kind) {
    case '%':
      return sink.put('%');
    case 'c': {
      char c = static_cast<char>(va_arg(arguments, int));
      spec.precision = 1;
      if (!spec.left) sink.pad(' ', spec.width - 1);
      sink.put(c);
      if (spec.left) sink.pad(' ', spec.width - 1);
      return;
    }
    case 's':
      return put_string(sink, spec, va_arg(arguments, const char*));
    case 'd':
    case 'i': {
      int64_t value = signed_argument(spec, arguments);
      uint64_t size = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
      return put_number(sink, spec, size, 10, false, value < 0 ? "-" : spec.plus ? "+" : "");
    }
    case 'u':
      return put_number(sink, spec, unsigned_argument(spec, arguments), 10, false, "");
    case 'o':
      return put_number(sink, spec, unsigned_argument(spec, arguments), 8, false, "");
    case 'x':
    case 'X': {
      uint64_t value = unsigned_argument(spec, arguments);
      const char* sign = !spec.alternate || value == 0 ? "" : kind == 'X' ? "0X" : "0x";
      return put_number(sink, spec, value, 16, kind == 'X', sign);
    }
    case 'p':
      return put_number(sink, spec, reinterpret_cast<uintptr_t>(va_arg(arguments, void*)), 16,
                        false, "0x");
    default:
      (void)!::write(2, kUnknown, sizeof kUnknown - 1);
      ::abort();
  }
}

}  // namespace

size_t format_text(char* out, size_t room, const char* pattern, va_list& arguments) {
  Sink sink{out, room > 0 ? room - 1 : 0};
  while (*pattern != '\0') {
    if (*pattern != '%')
      sink.put(*pattern++);
    else
      put_conversion(sink, ++pattern, arguments);
  }
  if (room > 0) out[sink.length < room - 1 ? sink.length : room - 1] = '\0';
  return sink.length;
}

uint64_t read_whole(const char* text, char** end, int base, bool& negative, bool& overflow) {
  const char* at = text;
  while (*at == ' ' || (*at >= '\t' && *at <= '\r')) ++at;
  negative = *at == '-';
  if (*at == '-' || *at == '+') ++at;
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'z') return c - 'a' + 10;
    if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
    return 99;
  };
  bool hex = at[0] == '0' && (at[1] == 'x' || at[1] == 'X') && digit(at[2]) < 16;
  if ((base == 0 || base == 16) && hex)
    base = 16, at += 2;
  else if (base == 0)
    base = *at == '0' ? 8 : 10;
  uint64_t value = 0;
  const char* first = at;
  overflow = false;
  for (; digit(*at) < base; ++at) {
    overflow |= __builtin_mul_overflow(value, static_cast<uint64_t>(base), &value);
    overflow |= __builtin_add_overflow(value, static_cast<uint64_t>(digit(*at)), &value);
  }
  if (end != nullptr) *end = const_cast<char*>(at == first ? text : at);
  return value;
}

}  // namespace stack
