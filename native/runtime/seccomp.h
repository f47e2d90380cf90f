#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <string>
#include <vector>

#include "json.h"
#include "result.h"

namespace stack {

/** A compiled `linux.seccomp`: a classic BPF program and the flags of seccomp(2). */
struct SeccompProgram {
  std::vector<sock_filter> instructions;  // empty: no filter
  uint32_t flags = 0;                     // SECCOMP_FILTER_FLAG_*
  std::string listener_path;              // SCMP_ACT_NOTIFY: who is told
  std::string listener_metadata;
  bool empty() const { return instructions.empty(); }
};

/**
 * Compiles, or takes the result of last time from `cache_dir` ("": no cache; a cached
 * program is used only if the configuration kept beside it is the same, byte for byte).
 * System calls newer than any that the profile names give ENOSYS where the default action is an
 * error or worse: C libraries fall back on ENOSYS only.
 */
Result<SeccompProgram> compile_seccomp(const Json& config, const std::string& cache_dir);

/** Needs no_new_privs or CAP_SYS_ADMIN. Returns the listener's descriptor with NOTIFY, else -1. */
Result<int> load_seccomp(const SeccompProgram& program);

}  // namespace stack
