#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "container.h"
#include "daemon_watch.h"
#include "fd.h"
#include "init.h"
#include "loop.h"
#include "process_board.h"
#include "readiness.h"

namespace stack {

/**
 * Our PID 1 where processes are declared or daemons are watched: carries out what ProcessBoard
 * decides. It depends on nothing outside of the container: with the monitor dead it goes on
 * restarting, and whoever connects to its socket next hears all that is so now.
 *
 * Unlike the plain init it keeps the rights that the processes are to have, as permitted ones that
 * are not in effect; only the children that become those processes take them up.
 */
class Supervisor {
 public:
  static Result<std::unique_ptr<Supervisor>> create(const InitPlan& plan, const InitData& data);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /** Until the container is to end. */
  ProcessBoard::End run();
  bool restart_wanted() const { return restart_wanted_; }
  const std::string& end_reason() const { return end_reason_; }

 private:
  struct Slot {
    UniqueFd sync;  // from the child: about to execute, or why not
    bool about_to_execute = false;
    std::unique_ptr<Readiness> readiness;
    // Its first process has ended; what it left in its cgroup is being ended.
    bool ending = false;
    int code = 0, signal = 0;
    int64_t kill_left_ms = 0;
    EventLoop::TimerId timer = 0;
  };
  struct Waiter {
    int connection = -1;
    int64_t id = 0;
    size_t process = 0;
    enum class For : uint8_t { executed, ended } what;
    int64_t starts = 0;  // executed: how often it had been before
  };

  Supervisor(const InitPlan& plan, const InitData& data, EventLoop loop);
  Status watch();
  void on_signal(int signal, int origin);
  void reap();
  void reaped(pid_t pid, int code, int signal);
  void settle();
  void finish_remaining();

  // Processes.
  void start(size_t process);
  void on_sync(size_t process);
  void execution_known(size_t process, const Failure* failure);
  void process_ended(size_t process, int code, int signal);
  void end_leftovers(size_t process);
  void signal_process(size_t process, int signal);
  bool run_probe(size_t process, const std::vector<std::string>& args,
                 std::function<void(bool)> done);
  void unready(size_t process, const std::string& why);
  /** Answers whoever waits for the start of the container: as its main process starts, or at once
   * where that has to wait itself. */
  void answer_start(const Failure* failure);

  // The socket.
  void accept_monitor();
  void on_message(int connection);
  void handle(int connection, const Json& request);
  void reply(int connection, int64_t id, const Failure* failure);
  void answer_waiters();
  bool send(int connection, const Json& message);
  void publish();
  void event(std::string_view type, const Json& fields);
  void process_event(std::string_view type, size_t process, Json fields = Json::object());
  Json snapshot() const;

  const InitPlan& plan_;
  const InitData data_;
  const SupervisionSpec& spec_;
  EventLoop loop_;
  ProcessBoard board_;
  std::unique_ptr<DaemonWatch> daemons_;
  std::vector<Slot> slots_;
  std::vector<int64_t> starts_;
  std::vector<pid_t> ours_;  // who we started last, for sessions
  std::map<pid_t, std::function<void(bool)>> probes_;
  UniqueFd signals_;
  std::map<int, UniqueFd> connections_;
  std::map<int, bool> behind_;  // could not take the last state: send it when it can
  std::vector<Waiter> waiters_;
  EventLoop::TimerId board_timer_ = 0;
  bool changed_ = true;
  bool restart_wanted_ = false;
  std::string end_reason_;
  int start_fd_;
};

/** What is still in a process's own cgroup, as init sees the pids; empty without such a cgroup. */
std::vector<pid_t> left_in_cgroup(const ProcessFds& fds);
void kill_cgroup(const ProcessFds& fds);

/** In PID 1: forks a supervised process. `sync`: our side of a SOCK_SEQPACKET pair on which the
 * child says `x` before it executes, or `F` and why it could not. `args`: instead of its own. */
Result<pid_t> spawn_process(const InitPlan& plan, const InitData& data, size_t process,
                            const std::vector<std::string>* args, UniqueFd& sync);

/** In PID 1, before the first process: the rights that spawn_process needs, kept but not in effect. */
Status keep_init_rights(const InitPlan& plan);

}  // namespace stack
