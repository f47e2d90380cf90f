#pragma once

#include <sys/types.h>

#include "fd.h"
#include "loop.h"
#include "monitor_spec.h"

namespace stack {

class Monitor;

/**
 * Brings the project's agent back when it has gone without saying goodbye. All monitors of a
 * project notice at once: a random delay and `respawnLock` choose one; the others look again later,
 * and stop when an agent subscribes.
 */
class AgentKeeper {
 public:
  AgentKeeper(Monitor& monitor, const AgentSpec& spec) : monitor_(monitor), spec_(spec) {}
  ~AgentKeeper();

  void agent_came();
  void agent_went();

 private:
  void attempt();
  void again();
  bool agent_lives() const;
  Result<pid_t> spawn();

  Monitor& monitor_;
  const AgentSpec& spec_;
  UniqueFd respawn_lock_;
  EventLoop::TimerId timer_ = 0;
  int64_t delay_ms_ = 0;
};

}  // namespace stack
