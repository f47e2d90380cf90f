#include "init.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock_text.h"
#include "last_output.h"
#include "process_title.h"
#include "resident.h"
#include "supervisor.h"

namespace stack {

namespace {

struct MainEnd {
  bool ended = false;
  int code = 0;
  int signal = 0;
};

// One line, one write: the monitor appends to the same file.
void record_exit(const InitData& data, const MainEnd& end, bool restart = false) {
  if (data.events_fd < 0) return;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  char when[kTimeText];
  format_time(when, now, 3);
  char line[256];
  int length = ::snprintf(
      line, sizeof line,
      "{\"v\":1,\"t\":\"%s\",\"type\":\"exit\",\"code\":%d,\"signal\":%d,\"oomKilled\":false,"
      "\"by\":\"init\",\"run\":%lld%s}\n",
      when, end.code, end.signal, static_cast<long long>(data.run),
      restart ? ",\"restart\":true" : "");
  while (::write(data.events_fd, line, static_cast<size_t>(length)) < 0 && errno == EINTR) {
  }
}

// Reaps whoever has ended, ours and orphans alike.
void reap(pid_t main, MainEnd& end) {
  for (;;) {
    int status = 0;
    pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    if (pid != main || !(WIFEXITED(status) || WIFSIGNALED(status))) continue;
    end.ended = true;
    end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    end.code = end.signal != 0 ? 128 + end.signal : WEXITSTATUS(status);
  }
}

MainEnd supervise(pid_t main) {
  sigset_t all;
  sigfillset(&all);
  MainEnd end;
  while (!end.ended) {
    siginfo_t info{};
    int signal = ::sigwaitinfo(&all, &info);
    if (signal < 0) continue;
    if (signal == SIGCHLD) {
      reap(main, end);
      continue;
    }
    // The terminal driver's own (a background write …) concern us, not the main process.
    if (info.si_code == SI_KERNEL && (signal == SIGTTIN || signal == SIGTTOU)) continue;
    ::kill(main, signal);
  }
  return end;
}

// The master stays open in this process for as long as it lives. One byte and one descriptor; end
// of file if the monitor is killed before.
void hold_terminal(int socket) {
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  while (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) < 0 && errno == EINTR) {
  }
  ::close(socket);
}

// Everything that the monitor had parsed was copied into this process. Nothing here uses the heap
// again, but the thread's control block lies at its beginning in a static program (__libc_setup_tls
// takes it from brk).
void give_heap_back() {
  constexpr uintptr_t kControlBlock = 8192;
  auto end = reinterpret_cast<uintptr_t>(::sbrk(0));
  auto thread = reinterpret_cast<uintptr_t>(__builtin_thread_pointer());
  constexpr uintptr_t kLargestHeap = uintptr_t{64} << 20;
  if (thread >= end || end - thread > kLargestHeap)
    return;  // it lies elsewhere: leave all as it is
  uintptr_t start = (thread + kControlBlock + 4095) & ~uintptr_t{4095};
  if (start < end) ::madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);
}

void leave_output() {
  // Ours is the end of all in the pid namespace, and nothing is to run on while we wait.
  if (::getpid() == 1) (void)::kill(-1, SIGKILL);
  await_log();
}

int give_up(const InitPlan& plan, const Failure& failure) {
  if (plan.start_fd >= 0) tell_start_failure(plan.start_fd, failure);
  return 128;
}

// The main process executes nothing before this one has lost its rights: for a moment the user's
// program would have a PID 1 beside it that may do everything.
Result<pid_t> fork_main(const InitPlan& plan) {
  FdPair gate = TRY(make_pipe());
  pid_t main = ::fork();
  if (main < 0) return sys_fail("create process", "fork");
  if (main == 0) {
    gate.second.reset();
    InitPlan own = plan;
    own.gate_fd = gate.first.get();
    exec_main(own);
  }
  TRY(drop_init_rights(plan));
  if (::write(gate.second.get(), "g", 1) != 1) return sys_fail("init", "write");
  return main;
}

// The main process may be started late and again, so its streams stay open here.
int run_supervisor(const InitPlan& plan, const InitData& data) {
  if (data.terminal_socket >= 0) hold_terminal(data.terminal_socket);
  if (auto kept = keep_init_rights(plan); !kept) return give_up(plan, kept.failure());
  auto supervisor = Supervisor::create(plan, data);
  if (!supervisor) return give_up(plan, supervisor.failure());
  ProcessBoard::End end = (*supervisor)->run();
  record_exit(data, {true, end.code, end.signal}, (*supervisor)->restart_wanted());
  leave_output();
  return end.code;
}

}  // namespace

int container_init(const InitPlan& plan) {
  InitData data;
  if (plan.data != nullptr) data = *static_cast<const InitData*>(plan.data);
  set_title("stack-init");
  // In a shared pid namespace we are not the one that orphans go to by nature.
  if (::getpid() != 1) ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  if (data.supervision != nullptr) return run_supervisor(plan, data);
  auto forked = fork_main(plan);
  if (!forked) return give_up(plan, forked.failure());
  pid_t main = *forked;
  if (plan.start_fd >= 0) ::close(plan.start_fd);
  for (int fd = 0; fd < 3; ++fd) ::close(fd);
  if (data.terminal_socket >= 0) hold_terminal(data.terminal_socket);
  give_heap_back();
  release_program_pages();
  MainEnd end = supervise(main);
  record_exit(data, end);
  leave_output();
  return end.code;
}

}  // namespace stack
