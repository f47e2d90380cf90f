// `stack-runtime fork-server --socket N --containers DIR [PADDING]`: DIR is said for whoever reads
// a list of processes, PADDING is room for the command lines of monitors.
//
// Monitors without exec: starting this program costs a millisecond of the processor, twice
// (protect_self), and suspends whoever starts it meanwhile. Forked from a process that has all of
// that behind it, a monitor is there in a tenth of it. The agent has one server; both ends of the
// socket close with their processes, so neither outlives the other.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <string_view>

#include "container.h"
#include "json.h"
#include "monitor_process.h"
#include "process_title.h"

namespace stack {

namespace {

struct Request {
  MonitorOptions options;
  UniqueFd status;
};

// One packet is one request: {"dir": DIR, "adopt": BOOL} with the status descriptor. What is no
// request is dropped, and with it the descriptor: who waits for its line sees the end.
std::optional<Request> parse_request(Received&& packet) {
  auto json = Json::parse(packet.data);
  if (!json || !json->is_object() || packet.fds.size() != 1) return std::nullopt;
  Request request;
  request.options.directory = (*json)["dir"].as_string();
  if (!accept_directory(request.options.directory)) return std::nullopt;
  request.options.adopt = (*json)["adopt"].as_bool();
  request.status = std::move(packet.fds.front());
  return request;
}

int become_monitor(UniqueFd socket, Request request) {
  socket.reset();
  ::signal(SIGCHLD, SIG_DFL);
  if (request.options.adopt)
    set_arguments({"stack-runtime", "monitor", "--dir", request.options.directory, "--adopt"});
  else
    set_arguments({"stack-runtime", "monitor", "--dir", request.options.directory});
  return run_monitor(request.options, std::move(request.status), Waited::no);
}

int serve(UniqueFd socket) {
  for (;;) {
    auto packet = recv_fds(socket.get());
    if (!packet) return 125;
    if (packet->data.empty()) return 0;  // the agent has ended
    auto request = parse_request(std::move(*packet));
    if (!request) continue;
    pid_t pid = ::fork();
    if (pid == 0) return become_monitor(std::move(socket), std::move(*request));
    // Without a child the descriptor closes here, and whoever waits for its line sees the end.
  }
}

}  // namespace

}  // namespace stack

int fork_server_main(int argc, char** argv) {
  using namespace stack;
  if (argc < 5 || std::string_view(argv[1]) != "--socket" ||
      std::string_view(argv[3]) != "--containers") {
    ::fputs("usage: stack-runtime fork-server --socket N --containers DIR [PADDING]\n", stderr);
    return 125;
  }
  char** whole = argv - 1;
  UniqueFd socket(::atoi(argv[2]));
  if (auto safe = protect_self(whole); !safe) {
    ::fprintf(stderr, "%s\n", safe.failure().text().c_str());
    return 125;
  }
  remember_title(whole);
  std::string containers = argv[4];
  set_arguments({"stack-runtime", "fork-server", "--containers", containers});
  ::prctl(PR_SET_NAME, "stack-forks", 0, 0, 0);
  (void)set_cloexec(socket.get(), true);
  // Nobody waits for a fork: each leaves at once (run_monitor).
  ::signal(SIGCHLD, SIG_IGN);
  return serve(std::move(socket));
}
