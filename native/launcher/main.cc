// The command `stack`: finds Node, and runs dist/stack.js in it. A command that changes something
// needs an agent, and two Nodes can boot as quickly as one: the agent's is started first. Whatever
// is not as it should be here is left to the command, which does it all again and says what is
// wrong. src/cli/ahead.ts is the other side.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "fd.h"
#include "fs.h"

namespace stack {

namespace {

constexpr int kNotFound = 127;

std::string variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

std::string real_path(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  std::string result = real == nullptr ? "" : real;
  ::free(real);
  return result;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

/// The first `name` in PATH that may be run.
std::string find_program(const std::string& name) {
  std::string path = variable("PATH");
  for (size_t at = 0; at <= path.size();) {
    size_t end = std::min(path.find(':', at), path.size());
    std::string file = path.substr(at, end - at) + "/" + name;
    struct stat status {};
    if (end > at && ::stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
        ::access(file.c_str(), X_OK) == 0)
      return file;
    at = end + 1;
  }
  return "";
}

/// What the build wrote into dist/lib/launch.txt: a line each, "KIND VALUE".
class Table {
 public:
  explicit Table(std::string text) : text_(std::move(text)) {}

  bool has(std::string_view kind, std::string_view value) const {
    bool found = false;
    each(kind, [&](std::string_view entry) { found = found || entry == value; });
    return found;
  }

  template <class Take>
  void each(std::string_view kind, Take take) const {
    std::string_view rest = text_;
    while (!rest.empty()) {
      size_t end = std::min(rest.find('\n'), rest.size());
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      size_t space = line.find(' ');
      if (space != line.npos && line.substr(0, space) == kind) take(line.substr(space + 1));
    }
  }

 private:
  std::string text_;
};

/// `needsAgent` of src/cli/command-word.ts.
bool needs_agent(const Table& table, const std::vector<char*>& words) {
  std::string_view command;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (table.has("unless", word.substr(0, word.find('=')))) return false;
    if (!command.empty()) continue;
    if (table.has("valued", word))
      ++i;
    else if (!word.starts_with('-'))
      command = word;
  }
  return table.has("command", command);
}

/// `resolveDataRoot` of src/core/paths.ts; "" where that would complain.
std::string data_root() {
  std::string set = variable("STACK_ROOT");
  if (!set.empty()) return set.starts_with('/') ? set : "";
  if (::getuid() == 0) return "/var/lib/stack";
  std::string data = variable("XDG_DATA_HOME");
  if (data.starts_with('/')) return data + "/stack";
  std::string home = variable("HOME");
  return home.starts_with('/') ? home + "/.local/share/stack" : "";
}

/// `installProgram(root, "look").agent` of src/native/program.ts; "" if it is not there yet.
std::string agent_program(const std::string& dist, const std::string& root) {
  Result<std::string> bundles = read_file(dist + "/.hash");
  Result<std::string> native = read_file(dist + "/native/.hash");
  if (!bundles || !native) return "";
  std::string file = root + "/bin/" + bundles->substr(0, 16) + native->substr(0, 16) + "/agent.js";
  return exists(file) ? file : "";
}

bool locked(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  return fd && ::flock(fd.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

/// `someAgentOf` of src/agent/spawn.ts. Where JSON would write the directory's name otherwise, we
/// take it that there is one.
bool some_agent_of(const std::string& root) {
  char* at = ::getcwd(nullptr, 0);
  std::string here = at == nullptr ? "" : at;
  ::free(at);
  auto escaped = [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 32; };
  if (here.empty() || std::any_of(here.begin(), here.end(), escaped)) return true;
  std::string wanted = "\"workingDir\":\"" + here + "\"";
  std::string projects = root + "/projects";
  DIR* list = ::opendir(projects.c_str());
  if (list == nullptr) return true;  // nothing was ever started here: the command's own business
  bool found = false;
  while (dirent* entry = found ? nullptr : ::readdir(list)) {
    std::string directory = projects + "/" + entry->d_name;
    Result<std::string> record = read_file(directory + "/agent.json");
    found = record && record->find(wanted) != record->npos && locked(directory + "/agent.lock");
  }
  ::closedir(list);
  return found;
}

/// `agentEnvironment` of src/agent/spawn.ts.
std::vector<std::string> agent_environment(const Table& table, const std::string& root) {
  std::vector<std::string> environment{"STACK_ROOT=" + root};
  table.each("env", [&](std::string_view names) {
    // "NAME" or "NAME AS": under which other name the agent gets it.
    std::string name(names.substr(0, names.find(' ')));
    const char* value = ::getenv(name.c_str());
    if (value == nullptr) return;
    environment.push_back(std::string(names.substr(names.rfind(' ') + 1)) + "=" + value);
  });
  return environment;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (std::string& text : strings) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

/// As `spawn` of the addon does it: a session of its own, no signal blocked or ignored.
bool spawn(std::vector<std::string> argv, std::vector<std::string> environment,
           const std::vector<int>& fds) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (size_t i = 0; i < fds.size(); ++i)
    posix_spawn_file_actions_adddup2(&actions, fds[i], static_cast<int>(i));
  posix_spawn_file_actions_addchdir_np(&actions, "/");
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
  posix_spawn_file_actions_addclosefrom_np(&actions, static_cast<int>(fds.size()));
#endif
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  int error = ::posix_spawn(&pid, argv.front().c_str(), &actions, &attributes,
                            pointers(argv).data(), pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error == 0;
}

/// Above what the child gets as 0, 1 and 2, so that none of them overwrites another.
Result<FdPair> pipe_above_standard_streams() {
  FdPair pair = TRY(make_pipe());
  FdPair high;
  high.first = TRY(duplicate(pair.first.get(), 3));
  high.second = TRY(duplicate(pair.second.get(), 3));
  return high;
}

/// Boots an agent without a project, and leaves its ends to the command: `takeLaunched` of
/// src/agent/spawn.ts.
Status boot_agent(const std::string& node, const Table& table, const std::string& agent,
                  const std::string& root) {
  FdPair to_agent = TRY(pipe_above_standard_streams());
  FdPair from_agent = TRY(pipe_above_standard_streams());
  UniqueFd log(
      ::open((root + "/agent.log").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!log) return sys_fail("launch", "open", root + "/agent.log");
  log = TRY(duplicate(log.get(), 3));
  std::vector<std::string> argv{node};
  table.each("flag", [&](std::string_view flag) { argv.emplace_back(flag); });
  argv.push_back(agent);
  if (!spawn(std::move(argv), agent_environment(table, root),
             {to_agent.first.get(), from_agent.second.get(), log.get()}))
    return {};
  TRY(set_cloexec(to_agent.second.get(), false));
  TRY(set_cloexec(from_agent.first.get(), false));
  std::string ends = std::to_string(to_agent.second.release()) + " " +
                     std::to_string(from_agent.first.release()) + " " + root;
  ::setenv("STACK_BOOTING_AGENT", ends.c_str(), 1);
  return {};
}

/// A Node itself, and not a program that chooses one (volta, asdf, snap): that may choose another
/// one for the agent, in another directory.
bool is_node_itself(const std::string& file) {
  if (base_name(file) != "node" && base_name(file) != "nodejs") return false;
  UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  char magic[4] = {};
  return fd && ::read(fd.get(), magic, sizeof magic) == sizeof magic &&
         ::memcmp(magic,
                  "\x7f"
                  "ELF",
                  sizeof magic) == 0;
}

int launch(const std::vector<char*>& words) {
  std::string dist = real_path("/proc/self/exe");
  dist.resize(dist.rfind('/') == dist.npos ? 0 : dist.rfind('/'));
  std::string node = find_program("node");
  if (node.empty()) {
    std::string words =
        "stack: there is no `node` in PATH\n  Install Node.js 20.19 or newer, or add the directory "
        "of its `node` to PATH.\n";
    if (!variable("SUDO_USER").empty())
      words += "  sudo gives programs a PATH of its own: sudo env \"PATH=$PATH\" stack ...\n";
    (void)!::write(STDERR_FILENO, words.data(), words.size());
    return kNotFound;
  }
  std::string real = real_path(node);
  Result<std::string> lines = read_file(dist + "/lib/launch.txt");
  Table table(lines ? std::move(*lines) : "");
  std::string root = data_root();
  ::unsetenv("STACK_BOOTING_AGENT");
  if (!root.empty() && is_node_itself(real) && needs_agent(table, words)) {
    std::string agent = agent_program(dist, root);
    if (!agent.empty() && !some_agent_of(root)) (void)boot_agent(real, table, agent, root);
  }
  // Node reads these certificates at once, which takes longer than all else that it does; the
  // command needs none (dist/stack.js puts the name back).
  std::string certificates = variable("NODE_EXTRA_CA_CERTS");
  if (!certificates.empty()) {
    ::setenv("STACK_EXTRA_CA_CERTS", certificates.c_str(), 1);
    ::unsetenv("NODE_EXTRA_CA_CERTS");
  }
  std::string program = dist + "/stack.js";
  std::vector<char*> argv{node.data(), program.data()};
  argv.insert(argv.end(), words.begin(), words.end());
  argv.push_back(nullptr);
  ::execv(node.c_str(), argv.data());
  std::string why = "stack: " + node + " does not run: " + error_text(errno) + "\n";
  (void)!::write(STDERR_FILENO, why.data(), why.size());
  return kNotFound - 1;
}

}  // namespace

}  // namespace stack

int main(int argc, char** argv) {
  return stack::launch(argc < 1 ? std::vector<char*>{} : std::vector<char*>(argv + 1, argv + argc));
}
