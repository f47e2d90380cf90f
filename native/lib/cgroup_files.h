#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

// What the files of one cgroup's directory are read with; for cgroup*.cc alone.

namespace stack {

/** Without the blanks and line ends behind. */
std::string trimmed(std::string text);

/** Adds the processes of the cgroup at `directory` and of all below. */
void collect_processes(const std::string& directory, std::vector<pid_t>& out);

void for_each_child(const std::string& directory, auto&& visit) {
  DIR* stream = ::opendir(directory.c_str());
  if (stream == nullptr) return;
  while (dirent* entry = ::readdir(stream)) {
    std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..")
      visit(directory + "/" + entry->d_name);
  }
  ::closedir(stream);
}

}  // namespace stack
