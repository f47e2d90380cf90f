#pragma once

#include <sys/types.h>

#include <functional>
#include <list>
#include <string>
#include <vector>

#include "fd.h"
#include "json.h"
#include "loop.h"
#include "supervision.h"

namespace stack {

/**
 * Daemons that a container starts by itself (double fork, re-parented to PID 1): whether those that
 * are expected are there, and what it means when one ends. The kernel tells when a known one ends
 * (pidfd) and when an orphan is to be reaped; only one that is missing has to be looked for.
 */
class DaemonWatch {
 public:
  struct Needs {
    std::function<void(std::string_view type, const Json& fields)> event;
    /** problem(), missing() or orphans() has changed. */
    std::function<void()> changed;
    /** on_orphan_exit: restart. */
    std::function<void(int code, int signal, const std::string& why)> restart;
    /** A process that we started ourselves, now or before. */
    std::function<bool(pid_t)> ours;
  };
  DaemonWatch(EventLoop& loop, const SupervisionSpec& spec, Needs needs);
  ~DaemonWatch();

  /** Whether ends of orphans are to be told before they are reaped. */
  bool curious() const { return spec_.on_orphan_exit != OrphanAction::none; }
  /** It has ended and is not reaped yet: its name can still be read. */
  void orphan_ended(pid_t pid, int code, int signal);
  /** The container is ending: nothing is missing any more. */
  void stop();

  /** Why the container is not healthy; "": it is, as far as daemons tell. */
  std::string problem() const;
  /** Not all that are expected have been seen yet, and their time is not over. */
  bool waiting() const;
  Json missing() const;
  Json orphans() const;

 private:
  struct Expected {
    std::string name;
    std::string why;  // unhealthy: what to say
    bool missing = false;
    bool seen = false;
    UniqueFd pidfd;
    int64_t deadline_ms = 0;
  };
  struct Found {
    pid_t pid = 0, parent = 0, session = 0;
    std::string command, title;
  };
  std::vector<Found> processes() const;
  bool attend(Expected& expected, const std::vector<Found>& all);
  void look();
  void lost(Expected& expected);

  EventLoop& loop_;
  const SupervisionSpec& spec_;
  Needs needs_;
  UniqueFd proc_;
  std::list<Expected> expected_;  // watches refer to them
  std::vector<Json> orphans_;
  EventLoop::TimerId timer_ = 0;
  int64_t pause_ms_;
  bool stopped_ = false;
};

/** The name that people know a process by: "nginx: master process …" and "/usr/sbin/nginx" are nginx. */
std::string daemon_name(std::string_view first_argument);
/** The kernel keeps 15 bytes of a program's name. */
bool is_named(std::string_view wanted, std::string_view command, std::string_view first_argument);

}  // namespace stack
