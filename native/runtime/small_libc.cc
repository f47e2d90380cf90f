// What a program without locales, translations, streams and exceptions needs of the C library.
//
// A static program that uses one printf, or merely malloc, gets glibc's streams, and with them wide
// characters, character sets, a loader for their modules, and translations: 400 KB that every
// container's monitor and init would map. The definitions here are found before the library's, so
// that those parts are never linked. All are weak: should a library of another version need the
// real one for something else, the linker takes that, and the program is only larger.
//
// Not with sanitizers, which have versions of their own.
#ifndef __SANITIZE_ADDRESS__

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <typeinfo>

#define WEAK __attribute__((weak, used))

// No <stdio.h>, whose declarations would redirect these names; what it calls FILE is opaque here.
using File = void;

namespace {

[[noreturn]] void give_up(const char* why) {
  (void)!::write(2, why, ::strlen(why));
  (void)!::write(2, "\n", 1);
  ::abort();
}

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
  size_t size = spec.precision < 0 ? ::strlen(text)
                                   : ::strnlen(text, static_cast<size_t>(spec.precision));
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
    if (*at == '-') spec.left = true;
    else if (*at == '0') spec.zero = true;
    else if (*at == '#') spec.alternate = true;
    else if (*at == '+') spec.plus = true;
    else break;
  }
  spec.width = read_count(at, arguments);
  if (spec.width < 0) spec.left = true, spec.width = -spec.width;
  if (*at == '.') spec.precision = read_count(++at, arguments);
  for (;; ++at) {
    if (*at == 'l') spec.longs++;
    else if (*at == 'h') spec.longs--;
    else if (*at == 'z' || *at == 'j' || *at == 't') spec.longs = 2;
    else return spec;
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
      give_up("format: a conversion that small_libc.cc does not have");
  }
}

