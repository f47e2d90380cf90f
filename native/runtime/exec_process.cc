#include "exec_process.h"

#include <fcntl.h>

#include <algorithm>

namespace stack {

namespace {

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

bool has_variable(const std::vector<std::string>& environment, std::string_view name) {
  return std::ranges::any_of(environment, [&](const auto& each) { return name_of(each) == name; });
}

// As Docker: root gets what the container may have, everybody else nothing beyond what a program's
// file grants.
void set_capabilities(OciProcess& process, bool privileged) {
  OciCapabilities sets = process.capabilities.value_or(OciCapabilities{});
  if (privileged) sets.bounding = (uint64_t{1} << capability_names().size()) - 1;
  sets.inheritable = sets.ambient = 0;
  sets.effective = sets.permitted = process.uid == 0 || privileged ? sets.bounding : 0;
  process.capabilities = sets;
}

}  // namespace

std::vector<std::string> merge_environment(std::vector<std::string> base,
                                           const std::vector<std::string>& added) {
  for (const std::string& variable : added) {
    auto same = std::ranges::find_if(
        base, [&](const auto& each) { return name_of(each) == name_of(variable); });
    if (same == base.end())
      base.push_back(variable);
    else
      *same = variable;
  }
  return base;
}

Result<OciProcess> exec_process(const OciConfig& config, const Json& request, pid_t container,
                                const ProcessSpec* like) {
  constexpr const char* kStage = "exec";
  OciProcess process = config.process;
  process.args.clear();
  for (const Json& argument : request["args"].items()) process.args.push_back(argument.as_string());
  if (process.args.empty()) return fail(kStage, "no command", EINVAL, "args");
  if (like != nullptr) {
    apply_environment(process.env, *like);
    if (!like->cwd.empty()) process.cwd = like->cwd;
  }
  std::vector<std::string> added;
  for (const Json& variable : request["env"].items()) added.push_back(variable.as_string());
  process.env = merge_environment(std::move(process.env), added);
  process.terminal = request["tty"].as_bool();
  if (process.terminal && !has_variable(process.env, "TERM")) process.env.push_back("TERM=xterm");
  if (const Json* cwd = request.find("cwd"); cwd != nullptr && !cwd->as_string().empty())
    process.cwd = cwd->as_string();
  std::string user = request["user"].as_string();
  if (user.empty() && like != nullptr) user = like->user;
  if (!user.empty()) {
    std::string path = "/proc/" + std::to_string(container) + "/root";
    UniqueFd root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) return sys_fail(kStage, "open", path);
    ResolvedUser resolved = TRY(resolve_user(root.get(), user));
    process.uid = resolved.uid;
    process.gid = resolved.gid;
    process.additional_gids = resolved.additional_gids;
    // The primary group is among them too, so that dropping it by setgid gains nothing
    // (CVE-2022-36109).
    if (std::ranges::find(process.additional_gids, process.gid) == process.additional_gids.end())
      process.additional_gids.insert(process.additional_gids.begin(), process.gid);
    if (!has_variable(process.env, "HOME")) process.env.push_back("HOME=" + resolved.home);
    set_capabilities(process, false);
  }
  if (request["privileged"].as_bool()) set_capabilities(process, true);
  return process;
}

}  // namespace stack
