// Runs inside containers and says what it finds: the tests' eye. Static, so that it needs nothing
// there.
//   oci_probe report                 one JSON object about this process
//   oci_probe syscall NUMBER [ARG…]  errno of a system call ("0" if it succeeds)
//   oci_probe open-write PATH        errno of open(O_WRONLY)
//   oci_probe device b|c MAJOR MINOR errno of mknod, then of open: "mknod=0 open=1"
//   oci_probe ptrace PID             errno of PTRACE_ATTACH
//   oci_probe keys SERIAL            errno of the search for "stack-test-key" in the session
//                                    keyring, and of reading that key by its serial number
//   oci_probe with-key FILE COMMAND… executes it with such a key, whose serial is put into FILE
//   oci_probe hunt-exe PREFIX FILE   for ever: files of programs outside of PREFIX, as `exe` has
//                                    them; one line into FILE for each process found
//   oci_probe exe PID                may the file that it executes be written? "errno readonly"
//   oci_probe eat BYTES              touches that much memory, prints "survived"
//   oci_probe swap-loop A B COUNT    renameat2(EXCHANGE) of two paths, COUNT times
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

std::string status_field(const char* name) {
  FILE* file = std::fopen("/proc/self/status", "r");
  char line[512];
  std::string out;
  while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr) {
    if (std::strncmp(line, name, std::strlen(name)) == 0 && line[std::strlen(name)] == ':') {
      out = line + std::strlen(name) + 1;
    }
  }
  if (file != nullptr) std::fclose(file);
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  while (!out.empty() && (out[0] == '\t' || out[0] == ' ')) out.erase(0, 1);
  return out;
}

std::string open_descriptors() {
  DIR* stream = opendir("/proc/self/fd");
  std::string out = "[";
  while (dirent* entry = stream == nullptr ? nullptr : readdir(stream)) {
    int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == dirfd(stream)) continue;
    char target[4096];
    std::string path = std::string("/proc/self/fd/") + entry->d_name;
    ssize_t n = readlink(path.c_str(), target, sizeof target);
    if (out.size() > 1) out += ",";
    out += "[" + std::to_string(fd) + "," +
           quoted(std::string(target, n > 0 ? static_cast<size_t>(n) : 0)) + "]";
  }
  return out + "]";
}

std::string link(const std::string& path) {
  char target[4096];
  ssize_t n = readlink(path.c_str(), target, sizeof target);
  return n < 0 ? "" : std::string(target, static_cast<size_t>(n));
}

int report() {
  char cwd[4096] = "";
  if (getcwd(cwd, sizeof cwd) == nullptr) cwd[0] = 0;
  gid_t groups[64];
  int count = getgroups(64, groups);
  std::string list;
  for (int i = 0; i < count; i++) list += (i > 0 ? "," : "") + std::to_string(groups[i]);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  mode_t mask = umask(0);
  char host[256] = "";
  gethostname(host, sizeof host);
  timespec monotonic{};
  clock_gettime(CLOCK_MONOTONIC, &monotonic);
  std::string namespaces;
  for (const char* name : {"mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time"}) {
    namespaces += (namespaces.empty() ? "" : ",") + quoted(name) + ":" +
                  quoted(link(std::string("/proc/self/ns/") + name));
  }
  std::printf(
      "{\"pid\":%d,\"sid\":%d,\"pgid\":%d,\"uid\":[%s],\"gid\":[%s],\"groups\":[%s],"
      "\"caps\":{\"inheritable\":\"%s\",\"permitted\":\"%s\",\"effective\":\"%s\",\"bounding\":\"%"
      "s\",\"ambient\":\"%s\"},"
      "\"nnp\":%d,\"seccomp\":%s,\"umask\":%u,\"nofile\":[%llu,%llu],\"cwd\":%s,\"hostname\":%s,"
      "\"fds\":%s,\"ns\":{%s},\"blocked\":%s,\"ignored\":%s,\"tty\":%d,\"monotonic\":%lld,"
      "\"priority\":%d}\n",
      getpid(), getsid(0), getpgid(0),
      (std::to_string(getuid()) + "," + std::to_string(geteuid())).c_str(),
      (std::to_string(getgid()) + "," + std::to_string(getegid())).c_str(), list.c_str(),
      status_field("CapInh").c_str(), status_field("CapPrm").c_str(),
      status_field("CapEff").c_str(), status_field("CapBnd").c_str(),
      status_field("CapAmb").c_str(), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
      status_field("Seccomp").c_str(), mask, static_cast<unsigned long long>(files.rlim_cur),
      static_cast<unsigned long long>(files.rlim_max), quoted(cwd).c_str(), quoted(host).c_str(),
      open_descriptors().c_str(), namespaces.c_str(), quoted(status_field("SigBlk")).c_str(),
      quoted(status_field("SigIgn")).c_str(), isatty(0), static_cast<long long>(monotonic.tv_sec),
      getpriority(PRIO_PROCESS, 0));
  return 0;
}

int call(int argc, char** argv) {
  long numbers[7] = {};
  for (int i = 2; i < argc && i < 9; i++) numbers[i - 2] = std::strtol(argv[i], nullptr, 0);
  long result =
      syscall(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]);
  std::printf("%d\n", result < 0 ? errno : 0);
  return 0;
}