size_t format(char* out, size_t room, const char* pattern, va_list& arguments) {
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

void write_all(int fd, const char* text, size_t size) {
  while (size > 0) {
    ssize_t n = ::write(fd, text, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text += n, size -= static_cast<size_t>(n);
  }
}

int format_to(int fd, const char* pattern, va_list& arguments) {
  va_list again;
  va_copy(again, arguments);
  char small[512];
  size_t size = format(small, sizeof small, pattern, arguments);
  if (size < sizeof small) {
    write_all(fd, small, size);
  } else if (char* large = static_cast<char*>(::malloc(size + 1)); large != nullptr) {
    (void)format(large, size + 1, pattern, again);
    write_all(fd, large, size);
    ::free(large);
  }
  va_end(again);
  return static_cast<int>(size);
}

/** strtol and its kin: white space, sign, prefix, digits. `negative` and `overflow` are told. */
uint64_t read_number(const char* text, char** end, int base, bool& negative, bool& overflow) {
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

long read_signed(const char* text, char** end, int base) {
  bool negative, overflow;
  uint64_t value = read_number(text, end, base, negative, overflow);
  uint64_t limit = static_cast<uint64_t>(LONG_MAX) + (negative ? 1 : 0);
  if (overflow || value > limit) return errno = ERANGE, negative ? LONG_MIN : LONG_MAX;
  return static_cast<long>(negative ? 0 - value : value);
}

unsigned long read_unsigned(const char* text, char** end, int base) {
  bool negative, overflow;
  uint64_t value = read_number(text, end, base, negative, overflow);
  if (overflow) return errno = ERANGE, ULONG_MAX;
  return negative ? 0 - value : value;
}

}  // namespace

extern "C" {

// Standard output and error as what they are: descriptors.
WEAK File* stdin = nullptr;
WEAK File* stdout = reinterpret_cast<File*>(1);
WEAK File* stderr = reinterpret_cast<File*>(2);

static int descriptor(File* file) {
  return static_cast<int>(reinterpret_cast<intptr_t>(file));
}

WEAK int vsnprintf(char* out, size_t room, const char* pattern, va_list given) {
  va_list arguments;
  va_copy(arguments, given);
  size_t size = format(out, room, pattern, arguments);
  va_end(arguments);
  return static_cast<int>(size);
}

WEAK int snprintf(char* out, size_t room, const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  size_t size = format(out, room, pattern, arguments);
  va_end(arguments);
  return static_cast<int>(size);
}
WEAK int __snprintf(char* out, size_t room, const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  size_t size = format(out, room, pattern, arguments);
  va_end(arguments);
  return static_cast<int>(size);
}

WEAK int sprintf(char* out, const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  size_t size = format(out, SIZE_MAX / 2, pattern, arguments);
  va_end(arguments);
  return static_cast<int>(size);
}

WEAK int fprintf(File* file, const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  int size = format_to(descriptor(file), pattern, arguments);
  va_end(arguments);
  return size;
}

WEAK int printf(const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  int size = format_to(1, pattern, arguments);
  va_end(arguments);
  return size;
}

WEAK size_t fwrite(const void* data, size_t size, size_t count, File* file) {
  write_all(descriptor(file), static_cast<const char*>(data), size * count);
  return count;
}
WEAK size_t _IO_fwrite(const void* data, size_t size, size_t count, File* file) {
  return fwrite(data, size, count, file);
}

WEAK int fputs(const char* text, File* file) {
  write_all(descriptor(file), text, ::strlen(text));
  return 0;
}
WEAK int _IO_fputs(const char* text, File* file) { return fputs(text, file); }

WEAK int puts(const char* text) {
  write_all(1, text, ::strlen(text));
  write_all(1, "\n", 1);
  return 0;
}

WEAK int putchar(int c) {
  char byte = static_cast<char>(c);
  write_all(1, &byte, 1);
  return c;
}

WEAK int fputc(int c, File* file) {
  char byte = static_cast<char>(c);
  write_all(descriptor(file), &byte, 1);
  return c;
}

WEAK int fflush(File*) { return 0; }
WEAK int fclose(File* file) { return ::close(descriptor(file)); }
WEAK File* fdopen(int fd, const char*) {
  return reinterpret_cast<File*>(static_cast<intptr_t>(fd));
}
// malloc_info() alone, which nothing calls.
WEAK File* open_memstream(char**, size_t*) { return nullptr; }
WEAK File* __open_memstream(char**, size_t*) { return nullptr; }

WEAK long strtol(const char* text, char** end, int base) { return read_signed(text, end, base); }
WEAK long long strtoll(const char* text, char** end, int base) {
  return read_signed(text, end, base);
}
WEAK unsigned long strtoul(const char* text, char** end, int base) {
  return read_unsigned(text, end, base);
}
WEAK unsigned long long strtoull(const char* text, char** end, int base) {
  return read_unsigned(text, end, base);
}
WEAK int atoi(const char* text) { return static_cast<int>(read_signed(text, nullptr, 10)); }

// Messages in English.
WEAK char* __dcgettext(const char*, const char* message, int) {
  return const_cast<char*>(message);
}
WEAK char* dcgettext(const char*, const char* message, int) { return const_cast<char*>(message); }
WEAK char* gettext(const char* message) { return const_cast<char*>(message); }
WEAK char* __strerror_r(int error, char*, size_t) {
  const char* text = ::strerrordesc_np(error);
  return const_cast<char*>(text != nullptr ? text : "unknown error");
}
WEAK char* strerror(int error) { return __strerror_r(error, nullptr, 0); }

[[noreturn]] WEAK void __assert_fail(const char* assertion, const char*, unsigned, const char*) {
  give_up(assertion);
}

// zstd's decoders for formats from before its first stable release (2016), in no image: such a frame
// is an error (ZSTD_error_version_unsupported).
constexpr size_t kUnsupported = static_cast<size_t>(-12);
#define NO_OLD_ZSTD(version)                                                                    \
  WEAK void* ZSTDv##version##_createDCtx() { return nullptr; }                                  \
  WEAK size_t ZSTDv##version##_freeDCtx(void*) { return 0; }                                    \
  WEAK size_t ZSTDv##version##_getFrameParams(void*, const void*, size_t) { return kUnsupported; } \
  WEAK size_t ZSTDv##version##_decompress_usingDict(void*, void*, size_t, const void*, size_t,  \
                                                    const void*, size_t) {                      \
    return kUnsupported;                                                                        \
  }                                                                                             \
  WEAK void ZSTDv##version##_findFrameSizeInfoLegacy(const void*, size_t, size_t* size,         \
                                                     unsigned long long*) {                     \
    *size = kUnsupported;                                                                       \
  }                                                                                             \
  WEAK void* ZBUFFv##version##_createDCtx() { return nullptr; }                                 \
  WEAK size_t ZBUFFv##version##_freeDCtx(void*) { return 0; }                                   \
  WEAK size_t ZBUFFv##version##_decompressInitDictionary(void*, const void*, size_t) {          \
    return kUnsupported;                                                                        \
  }                                                                                             \
  WEAK size_t ZBUFFv##version##_decompressContinue(void*, void*, size_t*, const void*,          \
                                                   size_t*) {                                   \
    return kUnsupported;                                                                        \
  }
