#include "container_launch.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "container_state.h"
#include "fs.h"

namespace stack {

namespace {

std::string map_text(const std::vector<OciIdMapping>& mappings) {
  std::string out;
  for (const OciIdMapping& m : mappings) {
    out += std::to_string(m.container) + " " + std::to_string(m.host) + " " +
           std::to_string(m.size) + "\n";
  }
  return out;
}

Status write_map(const std::string& path, const std::string& text) {
  auto written = write_existing(path, text);
  if (!written.ok()) return sys_fail("map ids", "write", path, written.failure().err);
  return ok();
}

Failure sent_failure(const Received& message) {
  auto json = Json::parse(std::string_view(message.data).substr(1));
  return json.ok() ? Failed(failure_from_json(*json))
                   : fail("create", "unreadable failure", EPROTO);
}

void kill_and_reap(Cloned& child) {
  if (child.pid <= 0) return;
  if (child.pidfd) {
    (void)signal_pidfd(child.pidfd.get(), SIGKILL).ok();
    (void)wait_pidfd(child.pidfd.get()).ok();
  }
  child = {};
}

}  // namespace

LaunchParent::~LaunchParent() {
  kill_and_reap(stage_);
  if (!done_) kill_and_reap(child_);
}

Status write_id_maps(pid_t pid, const std::vector<OciIdMapping>& uids,
                     const std::vector<OciIdMapping>& gids) {
  std::string directory = "/proc/" + std::to_string(pid);
  // Without privilege the kernel wants setgroups off before a single id of one's own is mapped.
  if (::geteuid() != 0 && uids.size() == 1 && uids[0].size == 1) {
    TRY(write_map(directory + "/setgroups", "deny"));
  }
  TRY(write_map(directory + "/gid_map", map_text(gids)));
  return write_map(directory + "/uid_map", map_text(uids));
}

Result<UniqueFd> make_user_namespace(const std::vector<OciIdMapping>& uids,
                                     const std::vector<OciIdMapping>& gids) {
  FdPair hold = TRY(make_pipe());
  Cloned holder;
  {
    SignalsBlocked blocked;
    holder = TRY(clone_process(CLONE_NEWUSER));
    if (holder.pid == 0) {
      hold.second.reset();
      char byte;
      (void)!::read(hold.first.get(), &byte, 1);
      ::_exit(0);
    }
  }
  Status mapped = write_id_maps(holder.pid, uids, gids);
  std::string path = "/proc/" + std::to_string(holder.pid) + "/ns/user";
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  int err = errno;
  kill_and_reap(holder);
  if (!mapped.ok()) return std::move(mapped).failure();
  if (!fd) return sys_fail("user namespace", "open", path, err);
  return fd;
}

std::string state_document(const OciConfig& config, const std::string& id,
                           const std::string& status, pid_t pid, const std::string& bundle) {
  Json out = Json::object();
  out.set("ociVersion", "1.3.0").set("id", id).set("status", status);
  if (pid > 0) out.set("pid", static_cast<int>(pid));
  out.set("bundle", bundle);
  Json annotations = Json::object();
  for (const auto& [key, value] : config.annotations) annotations.set(key, value);
  if (annotations.size() > 0) out.set("annotations", std::move(annotations));
  return out.dump();
}

Status LaunchParent::go() {
  std::string answer(1, sync_message::kGo);
  answer += std::to_string(child_.pid);
  ssize_t sent;
  do {
    sent = ::send(sync_.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent > 0) return ok();
  // Only who has no other end any more has died; any other failure leaves it waiting.
  if (errno == EPIPE || errno == ECONNRESET) return last_word();
  return sys_fail("create", "send");
}

Failure LaunchParent::last_word() {
  for (;;) {
    auto message = recv_fds(sync_.get());
    if (!message.ok() || message->data.empty()) return child_died();
    if (message->data[0] == sync_message::kFailure) return sent_failure(*message);
  }
}

Failure LaunchParent::child_died() {
  std::string how = "vanished";
  Cloned& child = child_.pid > 0 ? child_ : stage_;
  if (child.pidfd) {
    auto ended = wait_pidfd(child.pidfd.get());
    if (ended.ok()) {
      how = ended->signal != 0 ? "was killed by signal " + std::to_string(ended->signal)
                               : "ended with status " + std::to_string(ended->code);
    }
    child = {};
  }
  return fail("create", "the container's first process " + how + " while it was set up", ECHILD);
}

Status LaunchParent::on_pid(Received& message) {
  child_.pid = std::atoi(message.data.c_str() + 1);
  if (child_.pid <= 0 || message.fds.size() != 1) {
    return fail("create", "unexpected message from the stage process", EPROTO);
  }
  child_.pidfd = std::move(message.fds[0]);
  (void)wait_pidfd(stage_.pidfd.get()).ok();
  stage_ = {};
  return tell_process();
}

Status LaunchParent::tell_process() {
  return options_.on_process ? options_.on_process(child_.pid) : ok();
}

Status LaunchParent::on_map() {
  TRY(write_id_maps(child_.pid, config_.uid_mappings, config_.gid_mappings));
  return go();
}

Status LaunchParent::on_hooks() {
  // The environment exists, which is step 2 of runtime.md "Lifecycle": "created" from there on.
  std::string state = state_document(config_, options_.id, "created", child_.pid, options_.bundle);
  TRY(run_hooks(config_.hooks.prestart, "prestart", state));
  TRY(run_hooks(config_.hooks.create_runtime, "createRuntime", state));
  return go();
}

Status LaunchParent::on_ready(Received& message, Launched& out) {
  const OciProcess& process = config_.process;
  std::string directory = "/proc/" + std::to_string(child_.pid);
  auto adjusted = set_oom_score_adj(process, directory);
  if (!adjusted.ok()) out.warnings.push_back(adjusted.failure().text());
  if (config_.find_namespace(CLONE_NEWUSER) != nullptr) TRY(set_rlimits(process, child_.pid));
  if (!message.fds.empty()) out.console_master = std::move(message.fds[0]);
  out.start_time = TRY(process_start_time(child_.pid));
  if (out.console_master && options_.console_socket >= 0) {
    int master = out.console_master.get();
    TRY(send_fds(options_.console_socket, "/dev/ptmx", &master, 1));
    out.console_master.reset();
  }
  TRY(go());
  out.pid = child_.pid;
  out.pidfd = std::move(child_.pidfd);
  done_ = true;
  return ok();
}

Status LaunchParent::run(Launched& out) {
  if (child_.pid > 0) TRY(tell_process());
  // With a stage process its message and the child's may come in any order, but the pid comes
  // before the child can need an answer: what is early is kept.
  std::vector<Received> early;
  for (;;) {
    Received message;
    if (child_.pid > 0 && !early.empty()) {
      message = std::move(early.front());
      early.erase(early.begin());
    } else {
      message = TRY(recv_fds(sync_.get()));
    }
    if (message.data.empty()) {
      for (const Received& kept : early) {
        if (kept.data[0] == sync_message::kFailure) return sent_failure(kept);
      }
      return child_died();
    }
    char kind = message.data[0];
    if (kind == sync_message::kFailure && child_.pid > 0) return sent_failure(message);
    if (kind == sync_message::kWarning) {
      out.warnings.push_back(message.data.substr(1));
    } else if (kind == sync_message::kPid) {
      TRY(on_pid(message));
    } else if (child_.pid <= 0) {
      early.push_back(std::move(message));
    } else if (kind == sync_message::kMap) {
      TRY(on_map());
    } else if (kind == sync_message::kHooks) {
      TRY(on_hooks());
    } else if (kind == sync_message::kReady) {
      return on_ready(message, out);
    }
  }
}

}  // namespace stack
