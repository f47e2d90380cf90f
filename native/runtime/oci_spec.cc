#include <fcntl.h>
#include <sys/stat.h>

#include "fs.h"
#include "oci_verbs.h"

// spec and features: what a configuration may look like, and what this runtime can do
// (features.md of the runtime specification).

namespace stack {

namespace {

Json list(std::initializer_list<const char*> words) {
  Json out = Json::array();
  for (const char* word : words) out.push(word);
  return out;
}

Json mount(const char* destination, const char* type, const char* source,
           std::initializer_list<const char*> options) {
  Json out = Json::object();
  out.set("destination", destination)
      .set("type", type)
      .set("source", source)
      .set("options", list(options));
  return out;
}

Json example_mounts() {
  Json out = Json::array();
  out.push(mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}))
      .push(mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}))
      .push(mount("/dev/pts", "devpts", "devpts",
                  {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}))
      .push(mount("/dev/shm", "tmpfs", "shm",
                  {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}))
      .push(mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}))
      .push(mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}))
      .push(mount("/sys/fs/cgroup", "cgroup", "cgroup",
                  {"nosuid", "noexec", "nodev", "relatime", "ro"}));
  return out;
}

Json example_process() {
  Json user = Json::object(), capabilities = Json::object(), out = Json::object();
  user.set("uid", 0).set("gid", 0);
  Json names = list({"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"});
  for (const char* set : {"bounding", "effective", "permitted"}) capabilities.set(set, names);
  out.set("terminal", true)
      .set("user", std::move(user))
      .set("args", list({"sh"}))
      .set("env", list({"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                        "TERM=xterm"}))
      .set("cwd", "/")
      .set("capabilities", std::move(capabilities))
      .set("noNewPrivileges", true);
  return out;
}

Json example_linux() {
  Json namespaces = Json::array();
  std::vector<const char*> types = {"pid", "network", "ipc", "uts", "mount"};
  // As runc: only where one hierarchy is all there is.
  if (exists("/sys/fs/cgroup/cgroup.controllers")) types.push_back("cgroup");
  for (const char* type : types) {
    Json entry = Json::object();
    entry.set("type", type);
    namespaces.push(std::move(entry));
  }
  Json deny = Json::object(), devices = Json::array(), resources = Json::object(),
       out = Json::object();
  deny.set("allow", false).set("access", "rwm");
  devices.push(std::move(deny));
  resources.set("devices", std::move(devices));
  out.set("resources", std::move(resources))
      .set("namespaces", std::move(namespaces))
      .set("maskedPaths", list({"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore",
                                "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                                "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                                "/sys/firmware", "/sys/devices/virtual/powercap"}))
      .set("readonlyPaths",
           list({"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}));
  return out;
}

Json enabled(bool value) {
  Json out = Json::object();
  out.set("enabled", value);
  return out;
}

Json linux_features() {
  Json out = Json::object(), capabilities = Json::array(), cgroup = Json::object(),
       seccomp = Json::object(), extensions = Json::object();
  for (const std::string& name : capability_names()) capabilities.push(name);
  out.set("namespaces", list({"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}));
  out.set("capabilities", std::move(capabilities));
  cgroup.set("v1", true)
      .set("v2", true)
      .set("systemd", false)
      .set("systemdUser", false)
      .set("rdma", true);
  out.set("cgroup", std::move(cgroup));
  seccomp.set("enabled", true)
      .set("actions", list({"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL",
                            "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
                            "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"}))
      .set("operators", list({"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE",
                              "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"}))
      .set("knownFlags",
           list({"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                 "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}));
  out.set("seccomp", std::move(seccomp));
  out.set("apparmor", enabled(exists("/sys/module/apparmor/parameters/enabled")));
  out.set("selinux", enabled(exists("/sys/fs/selinux/enforce")));
  out.set("intelRdt", enabled(false));
  extensions.set("idmap", enabled(true));
  out.set("mountExtensions", std::move(extensions));
  return out;
}

}  // namespace

Result<int> oci_spec(const OciGlobals&, const std::vector<std::string>& args) {
  OciArgs parsed = TRY(OciArgs::parse(args, {{"bundle", "b", true}, {"rootless", "", false}}));
  if (parsed.has("rootless"))
    return fail("arguments", "--rootless is not supported by spec", ENOTSUP);
  Json root = Json::object(), out = Json::object();
  root.set("path", "rootfs").set("readonly", true);
  out.set("ociVersion", "1.3.0")
      .set("process", example_process())
      .set("root", std::move(root))
      .set("hostname", "stack")
      .set("mounts", example_mounts())
      .set("linux", example_linux());
  std::string path = parsed.get("bundle", ".") + "/config.json";
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!fd && errno == EEXIST) return fail("spec", path + " exists already", EEXIST, path);
  if (!fd) return sys_fail("spec", "open", path);
  TRY(write_all(fd.get(), out.pretty() + "\n"));
  return 0;
}

Result<int> oci_features(const OciGlobals&, const std::vector<std::string>&) {
  Json out = Json::object(), linux_part = linux_features();
  Json annotations = linux_part["annotations"];
  Json cleaned = Json::object();
  for (const auto& [key, value] : linux_part.members()) {
    if (key != "annotations") cleaned.set(key, value);
  }
  out.set("ociVersionMin", "1.0.0")
      .set("ociVersionMax", "1.3.0")
      .set("hooks", list({"prestart", "createRuntime", "createContainer", "startContainer",
                          "poststart", "poststop"}))
      .set("mountOptions", list({"async",
                                 "atime",
                                 "bind",
                                 "defaults",
                                 "dev",
                                 "diratime",
                                 "dirsync",
                                 "exec",
                                 "idmap",
                                 "iversion",
                                 "lazytime",
                                 "loud",
                                 "mand",
                                 "noatime",
                                 "nodev",
                                 "nodiratime",
                                 "noexec",
                                 "noiversion",
                                 "nomand",
                                 "norelatime",
                                 "nostrictatime",
                                 "nosuid",
                                 "nosymfollow",
                                 "private",
                                 "ratime",
                                 "rbind",
                                 "rdev",
                                 "rdiratime",
                                 "relatime",
                                 "remount",
                                 "rexec",
                                 "ridmap",
                                 "rnoatime",
                                 "rnodev",
                                 "rnodiratime",
                                 "rnoexec",
                                 "rnorelatime",
                                 "rnostrictatime",
                                 "rnosuid",
                                 "rnosymfollow",
                                 "ro",
                                 "rprivate",
                                 "rrelatime",
                                 "rro",
                                 "rrw",
                                 "rshared",
                                 "rslave",
                                 "rstrictatime",
                                 "rsuid",
                                 "rsymfollow",
                                 "runbindable",
                                 "rw",
                                 "shared",
                                 "silent",
                                 "slave",
                                 "strictatime",
                                 "suid",
                                 "symfollow",
                                 "sync",
                                 "tmpcopyup",
                                 "unbindable"}))
      .set("linux", std::move(cleaned))
      .set("annotations", std::move(annotations));
  (void)write_all(1, out.pretty() + "\n").ok();
  return 0;
}

}  // namespace stack