NO_OLD_ZSTD(04)
NO_OLD_ZSTD(05)
NO_OLD_ZSTD(06)
NO_OLD_ZSTD(07)

// Character classes of the locale: whoever brings isalpha() and its kin back brings the library's
// own, which wants a locale at once.
WEAK void __ctype_init() {}

// What fork() does to the streams.
WEAK File* _IO_iter_begin() { return nullptr; }
WEAK File* _IO_iter_end() { return nullptr; }
WEAK File* _IO_iter_next(File*) { return nullptr; }
WEAK File* _IO_iter_file(File*) { return nullptr; }
WEAK void _IO_list_lock() {}
WEAK void _IO_list_unlock() {}
WEAK void _IO_list_resetlock() {}

// A new thread's resolver, which none uses, and the locks of the streams, which there are not.
WEAK __thread void* __libc_resp = nullptr;
WEAK void _IO_enable_locks() {}

// Unwinding, by exceptions or by the cancellation of a thread: there is neither.
[[noreturn]] WEAK void __gxx_personality_v0() { give_up("an exception"); }
[[noreturn]] WEAK void _Unwind_Resume() { give_up("an exception"); }
[[noreturn]] WEAK void _Unwind_ForcedUnwind() { give_up("a cancellation"); }
WEAK unsigned long _Unwind_GetCFA(void*) { return 0; }

// libseccomp's listing of a filter for people.
WEAK int gen_pfc_generate(const void*, int) { return -ENOTSUP; }

}  // extern "C"

// Nothing is thrown: what the standard library would throw ends the program, without the unwinder
// and the tables that it needs.
namespace std {

[[noreturn]] WEAK void __throw_length_error(const char* what) { give_up(what); }
[[noreturn]] WEAK void __throw_logic_error(const char* what) { give_up(what); }
[[noreturn]] WEAK void __throw_out_of_range(const char* what) { give_up(what); }
[[noreturn]] WEAK void __throw_invalid_argument(const char* what) { give_up(what); }
[[noreturn]] WEAK void __throw_out_of_range_fmt(const char* what, ...) { give_up(what); }
[[noreturn]] WEAK void __throw_bad_alloc() { give_up("out of memory"); }
[[noreturn]] WEAK void __throw_bad_array_new_length() { give_up("out of memory"); }
[[noreturn]] WEAK void __throw_bad_function_call() { give_up("call of an empty function"); }
[[noreturn]] WEAK void __throw_system_error(int error) { give_up(::strerrordesc_np(error)); }
// What std::make_shared asks when there is no type information.
struct _Sp_make_shared_tag {
  static bool _S_eq(const type_info&) noexcept;
};
WEAK bool _Sp_make_shared_tag::_S_eq(const type_info&) noexcept { return false; }
[[noreturn]] WEAK void terminate() noexcept { ::abort(); }

}  // namespace std

WEAK void* operator new(size_t size) {
  void* memory = ::malloc(size > 0 ? size : 1);
  if (memory == nullptr) std::__throw_bad_alloc();
  return memory;
}
WEAK void* operator new[](size_t size) { return operator new(size); }
WEAK void operator delete(void* memory) noexcept { ::free(memory); }
WEAK void operator delete[](void* memory) noexcept { ::free(memory); }
WEAK void operator delete(void* memory, size_t) noexcept { ::free(memory); }
WEAK void operator delete[](void* memory, size_t) noexcept { ::free(memory); }

#endif
