#include "resident.h"

#include <stdint.h>
#include <sys/mman.h>

// The linker's: where the program starts, and where what is never written ends (ld(1)).
extern "C" const char __executable_start;
extern "C" const char __etext;

namespace stack {

void release_program_pages() {
  constexpr uintptr_t kPage = 4096;
  uintptr_t start = reinterpret_cast<uintptr_t>(&__executable_start) & ~(kPage - 1);
  uintptr_t end = reinterpret_cast<uintptr_t>(&__etext) & ~(kPage - 1);
  if (start < end) ::madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);
}

}  // namespace stack
