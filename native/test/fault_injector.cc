// Runs a program and all that it starts under ptrace(2), and makes one system call of them fail.
//   fault_injector [--list] [--fail ROLE CALL ABOUT N ERRNO [--on | --kill]] [--hide TEXT]… [--lead ROLE]
//                  [--limit MS] --report FILE -- PROGRAM [ARG…]
// A role says where in the tree of processes: "0" is the program, "0.1" its second child. A call is
// named by its role, its name, what it is about (a path, what a descriptor leads to, an option; the
// texts to `--hide` and all numbers of a kind that change from run to run are replaced) and its
// number, from 1, among those that have all of these in common. `--on`: and all that follow.
// The call is not made: it returns the error at once; with `--kill` its process is killed instead.
// Whoever executes another program (but the first one) is let go: from there on it is not ours.
// It ends when everything has ended; or, one second after `--lead` has, with what is left; or after
// the limit. What is left is killed. The report has one line for each of these:
//   call ROLE CALL N ABOUT      with --list: each system call
//   failed ROLE CALL N ABOUT    this one was made to fail
//   gone ROLE STATUS            exit status, or 128+n
//   left PID COMMAND            one second after the lead had ended, or when the limit was over
//   limit                       it was over
#include <elf.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {

constexpr long kGraceMs = 1000;
constexpr long kTickMs = 50;

struct Fault {
  std::string role, call, about;
  unsigned number = 0;
  int error = 0;
  bool on = false, kill = false;
};

struct Options {
  bool list = false;
  Fault fault;
  std::string lead, report;
  std::vector<std::string> hidden;
  long limit_ms = 30'000;
  char** command = nullptr;
};

struct Tracee {
  std::string role;
  unsigned children = 0;
  std::map<std::string, unsigned> calls;
  bool failing = false;
};

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  ::_exit(125);
}

long now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

std::string name_of(uint64_t number) {
  static std::map<uint64_t, std::string> known;
  std::string& name = known[number];
  if (!name.empty()) return name;
  char* found = ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, static_cast<int>(number));
  name = found != nullptr ? found : std::to_string(number);
  std::free(found);
  return name;
}

/** Which arguments say what a call is about: a path, a descriptor, a number; -1: none. */
struct About {
  int path = -1, fd = -1, number = -1;
};

About about_of(const std::string& call) {
  static const std::map<std::string, About> kAbout = {
      {"access", {0, -1, -1}},       {"bind", {-1, 0, -1}},         {"chdir", {0, -1, -1}},
      {"close", {-1, 0, -1}},        {"epoll_ctl", {-1, 2, 1}},     {"execve", {0, -1, -1}},
      {"faccessat", {1, -1, -1}},    {"fchmod", {-1, 0, -1}},       {"fchmodat", {1, -1, -1}},
      {"fchown", {-1, 0, -1}},       {"fchownat", {1, -1, -1}},     {"fcntl", {-1, 0, 1}},
      {"flock", {-1, 0, -1}},        {"fsconfig", {2, -1, 1}},      {"fsopen", {0, -1, -1}},
      {"fstatfs", {-1, 0, -1}},      {"ftruncate", {-1, 0, -1}},    {"getdents64", {-1, 0, -1}},
      {"getsockname", {-1, 0, -1}},  {"ioctl", {-1, 0, 1}},         {"listen", {-1, 0, -1}},
      {"listxattr", {0, -1, -1}},    {"lstat", {0, -1, -1}},        {"mkdir", {0, -1, -1}},
      {"mkdirat", {1, -1, -1}},      {"mknodat", {1, -1, -1}},      {"mount", {1, -1, -1}},
      {"mount_setattr", {-1, 0, -1}}, {"move_mount", {-1, 2, -1}},  {"newfstatat", {1, 0, -1}},
      {"open", {0, -1, -1}},         {"open_tree", {1, 0, -1}},     {"openat", {1, -1, -1}},
      {"openat2", {1, -1, -1}},      {"prctl", {-1, -1, 0}},        {"pread64", {-1, 0, -1}},
      {"read", {-1, 0, -1}},         {"readlink", {0, -1, -1}},     {"recvfrom", {-1, 0, -1}},
      {"recvmsg", {-1, 0, -1}},      {"renameat", {3, -1, -1}},     {"rmdir", {0, -1, -1}},
      {"sendmsg", {-1, 0, -1}},      {"sendto", {-1, 0, -1}},       {"setns", {-1, 0, -1}},
      {"setsockopt", {-1, 0, 2}},    {"socket", {-1, -1, 0}},       {"splice", {-1, 0, -1}},
      {"stat", {0, -1, -1}},         {"statfs", {0, -1, -1}},       {"symlinkat", {2, -1, -1}},
      {"tee", {-1, 0, -1}},          {"umount2", {0, -1, -1}},      {"unlink", {0, -1, -1}},
      {"unlinkat", {1, -1, -1}},     {"write", {-1, 0, -1}}};
  auto found = kAbout.find(call);
  return found == kAbout.end() ? About{} : found->second;
}

