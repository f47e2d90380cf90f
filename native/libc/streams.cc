// What a program without locales, translations, streams and exceptions needs of the C library.
//
// A static program that uses one printf, or merely malloc, gets glibc's streams, and with them wide
// characters, character sets, a loader for their modules, and translations: 400 KB that every
// container's monitor and init would map. The definitions here are found before the library's, so
// that those parts are never linked. All are weak: should a library of another version need the
// real one for something else, the linker takes that, and the program is only larger.
//
// Whatever a program leaves out altogether is in absent.cc, strings are in strings.cc. Not with
// sanitizers, which have versions of their own; nor with link-time optimisation, which takes the
// names of the C library for what it knows them to be.
#ifndef __SANITIZE_ADDRESS__

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../runtime/format_text.h"

#define WEAK __attribute__((weak, used))

// No <stdio.h>, whose declarations would redirect these names; what it calls FILE is opaque here.
using File = void;

namespace {

[[noreturn]] void give_up(const char* why) {
  (void)!::write(2, why, ::strlen(why));
  (void)!::write(2, "\n", 1);
  ::abort();
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
  size_t size = stack::format_text(small, sizeof small, pattern, arguments);
  if (size < sizeof small) {
    write_all(fd, small, size);
  } else if (char* large = static_cast<char*>(::malloc(size + 1)); large != nullptr) {
    (void)stack::format_text(large, size + 1, pattern, again);
    write_all(fd, large, size);
    ::free(large);
  }
  va_end(again);
  return static_cast<int>(size);
}

long read_signed(const char* text, char** end, int base) {
  bool negative, overflow;
  uint64_t value = stack::read_whole(text, end, base, negative, overflow);
  uint64_t limit = static_cast<uint64_t>(LONG_MAX) + (negative ? 1 : 0);
  if (overflow || value > limit) return errno = ERANGE, negative ? LONG_MIN : LONG_MAX;
  return static_cast<long>(negative ? 0 - value : value);
}

unsigned long read_unsigned(const char* text, char** end, int base) {
  bool negative, overflow;
  uint64_t value = stack::read_whole(text, end, base, negative, overflow);
  if (overflow) return errno = ERANGE, ULONG_MAX;
  return negative ? 0 - value : value;
}

}  // namespace

extern "C" {

// Standard output and error as what they are: descriptors.
WEAK File* stdin = nullptr;
WEAK File* stdout = reinterpret_cast<File*>(1);
WEAK File* stderr = reinterpret_cast<File*>(2);

static int descriptor(File* file) { return static_cast<int>(reinterpret_cast<intptr_t>(file)); }

WEAK int vsnprintf(char* out, size_t room, const char* pattern, va_list given) {
  va_list arguments;
  va_copy(arguments, given);
  size_t size = stack::format_text(out, room, pattern, arguments);
  va_end(arguments);
  return static_cast<int>(size);
}

WEAK int snprintf(char* out, size_t room, const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  size_t size = stack::format_text(out, room, pattern, arguments);
  va_end(arguments);
  return static_cast<int>(size);
}
WEAK int __snprintf(char* out, size_t room, const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  size_t size = stack::format_text(out, room, pattern, arguments);
  va_end(arguments);
  return static_cast<int>(size);
}

WEAK int sprintf(char* out, const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  size_t size = stack::format_text(out, SIZE_MAX / 2, pattern, arguments);
  va_end(arguments);
  return static_cast<int>(size);
}

// What these become where the compiler checks the room by itself (_FORTIFY_SOURCE, Ubuntu's
// default).
WEAK int __vsnprintf_chk(char* out, size_t room, int, size_t real, const char* pattern,
                         va_list given) {
  if (room > real) give_up("buffer overflow detected");
  return vsnprintf(out, room, pattern, given);
}
WEAK int __snprintf_chk(char* out, size_t room, int, size_t real, const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  int size = __vsnprintf_chk(out, room, 0, real, pattern, arguments);
  va_end(arguments);
  return size;
}
WEAK int __fprintf_chk(File* file, int, const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  int size = format_to(descriptor(file), pattern, arguments);
  va_end(arguments);
  return size;
}
WEAK int __printf_chk(int, const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  int size = format_to(1, pattern, arguments);
  va_end(arguments);
  return size;
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
WEAK char* __dcgettext(const char*, const char* message, int) { return const_cast<char*>(message); }
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

// zstd's decoders for formats from before its first stable release (2016), in no image: such a
// frame is an error (ZSTD_error_version_unsupported).
constexpr size_t kUnsupported = static_cast<size_t>(-12);
#define NO_OLD_ZSTD(version)                                                                       \
  WEAK void* ZSTDv##version##_createDCtx() { return nullptr; }                                     \
  WEAK size_t ZSTDv##version##_freeDCtx(void*) { return 0; }                                       \
  WEAK size_t ZSTDv##version##_getFrameParams(void*, const void*, size_t) { return kUnsupported; } \
  WEAK size_t ZSTDv##version##_decompress_usingDict(void*, void*, size_t, const void*, size_t,     \
                                                    const void*, size_t) {                         \
    return kUnsupported;                                                                           \
  }                                                                                                \
  WEAK void ZSTDv##version##_findFrameSizeInfoLegacy(const void*, size_t, size_t* size,            \
                                                     unsigned long long*) {                        \
    *size = kUnsupported;                                                                          \
  }                                                                                                \
  WEAK void* ZBUFFv##version##_createDCtx() { return nullptr; }                                    \
  WEAK size_t ZBUFFv##version##_freeDCtx(void*) { return 0; }                                      \
  WEAK size_t ZBUFFv##version##_decompressInitDictionary(void*, const void*, size_t) {             \
    return kUnsupported;                                                                           \
  }                                                                                                \
  WEAK size_t ZBUFFv##version##_decompressContinue(void*, void*, size_t*, const void*, size_t*) {  \
    return kUnsupported;                                                                           \
  }
NO_OLD_ZSTD(04)
NO_OLD_ZSTD(05)
NO_OLD_ZSTD(06)
NO_OLD_ZSTD(07)

}  // extern "C"

// Memory that runs out ends the program: nothing here could go on without.
WEAK void* operator new(size_t size) {
  void* memory = ::malloc(size > 0 ? size : 1);
  if (memory == nullptr) give_up("out of memory");
  return memory;
}
WEAK void* operator new[](size_t size) { return operator new(size); }
WEAK void operator delete(void* memory) noexcept { ::free(memory); }
WEAK void operator delete[](void* memory) noexcept { ::free(memory); }
WEAK void operator delete(void* memory, size_t) noexcept { ::free(memory); }
WEAK void operator delete[](void* memory, size_t) noexcept { ::free(memory); }

#endif
