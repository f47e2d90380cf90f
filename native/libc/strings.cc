// Functions on strings, for short strings: glibc's are eight versions of each, one per kind of
// processor, 60 KB together, of which a program uses a few hundred times one on a name or a path.
// What works on much data (memcpy, memchr, strlen …) is glibc's. Weak: see streams.cc.
#ifndef __SANITIZE_ADDRESS__

#include <stddef.h>

// Without the optimisation that would recognise strlen() and its kin in their own loops.
#define WEAK __attribute__((weak, used, optimize("no-tree-loop-distribute-patterns")))

// No <string.h>: it says how these names are to be overloaded and inlined.
extern "C" {

static int difference(char a, char b) {
  return static_cast<int>(static_cast<unsigned char>(a)) -
         static_cast<int>(static_cast<unsigned char>(b));
}

WEAK int strcmp(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return difference(*a, *b);
}

WEAK int strncmp(const char* a, const char* b, size_t size) {
  for (; size > 0; ++a, ++b, --size) {
    if (*a == '\0' || *a != *b) return difference(*a, *b);
  }
  return 0;
}

WEAK char* stpcpy(char* to, const char* from) {
  while ((*to = *from) != '\0') ++to, ++from;
  return to;
}
WEAK char* __stpcpy(char* to, const char* from) { return stpcpy(to, from); }
WEAK char* strcpy(char* to, const char* from) {
  stpcpy(to, from);
  return to;
}

WEAK char* strchrnul(const char* text, int c) {
  while (*text != '\0' && *text != static_cast<char>(c)) ++text;
  return const_cast<char*>(text);
}
WEAK char* __strchrnul(const char* text, int c) { return strchrnul(text, c); }
WEAK char* strchr(const char* text, int c) {
  char* found = strchrnul(text, c);
  return *found == static_cast<char>(c) ? found : nullptr;
}
WEAK char* index(const char* text, int c) { return strchr(text, c); }

WEAK char* strrchr(const char* text, int c) {
  const char* found = nullptr;
  for (;; ++text) {
    if (*text == static_cast<char>(c)) found = text;
    if (*text == '\0') return const_cast<char*>(found);
  }
}
WEAK char* rindex(const char* text, int c) { return strrchr(text, c); }

WEAK void* rawmemchr(const void* data, int c) {
  const char* at = static_cast<const char*>(data);
  while (*at != static_cast<char>(c)) ++at;
  return const_cast<char*>(at);
}
WEAK void* __rawmemchr(const void* data, int c) { return rawmemchr(data, c); }

WEAK size_t strnlen(const char* text, size_t limit) {
  size_t size = 0;
  while (size < limit && text[size] != '\0') ++size;
  return size;
}
WEAK size_t __strnlen(const char* text, size_t limit) { return strnlen(text, limit); }

WEAK size_t strcspn(const char* text, const char* stops) {
  size_t size = 0;
  while (text[size] != '\0' && strchr(stops, text[size]) == nullptr) ++size;
  return size;
}

WEAK char* strstr(const char* text, const char* part) {
  for (;; ++text) {
    size_t same = 0;
    while (part[same] != '\0' && text[same] == part[same]) ++same;
    if (part[same] == '\0') return const_cast<char*>(text);
    if (*text == '\0') return nullptr;
  }
}

}  // extern "C"

#endif