std::string text_at(pid_t pid, uint64_t address) {
  if (address == 0) return "";
  char buffer[256] = {};
  iovec into{buffer, sizeof buffer - 1};
  iovec from{reinterpret_cast<void*>(address), sizeof buffer - 1};
  if (::process_vm_readv(pid, &into, 1, &from, 1, 0) < 0) {
    // A string may end right before memory that is not there.
    from.iov_len = std::min<size_t>(4096 - address % 4096, from.iov_len);
    if (::process_vm_readv(pid, &into, 1, &from, 1, 0) < 0) return "";
  }
  return buffer;
}

std::string target_of(pid_t pid, int fd) {
  char buffer[512] = {};
  std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
  return ::readlink(path.c_str(), buffer, sizeof buffer - 1) < 0 ? "" : buffer;
}

/** Runs of digits where they are a number of a process, a descriptor or an inode. */
std::string without_numbers(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size(); at++) {
    char c = text[at];
    if (c == ' ' || c == '\n') c = '_';
    bool digit = c >= '0' && c <= '9';
    bool follows = !out.empty() && (out.back() == '/' || out.back() == '[' || out.back() == '#');
    if (!digit || !follows) {
      out += c;
      continue;
    }
    while (at + 1 < text.size() && text[at + 1] >= '0' && text[at + 1] <= '9') at++;
    out += '#';
  }
  return out;
}

// The kernel skips a call with the number -1; what it returns is set when it would have returned.
void skip_call(pid_t pid) {
#if defined(__x86_64__)
  if (::ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.orig_rax), -1L) != 0) give_up("skip");
#elif defined(__aarch64__)
  int number = -1;
  iovec part{&number, sizeof number};
  if (::ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &part) != 0) give_up("skip");
#else
#error "unknown architecture"
#endif
}

void set_result(pid_t pid, int error) {
#if defined(__x86_64__)
  if (::ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.rax), static_cast<long>(-error)) != 0)
    give_up("result");
#elif defined(__aarch64__)
  user_regs_struct registers{};
  iovec part{&registers, sizeof registers};
  if (::ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &part) != 0) give_up("result");
  registers.regs[0] = static_cast<unsigned long long>(-static_cast<long long>(error));
  if (::ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &part) != 0) give_up("result");
#endif
}

class Tracer {
 public:
  explicit Tracer(const Options& options) : options_(options), out_(std::fopen(options.report.c_str(), "we")) {
    if (out_ == nullptr) give_up("report");
  }

  void start() {
    int gate[2];
    if (::pipe2(gate, O_CLOEXEC) != 0) give_up("pipe");
    pid_t pid = ::fork();
    if (pid < 0) give_up("fork");
    if (pid == 0) {
      char byte;
      (void)!::read(gate[0], &byte, 1);
      ::execvp(options_.command[0], options_.command);
      give_up(options_.command[0]);
    }
    // What was inherited (a status descriptor) is the program's alone.
    for (int fd = 3; fd < 64; fd++)
      if (fd != gate[1] && fd != ::fileno(out_)) ::close(fd);
    constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                              PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (::ptrace(PTRACE_SEIZE, pid, 0, kOptions) != 0) give_up("ptrace");
    if (::ptrace(PTRACE_INTERRUPT, pid, 0, 0) != 0) give_up("ptrace");
    tracees_[pid].role = "0";
    first_ = pid;
    (void)!::write(gate[1], "g", 1);
    ::close(gate[1]);
  }

