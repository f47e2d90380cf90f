#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "fd.h"
#include "result.h"

namespace stack {

/**
 * Files, and paths inside a root that somebody hostile owns. In-root functions resolve by
 * openat2(2) with RESOLVE_IN_ROOT (absolute symlinks and ".." stay inside) and
 * RESOLVE_NO_MAGICLINKS; they never fall back to a path of the host.
 */

/** Opens `path` inside `root`; O_CLOEXEC is added. `resolve`: further RESOLVE_* flags. */
Result<UniqueFd> open_in_root(int root, const std::string& path, int flags, mode_t mode = 0,
                              uint64_t resolve = 0);
/** mkdir -p; returns the directory (O_PATH). Existing symlinks are followed inside the root. */
Result<UniqueFd> make_directories_in_root(int root, const std::string& path, mode_t mode = 0755);
/** The file at `path` (O_PATH), made empty with its parents if missing. */
Result<UniqueFd> make_file_in_root(int root, const std::string& path, mode_t mode = 0644);
/** Opens the parent directory (made if missing) and yields the last component. Fails for "/" and
 * "..". */
struct InRootEntry {
  UniqueFd parent;
  std::string name;
};
Result<InRootEntry> entry_in_root(int root, const std::string& path);

/** Reopens an O_PATH descriptor for use, through this process's own /proc/self/fd. */
Result<UniqueFd> reopen(int path_fd, int flags);

Result<std::string> read_file(const std::string& path, size_t limit = 64u << 20);
/** Writes to an existing file (sysfs, cgroupfs, procfs) in one write. */
Status write_existing(const std::string& path, std::string_view data);
Status write_existing_at(int dir, const std::string& path, std::string_view data);
/** Creates `path` or replaces it by rename; 0600 unless told. */
Status replace_file(const std::string& path, std::string_view data, mode_t mode = 0600);
Status make_directories(const std::string& path, mode_t mode = 0755);
/**
 * Removes a tree of any depth without following symlinks or crossing into what is mounted there (EXDEV).
 */
Status remove_tree(int parent, const std::string& name);
bool exists(const std::string& path);
/** The same where "it could not be told" must not pass for "it is not there". */
Result<bool> is_there(const std::string& path);

/** "/a//b/../c/." → "/a/c": lexically, always absolute. */
std::string clean_path(std::string_view path);

}  // namespace stack
