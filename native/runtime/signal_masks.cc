#include "signal_masks.h"

#include <dirent.h>
#include <stdlib.h>

#include <string>

#include "fs.h"

namespace stack {

bool status_sees_signal(std::string_view status, int signal) {
  unsigned long long bit = 1ull << (signal - 1);
  for (std::string_view field :
       {std::string_view("\nSigBlk:\t"), std::string_view("\nSigCgt:\t")}) {
    size_t at = status.find(field);
    if (at == std::string_view::npos) return true;
    std::string digits(status.substr(at + field.size(), 16));
    if ((::strtoull(digits.c_str(), nullptr, 16) & bit) != 0) return true;
  }
  return false;
}

bool signal_is_seen(pid_t pid, int signal) {
  if (signal < 1 || signal > 64) return true;
  std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  DIR* directory = ::opendir(tasks.c_str());
  if (directory == nullptr) return true;
  bool seen = false;
  while (dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    auto status = read_file(tasks + "/" + entry->d_name + "/status", 65536);
    if (status && status_sees_signal(*status, signal)) {
      seen = true;
      break;
    }
  }
  ::closedir(directory);
  return seen;
}

}  // namespace stack
