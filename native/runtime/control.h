#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fd.h"
#include "json.h"
#include "result.h"

namespace stack {

class Client;
class Monitor;

/** `monitor.sock`: accepts, checks who it is, and tells subscribers about changes. */
class ControlServer {
 public:
  /** 0600 from birth; replaces what a killed monitor left. */
  static Result<std::unique_ptr<ControlServer>> open(Monitor& monitor, int directory);
  ~ControlServer();

  void state_changed();
  /** The container's output, for those who attached. */
  void output(int stream, std::string_view bytes);
  /** Tells everybody who waits, writes out what they have not read yet (at most a second), closes.
   */
  void finish();
  /** Somebody with the role of the agent listens. */
  bool has_agent() const;

  /** For clients: closed and done with; `lost_agent`: it was the agent and said no goodbye. */
  void forget(Client* client, bool lost_agent);
  Monitor& monitor() { return monitor_; }

 private:
  ControlServer(Monitor& monitor, UniqueFd socket, int directory);
  void accept_all();

  Monitor& monitor_;
  UniqueFd socket_;
  int directory_;
  std::vector<std::shared_ptr<Client>> clients_;
};

}  // namespace stack
