#include "exec_process.h"

#include <fcntl.h>

#include <algorithm>

#include "process_user.h"

namespace stack {

std::vector<std::string> merge_environment(std::vector<std::string> base,
                                           const std::vector<std::string>& added) {
  for (const std::string& variable : added) {
    auto same = std::ranges::find_if(
        base, [&](const auto& each) { return variable_name(each) == variable_name(variable); });
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
    TRY(take_user(process, root.get(), user));
  }
  if (request["privileged"].as_bool()) set_capabilities(process, true);
  return process;
}

}  // namespace stack