  void run() {
    long deadline = now_ms() + options_.limit_ms;
    for (;;) {
      int status = 0;
      pid_t pid = ::waitpid(-1, &status, __WALL);
      if (pid < 0 && errno == ECHILD) return;
      if (pid < 0 && errno != EINTR) give_up("waitpid");
      if (pid > 0) handle(pid, status);
      long now = now_ms();
      bool late = now >= deadline;
      if (late) std::fprintf(out_, "limit\n");
      if (!late && (lead_gone_ms_ < 0 || now < lead_gone_ms_ + kGraceMs)) continue;
      end_all();
      return;
    }
  }

  void close() {
    std::fprintf(out_, "end\n");
    std::fclose(out_);
  }

 private:
  void handle(pid_t pid, int status) {
    auto known = tracees_.find(pid);
    if (!WIFSTOPPED(status)) {
      if (known == tracees_.end()) return;  // let go before, or an orphan
      int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
      std::fprintf(out_, "gone %s %d\n", known->second.role.c_str(), code);
      if (known->second.role == options_.lead) lead_gone_ms_ = now_ms();
      tracees_.erase(known);
      return;
    }
    if (known == tracees_.end()) {
      early_.push_back(pid);  // its parent's stop, which names it, comes later
      return;
    }
    int signal = WSTOPSIG(status), event = status >> 16;
    if (signal == (SIGTRAP | 0x80)) return at_call(pid, known->second);
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE)
      born(pid, known->second);
    if (event == PTRACE_EVENT_EXEC) {
      began_ = true;
      if (pid != first_) {
        std::fprintf(out_, "gone %s exec\n", known->second.role.c_str());
        tracees_.erase(known);
        ::ptrace(PTRACE_DETACH, pid, 0, 0);
        return;
      }
    }
    go_on(pid, event == 0 && signal != SIGTRAP ? signal : 0);
  }

  void go_on(pid_t pid, int signal = 0) {
    // ESRCH: killed meanwhile; its end is still to come.
    if (::ptrace(PTRACE_SYSCALL, pid, 0, signal) != 0 && errno != ESRCH) give_up("ptrace");
  }

  void born(pid_t parent_pid, Tracee& parent) {
    unsigned long child = 0;
    if (::ptrace(PTRACE_GETEVENTMSG, parent_pid, 0, &child) != 0) return;
    pid_t pid = static_cast<pid_t>(child);
    std::string role = parent.role + "." + std::to_string(parent.children++);
    tracees_[pid].role = role;
    std::erase_if(early_, [&](pid_t each) {
      if (each == pid) go_on(pid);
      return each == pid;
    });
  }

  void at_call(pid_t pid, Tracee& tracee) {
    __ptrace_syscall_info info{};
    if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) < 0) return go_on(pid);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY && began_) {
      std::string name = name_of(info.entry.nr);
      const Fault& fault = options_.fault;
      bool concerned = tracee.role == fault.role && name == fault.call;
      if (concerned || options_.list) {
        std::string about = describe(pid, name, info);
        unsigned number = ++tracee.calls[name + " " + about];
        bool fails = concerned && about == fault.about &&
                     (number == fault.number || (fault.on && number > fault.number));
        if (fails && fault.kill) {
          ::kill(pid, SIGKILL);
        } else if (fails) {
          skip_call(pid);
          tracee.failing = true;
        }
        if (options_.list || fails)
          std::fprintf(out_, "%s %s %s %u %s\n", fails ? "failed" : "call", tracee.role.c_str(),
                       name.c_str(), number, about.c_str());
      }
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && tracee.failing) {
      set_result(pid, options_.fault.error);
      tracee.failing = false;
    }
    go_on(pid);
  }

  std::string describe(pid_t pid, const std::string& name, const __ptrace_syscall_info& info) {
    About about = about_of(name);
    std::string text;
    if (about.path >= 0) text = text_at(pid, info.entry.args[about.path]);
    if (about.fd >= 0 && text.empty())
      text = target_of(pid, static_cast<int>(info.entry.args[about.fd]));
    for (const std::string& hidden : options_.hidden)
      for (size_t at; (at = text.find(hidden)) != std::string::npos;)
        text.replace(at, hidden.size(), "*");
    text = without_numbers(text);
    if (about.number >= 0)
      text += (text.empty() ? "" : ",") + std::to_string(info.entry.args[about.number]);
    return text.empty() ? "-" : text;
  }

  static void children_of(pid_t pid, std::vector<pid_t>& out) {
    std::string base = "/proc/" + std::to_string(pid);
    std::FILE* file = std::fopen((base + "/task/" + std::to_string(pid) + "/children").c_str(), "re");
    if (file == nullptr) return;
    std::vector<pid_t> found;
    for (int child; std::fscanf(file, "%d", &child) == 1;) found.push_back(child);
    std::fclose(file);
    for (pid_t child : found) {
      out.push_back(child);
      children_of(child, out);
    }
  }

  void end_all() {
    std::vector<pid_t> left;
    children_of(::getpid(), left);
    for (pid_t pid : left) {
      char command[32] = {};
      std::FILE* file = std::fopen(("/proc/" + std::to_string(pid) + "/comm").c_str(), "re");
      if (file != nullptr && std::fgets(command, sizeof command, file) == nullptr) command[0] = 0;
      if (file != nullptr) std::fclose(file);
      command[std::strcspn(command, "\n")] = 0;
      auto known = tracees_.find(pid);
      std::fprintf(out_, "left %d %s %s\n", pid, known == tracees_.end() ? "-" : known->second.role.c_str(), command);
    }
    // Top down: nobody is to make a new one. Orphans become ours (PR_SET_CHILD_SUBREAPER).
    for (;;) {
      left.clear();
      children_of(::getpid(), left);
      for (pid_t pid : left) ::kill(pid, SIGKILL);
      if (::waitpid(-1, nullptr, __WALL) < 0 && errno == ECHILD) return;
    }
  }

  const Options& options_;
  std::FILE* out_;
  std::map<pid_t, Tracee> tracees_;
  std::vector<pid_t> early_;
  pid_t first_ = 0;
  bool began_ = false;
  long lead_gone_ms_ = -1;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; i++) {
    std::string word = argv[i];
    if (word == "--") {
      options.command = argv + i + 1;
      return i + 1 < argc && !options.report.empty();
    }
    if (word == "--list") {
      options.list = true;
    } else if (word == "--on") {
      options.fault.on = true;
    } else if (word == "--kill") {
      options.fault.kill = true;
    } else if (word == "--hide" && i + 1 < argc) {
      options.hidden.push_back(argv[++i]);
    } else if (word == "--fail" && i + 5 < argc) {
      options.fault.role = argv[++i];
      options.fault.call = argv[++i];
      options.fault.about = argv[++i];
      options.fault.number = static_cast<unsigned>(std::atoi(argv[++i]));
      options.fault.error = std::atoi(argv[++i]);
    } else if (word == "--lead" && i + 1 < argc) {
      options.lead = argv[++i];
    } else if (word == "--limit" && i + 1 < argc) {
      options.limit_ms = std::atol(argv[++i]);
    } else if (word == "--report" && i + 1 < argc) {
      options.report = argv[++i];
    } else {
      return false;
    }
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fputs("usage: see the head of fault_injector.cc\n", stderr);
    return 125;
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  struct sigaction tick {};
  tick.sa_handler = [](int) {};  // without SA_RESTART: waitpid returns now and then
  ::sigaction(SIGALRM, &tick, nullptr);
  Tracer tracer(options);
  tracer.start();  // before the timer, which a child does not inherit anyway
  itimerval often{{0, kTickMs * 1000}, {0, kTickMs * 1000}};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  tracer.run();
  tracer.close();
  return 0;
}