int device(char** argv) {
  mode_t type = argv[2][0] == 'b' ? S_IFBLK : S_IFCHR;
  dev_t number = makedev(std::atoi(argv[3]), std::atoi(argv[4]));
  int made = mknod("/probe-device", type | 0600, number) == 0 ? 0 : errno;
  int fd = open("/probe-device", O_RDONLY | O_NONBLOCK);
  std::printf("mknod=%d open=%d\n", made, fd >= 0 ? 0 : errno);
  unlink("/probe-device");
  return 0;
}

int keys(long serial) {
  long found =
      syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "stack-test-key", 0);
  std::printf("%d", found < 0 ? errno : 0);
  char secret[64];
  long length = syscall(SYS_keyctl, KEYCTL_READ, serial, secret, sizeof secret);
  std::printf(" %d\n", length < 0 ? errno : 0);
  return 0;
}

int with_key(char** argv) {
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0) return 3;
  long serial =
      syscall(SYS_add_key, "user", "stack-test-key", "secret", 6, KEY_SPEC_SESSION_KEYRING);
  FILE* file = std::fopen(argv[2], "w");
  if (serial < 0 || file == nullptr) return 3;
  std::fprintf(file, "%ld\n", serial);
  std::fclose(file);
  execvp(argv[3], argv + 3);
  return 127;
}

/** Writes to the file of `fd` through a descriptor of its own, however it was opened. */
int write_through(int fd) {
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  int writable = open(path.c_str(), O_WRONLY);
  if (writable < 0) return errno;
  int result = pwrite(writable, "x", 1, 0) == 1 ? 0 : errno;
  close(writable);
  return result;
}

/** On a read-only mount, or sealed against writing. */
bool read_only(int fd) {
  int seals = fcntl(fd, F_GET_SEALS);
  if (seals >= 0 && (seals & F_SEAL_WRITE) != 0) return true;
  struct statvfs info {};
  return fstatvfs(fd, &info) == 0 && (info.f_flag & ST_RDONLY) != 0;
}

int executable(const char* pid) {
  int fd = open((std::string("/proc/") + pid + "/exe").c_str(), O_RDONLY);
  if (fd < 0) {
    std::printf("cannot open: %d\n", errno);
  } else {
    std::printf("%d %d\n", write_through(fd), read_only(fd));
  }
  return 0;
}

int hunt_exe(const std::string& prefix, const char* results) {
  for (;;) {
    DIR* stream = opendir("/proc");
    if (stream == nullptr) return 3;
    while (dirent* entry = readdir(stream)) {
      if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
      std::string exe = std::string("/proc/") + entry->d_name + "/exe";
      std::string target = link(exe);
      if (target.empty() || target.starts_with(prefix)) continue;
      int fd = open(exe.c_str(), O_RDONLY);
      // It may have executed something else in the meantime.
      if (fd < 0 || link("/proc/self/fd/" + std::to_string(fd)).starts_with(prefix)) {
        if (fd >= 0) close(fd);
        continue;
      }
      // While anybody executes it, it cannot be written anyway; the attack is to wait for the end.
      int result = write_through(fd);
      for (; result == ETXTBSY; result = write_through(fd)) sched_yield();
      FILE* file = std::fopen(results, "a");
      if (file == nullptr) return 3;
      std::fprintf(file, "%d %d\n", result, read_only(fd));
      std::fclose(file);
      close(fd);
    }
    closedir(stream);
  }
}

int eat(size_t bytes) {
  char* memory = static_cast<char*>(std::malloc(bytes));
  for (size_t i = 0; memory != nullptr && i < bytes; i += 4096) memory[i] = 1;
  std::printf("survived\n");
  return 0;
}

int swap_loop(char** argv) {
  constexpr unsigned kExchange = 2;
  for (long i = std::strtol(argv[4], nullptr, 10); i > 0; i--) {
    syscall(SYS_renameat2, AT_FDCWD, argv[2], AT_FDCWD, argv[3], kExchange);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string what = argc > 1 ? argv[1] : "report";
  if (what == "report") return report();
  if (what == "syscall" && argc > 2) return call(argc, argv);
  if (what == "open-write" && argc > 2) {
    int fd = open(argv[2], O_WRONLY);
    std::printf("%d\n", fd >= 0 ? 0 : errno);
    return 0;
  }
  if (what == "device" && argc > 4) return device(argv);
  if (what == "ptrace" && argc > 2) {
    std::printf("%d\n", ptrace(PTRACE_ATTACH, std::atoi(argv[2]), 0, 0) == 0 ? 0 : errno);
    return 0;
  }
  if (what == "keys" && argc > 2) return keys(std::strtol(argv[2], nullptr, 10));
  if (what == "with-key" && argc > 3) return with_key(argv);
  if (what == "exe" && argc > 2) return executable(argv[2]);
  if (what == "hunt-exe" && argc > 3) return hunt_exe(argv[2], argv[3]);
  if (what == "eat" && argc > 2) return eat(std::strtoull(argv[2], nullptr, 10));
  if (what == "swap-loop" && argc > 4) return swap_loop(argv);
  return 2;
}
