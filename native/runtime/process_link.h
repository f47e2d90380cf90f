#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cgroup.h"
#include "fd.h"
#include "init.h"
#include "json.h"
#include "loop.h"
#include "standard_streams.h"

namespace stack {

/**
 * The monitor's side of a supervising init: makes what a run's init needs, listens to what it tells,
 * and passes on what users ask for one process. All that is known is init's; a monitor that takes
 * over connects again, and knows as much.
 */
class ProcessLink {
 public:
  /** `told`: init's state has changed. */
  ProcessLink(EventLoop& loop, int directory, const SupervisionSpec& spec,
              std::function<void(const Json& state)> told)
      : loop_(loop), directory_(directory), spec_(spec), told_(std::move(told)) {}
  ~ProcessLink();
  ProcessLink(const ProcessLink&) = delete;
  ProcessLink& operator=(const ProcessLink&) = delete;

  /** Opens what init gets for one run; held here until started(). */
  Status prepare(const Cgroup& cgroup, Stdio& stdio, int stop_signal, InitData& data,
                 std::vector<int>& keep);
  /** init has its copies. */
  void started();
  /** To the init of a living container. */
  Status connect();
  /** PID 1 has gone: reads what it told last, and refuses what was asked of it. */
  void run_ended();

  /** {process, action, signal?, graceMs?}. */
  void request(const Json& request, std::function<void(const Status&)> done);

 private:
  Status prepare_one(const Cgroup& cgroup, Stdio& stdio, size_t index, ProcessFds& out);
  void read();
  void disconnect();
  int hold(UniqueFd fd);

  EventLoop& loop_;
  int directory_;
  const SupervisionSpec& spec_;
  std::function<void(const Json&)> told_;
  std::vector<UniqueFd> held_;
  UniqueFd socket_;
  int64_t next_id_ = 1;
  std::map<int64_t, std::function<void(const Status&)>> waiting_;
};

}  // namespace stack
