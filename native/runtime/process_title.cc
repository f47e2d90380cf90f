#include "process_title.h"

#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace stack {

namespace {

struct Region {
  char* start = nullptr;
  char* end = nullptr;
};

// The strings lie one behind the other, as the kernel laid them (fs/binfmt_elf.c,
// create_elf_tables).
Region region_of(char** strings) {
  if (strings == nullptr || strings[0] == nullptr) return {};
  char** last = strings;
  while (last[1] != nullptr) ++last;
  return {strings[0], *last + ::strlen(*last) + 1};
}

Region arguments;
Region environment;

}  // namespace

void remember_title(char** argv) {
  arguments = region_of(argv);
  environment = region_of(environ);
}

void forget_environment() {
  static char* none[] = {nullptr};
  environ = none;
  if (environment.start != nullptr)
    ::memset(environment.start, 0, static_cast<size_t>(environment.end - environment.start));
}

void set_title(const char* title) {
  ::prctl(PR_SET_NAME, title, 0, 0, 0);
  if (arguments.start == nullptr) return;
  // A last byte that is not zero would make the kernel show the environment too (proc_pid_cmdline).
  const auto room = static_cast<size_t>(arguments.end - arguments.start) - 1;
  set_arguments({std::string_view(title).substr(0, room)});
}

void set_arguments(std::initializer_list<std::string_view> words) {
  if (arguments.start == nullptr) return;
  auto room = static_cast<size_t>(arguments.end - arguments.start);
  ::memset(arguments.start, 0, room);
  size_t at = 0;
  for (std::string_view word : words) {
    if (at + word.size() + 1 > room) return;  // a word is shown whole or not at all
    ::memcpy(arguments.start + at, word.data(), word.size());
    at += word.size() + 1;
  }
}

}  // namespace stack
