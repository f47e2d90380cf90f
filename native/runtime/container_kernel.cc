#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include "container_state.h"
#include "fs.h"
#include "mount.h"

// Host and domain name, sysctls.

namespace stack {

namespace {

/** Which namespace makes a sysctl the container's own; 0: none, it is the whole machine's. */
int namespace_of_sysctl(const std::string& path) {
  constexpr const char* kIpc[] = {
      "kernel/msgmax",      "kernel/msgmnb",      "kernel/msgmni",      "kernel/sem",
      "kernel/shmall",      "kernel/shmmax",      "kernel/shmmni",      "kernel/shm_rmid_forced",
      "kernel/shm_next_id", "kernel/msg_next_id", "kernel/sem_next_id", "kernel/auto_msgmni"};
  for (const char* name : kIpc) {
    if (path == name) return CLONE_NEWIPC;
  }
  if (path.starts_with("fs/mqueue/")) return CLONE_NEWIPC;
  if (path.starts_with("net/")) return CLONE_NEWNET;
  if (path == "kernel/hostname" || path == "kernel/domainname") return CLONE_NEWUTS;
  if (path.starts_with("user/")) return CLONE_NEWUSER;
  return 0;
}

Failure at_sysctl(const std::string& key, std::string why, int err, const char* call = "") {
  return Failure{"sysctl " + key, call, err, key, std::move(why)};
}

/** "net.ipv4.ip_forward" or with slashes, as sysctl(8): the first separator decides. */
std::string sysctl_path(const std::string& key) {
  std::string path = key;
  size_t separator = key.find_first_of("./");
  if (separator != std::string::npos && key[separator] == '/') return path;
  for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
  return path;
}

Status set_sysctl(ChildState& state, const std::string& key, const std::string& value) {
  std::string path = sysctl_path(key);
  if (("/" + path + "/").find("/../") != std::string::npos) {
    return at_sysctl(key, key + " is not the name of a sysctl", EINVAL);
  }
  int space = namespace_of_sysctl(path);
  if (space == 0) {
    return at_sysctl(key, key + " belongs to the whole machine, not to a namespace", EINVAL);
  }
  bool own_network = space == CLONE_NEWNET && state.options->netns_fd >= 0;
  if (!own_network && state.config->find_namespace(space) == nullptr) {
    return at_sysctl(key, key + " needs a namespace of its own, which this container has not",
                     EINVAL);
  }
  int proc = TRY(private_proc(state));
  auto fd = open_in_root(proc, "sys/" + path, O_WRONLY);
  if (!fd.ok()) return at_sysctl(key, key + ": " + error_text(fd.failure().err), fd.failure().err, "openat2");
  if (::write(fd->get(), value.data(), value.size()) < 0) {
    return at_sysctl(key, key + " = " + value + ": " + error_text(errno), errno, "write");
  }
  return ok();
}

}  // namespace

Result<int> private_proc(ChildState& state) {
  if (!state.private_proc) {
    // Never attached anywhere: nothing in the container can cover what we write to
    // (CVE-2025-52881).
    FsContext context = TRY(FsContext::open("proc"));
    state.private_proc =
        TRY(context.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  }
  return state.private_proc.get();
}

Status set_names_and_sysctls(ChildState& state) {
  const OciConfig& config = *state.config;
  if (!config.hostname.empty() &&
      ::sethostname(config.hostname.data(), config.hostname.size()) != 0) {
    return sys_fail("hostname", "sethostname", config.hostname);
  }
  if (!config.domainname.empty() &&
      ::setdomainname(config.domainname.data(), config.domainname.size()) != 0) {
    return sys_fail("domainname", "setdomainname", config.domainname);
  }
  for (const auto& [key, value] : config.sysctl) TRY(set_sysctl(state, key, value));
  return ok();
}

}  // namespace stack
