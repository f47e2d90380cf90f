#include "container_state.h"
#include "mount.h"

// Mount options: config.md "Mounts" (Linux), its table of options that the runtime must know.

namespace stack {

namespace {

struct FlagOption {
  const char* name;
  uint64_t set;
  uint64_t clear;
};
constexpr FlagOption kFlags[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", 0, MOUNT_ATTR__ATIME},
    {"relatime", 0, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", 0, MOUNT_ATTR__ATIME},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
};

struct PropagationOption {
  const char* name;
  uint64_t flag;
};
constexpr PropagationOption kPropagation[] = {{"private", MS_PRIVATE},
                                              {"slave", MS_SLAVE},
                                              {"shared", MS_SHARED},
                                              {"unbindable", MS_UNBINDABLE}};

// Meant for mount(8) or the file system at large; nothing to do here.
constexpr const char* kWithoutMeaning[] = {"defaults", "nomand", "async",   "noiversion",
                                           "loud",     "silent", "_netdev", "nofail",
                                           "auto",     "noauto", "user",    "nouser"};
constexpr const char* kSuperFlags[] = {"sync", "dirsync", "lazytime", "mand", "iversion"};

/** The later option wins. */
void add_flag(uint64_t& set, uint64_t& clear, const FlagOption& option) {
  set = (set & ~option.clear) | option.set;
  clear = (clear & ~option.set) | option.clear;
}

bool take_flag(MountOptions& out, std::string_view text) {
  for (const FlagOption& option : kFlags) {
    if (text == option.name) {
      add_flag(out.set, out.clear, option);
      return true;
    }
  }
  // "relatime" was found above, so that an "r" in front now means the recursive form.
  for (const FlagOption& option : kFlags) {
    if (text.size() > 1 && text[0] == 'r' && text.substr(1) == option.name) {
      add_flag(out.recursive_set, out.recursive_clear, option);
      return true;
    }
  }
  for (const PropagationOption& option : kPropagation) {
    bool recursive = text.size() > 1 && text[0] == 'r' && text.substr(1) == option.name;
    if (text != option.name && !recursive) continue;
    out.propagation = option.flag;
    out.propagation_recursive = recursive;
    return true;
  }
  return false;
}

bool take_word(MountOptions& out, std::string_view text) {
  if (text == "bind" || text == "rbind") {
    out.bind = true;
    out.recursive = out.recursive || text == "rbind";
  } else if (text == "remount") {
    out.remount = true;
  } else if (text == "tmpcopyup") {
    out.copy_up = true;
  } else if (text == "idmap" || text == "ridmap") {
    out.idmap = true;
    out.idmap_recursive = text == "ridmap";
  } else if (text == "src-nofollow" || text == "copy-symlink") {
    out.source_nofollow = true;
  } else {
    return false;
  }
  return true;
}

}  // namespace

MountOptions parse_mount_options(const std::vector<std::string>& options) {
  MountOptions out;
  for (const std::string& text : options) {
    if (take_flag(out, text) || take_word(out, text)) continue;
    bool known = text.empty() || text.starts_with("x-");
    for (const char* word : kWithoutMeaning) known = known || text == word;
    for (const char* word : kSuperFlags) {
      if (text != word) continue;
      out.super_flags.push_back(text);
      known = true;
    }
    if (known) continue;
    if (!out.data.empty()) out.data += ",";
    out.data += text;
  }
  return out;
}

}  // namespace stack
