// Parts of the C and C++ libraries that this program does without, as far as others of their parts
// name them: see streams.cc. Weak, too.
#ifndef __SANITIZE_ADDRESS__

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <typeinfo>

#define WEAK __attribute__((weak, used))

using File = void;

namespace {

[[noreturn]] void give_up(const char* why) {
  (void)!::write(2, why, ::strlen(why));
  (void)!::write(2, "\n", 1);
  ::abort();
}

}  // namespace

extern "C" {

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
[[noreturn]] WEAK void __gcc_personality_v0() { give_up("an exception"); }
[[noreturn]] WEAK void _Unwind_Resume() { give_up("an exception"); }
[[noreturn]] WEAK void _Unwind_ForcedUnwind() { give_up("a cancellation"); }
WEAK unsigned long _Unwind_GetCFA(void*) { return 0; }

// Loading shared objects, which a static program does for name services and character sets: the
// places to look in, and a stack that one of them wants to execute. Stacks are never executable.
WEAK void _dl_init_paths(const char*, const char*, const char*, const char*) {}
WEAK int __nptl_change_stack_perm(void*) { return EPERM; }

// Huge pages for malloc, which somebody may ask for in the environment: a few pages are all we
// have.
WEAK size_t __malloc_default_thp_pagesize() { return 0; }
WEAK int __malloc_thp_mode() { return 2; }  // malloc_thp_mode_not_supported
WEAK void __malloc_hugepage_config(size_t, size_t* size, int* flags) { *size = 0, *flags = 0; }

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

// What glibc calls at the start to make the tables that are ready now read-only. Its own needs the
// dynamic linker's relocations and its profiler; this one reads the program's headers itself.
WEAK void _dl_protect_relro(void*) {
  const auto* headers = reinterpret_cast<const ElfW(Phdr)*>(
      reinterpret_cast<const char*>(&__ehdr_start) + __ehdr_start.e_phoff);
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (unsigned i = 0; i < __ehdr_start.e_phnum; ++i) {
    if (headers[i].p_type != PT_GNU_RELRO) continue;
    uintptr_t start = headers[i].p_vaddr & ~(page - 1);
    uintptr_t end = (headers[i].p_vaddr + headers[i].p_memsz) & ~(page - 1);
    if (end <= start) continue;
    if (::mprotect(reinterpret_cast<void*>(start), end - start, PROT_READ) != 0)
      give_up("cannot protect relocated data");
  }
}

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

#endif
