#include "seccomp.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "fs.h"
#include "seccomp_filter.h"

namespace stack {

namespace {

struct ActionName {
  const char* name;
  uint32_t action;
};
constexpr ActionName kActions[] = {{"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
                                   {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
                                   {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
                                   {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP},
                                   {"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW},
                                   {"SCMP_ACT_LOG", SECCOMP_RET_LOG},
                                   {"SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF}};

struct OperatorName {
  const char* name;
  ArgumentTest test;
};
constexpr OperatorName kOperators[] = {{"SCMP_CMP_NE", ArgumentTest::not_equal},
                                       {"SCMP_CMP_LT", ArgumentTest::less},
                                       {"SCMP_CMP_LE", ArgumentTest::at_most},
                                       {"SCMP_CMP_EQ", ArgumentTest::equal},
                                       {"SCMP_CMP_GE", ArgumentTest::at_least},
                                       {"SCMP_CMP_GT", ArgumentTest::greater},
                                       {"SCMP_CMP_MASKED_EQ", ArgumentTest::masked_equal}};

struct FlagName {
  const char* name;
  uint32_t flag;
};
constexpr FlagName kFlags[] = {
    {"SECCOMP_FILTER_FLAG_TSYNC", 0},  // one thread only at that time: nothing to synchronise
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 1u << 5}};

template <typename Entry, size_t size>
const Entry* entry_of(const Entry (&table)[size], const std::string& name) {
  auto found = std::find_if(std::begin(table), std::end(table),
                            [&](const Entry& entry) { return name == entry.name; });
  return found == std::end(table) ? nullptr : found;
}

Failure wrong(const std::string& member, const std::string& why) {
  return fail("seccomp", "linux.seccomp." + member + " " + why, EINVAL, "linux.seccomp." + member);
}

Result<uint32_t> action_of(const Json& name, const Json& errno_ret, const std::string& member) {
  const std::string& text = name.as_string();
  uint64_t number = errno_ret.is_null() ? EPERM : errno_ret.as_uint(UINT64_MAX);
  if (number > 4095 && !errno_ret.is_null()) return wrong(member, "errnoRet must be 0 to 4095");
  if (text == "SCMP_ACT_ERRNO") return SECCOMP_RET_ERRNO | static_cast<uint32_t>(number);
  if (text == "SCMP_ACT_TRACE") return SECCOMP_RET_TRACE | static_cast<uint32_t>(number);
  if (!errno_ret.is_null()) return wrong(member, "errnoRet does not go with " + text);
  if (const ActionName* entry = entry_of(kActions, text)) return entry->action;
  return wrong(member, "has an unknown action: " + text);
}

/** This machine's own ABI, and those of its others that the profile names. */
Status add_abis(const Json& config, SeccompFilter& filter) {
  for (const Json& item : config["architectures"].items()) {
    if (!is_abi_name(item.as_string()))
      return wrong("architectures", "has an unknown entry: " + item.as_string());
  }
  for (const SyscallAbi& abi : syscall_abis()) {
    const auto& named = config["architectures"].items();
    bool has = std::any_of(named.begin(), named.end(),
                           [&](const Json& item) { return item.as_string() == abi.name; });
    if (has || &abi == &syscall_abis().front()) filter.add_abi(abi);
  }
  return ok();
}

Result<std::vector<ArgumentCondition>> conditions_of(const Json& args, const std::string& member) {
  std::vector<ArgumentCondition> out;
  for (const Json& item : args.items()) {
    uint64_t index = item["index"].as_uint(UINT64_MAX);
    if (index > 5) return wrong(member, "has an argument index above 5");
    const OperatorName* found = entry_of(kOperators, item["op"].as_string());
    if (found == nullptr)
      return wrong(member, "has an unknown operator: " + item["op"].as_string());
    uint64_t value = item["value"].as_uint(), second = item["valueTwo"].as_uint();
    bool masked = found->test == ArgumentTest::masked_equal;
    out.push_back({static_cast<unsigned>(index), found->test, masked ? second : value,
                   masked ? value : UINT64_MAX});
  }
  return out;
}

bool has_repeated_argument(const std::vector<ArgumentCondition>& conditions) {
  unsigned seen = 0;
  for (const ArgumentCondition& condition : conditions) {
    if ((seen & 1u << condition.index) != 0) return true;
    seen |= 1u << condition.index;
  }
  return false;
}

Status add_rule(const Json& rule, const std::string& member, uint32_t default_action,
                SeccompFilter& filter) {
  uint32_t action = TRY(action_of(rule["action"], rule["errnoRet"], member));
  std::vector<std::string> names;
  for (const Json& name : rule["names"].items()) names.push_back(name.as_string());
  if (rule["name"].is_string()) names.push_back(rule["name"].as_string());  // before 1.0.0-rc5
  if (names.empty()) return wrong(member, "names no system call");
  std::vector<ArgumentCondition> conditions = TRY(conditions_of(rule["args"], member));
  // The listener is handed over by writing: nobody would be there to answer.
  if (action == SECCOMP_RET_USER_NOTIF && action != default_action &&
      std::find(names.begin(), names.end(), "write") != names.end()) {
    return wrong(member, "SCMP_ACT_NOTIFY cannot be used for the write syscall");
  }
  for (const std::string& name : names) {
    if (action == default_action) {
      filter.note(name);
    } else if (!has_repeated_argument(conditions)) {
      filter.add(name, action, conditions);
    } else {
      // Several conditions on one argument are alternatives, as in runc.
      for (const ArgumentCondition& condition : conditions) filter.add(name, action, {condition});
    }
  }
  return ok();
}

Result<SeccompProgram> compile(const Json& config) {
  const uint32_t default_action =
      TRY(action_of(config["defaultAction"], config["defaultErrnoRet"], "defaultAction"));
  if (default_action == SECCOMP_RET_USER_NOTIF)
    return wrong("defaultAction", "cannot be SCMP_ACT_NOTIFY");
  SeccompFilter filter(default_action);
  bool refuses = default_action != SECCOMP_RET_ALLOW && default_action != SECCOMP_RET_LOG;
  if (refuses) filter.set_newer(SECCOMP_RET_ERRNO | ENOSYS);
  TRY(add_abis(config, filter));
  SeccompProgram out;
  bool notify = false;
  size_t index = 0;
  for (const Json& rule : config["syscalls"].items()) {
    notify = notify || rule["action"].as_string() == "SCMP_ACT_NOTIFY";
    TRY(add_rule(rule, "syscalls[" + std::to_string(index++) + "]", default_action, filter));
  }
  for (const Json& flag : config["flags"].items()) {
    const FlagName* found = entry_of(kFlags, flag.as_string());
    if (found == nullptr) return wrong("flags", "has an unknown flag: " + flag.as_string());
    out.flags |= found->flag;
  }
  out.listener_path = config["listenerPath"].as_string();
  out.listener_metadata = config["listenerMetadata"].as_string();
  if (notify) {
    if (out.listener_path.empty()) return wrong("listenerPath", "is required with SCMP_ACT_NOTIFY");
    out.flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
  } else {
    out.listener_path.clear();
  }
  out.instructions = filter.program();
  if (out.instructions.size() > BPF_MAXINSNS)
    return wrong("syscalls", "are too many for the kernel");
  return out;
}

// The cache: "stack seccomp 2\n" (another number whenever programs change), then lengths and bytes
// of key and program.
constexpr char kMagic[16] = {'s', 't', 'a', 'c', 'k', ' ', 's', 'e',
                             'c', 'c', 'o', 'm', 'p', ' ', '2', '\n'};
struct CacheHeader {
  char magic[16];
  uint32_t key_size, program_size, flags, unused;
};

std::string cache_path(const std::string& directory, const std::string& key) {
  uint64_t hash = 1469598103934665603ull;  // FNV-1a: only a name, the key itself is compared
  for (char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  char name[32];
  std::snprintf(name, sizeof name, "%016llx.bpf", static_cast<unsigned long long>(hash));
  return directory + "/" + name;
}

bool read_cache(const std::string& path, const std::string& key, SeccompProgram& out) {
  auto text = read_file(path, 4u << 20);
  if (!text.ok() || text->size() < sizeof(CacheHeader)) return false;
  CacheHeader header;
  std::memcpy(&header, text->data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return false;
  if (header.key_size != key.size() || header.program_size % sizeof(sock_filter) != 0) return false;
  if (text->size() != sizeof header + size_t{header.key_size} + header.program_size) return false;
  if (text->compare(sizeof header, key.size(), key) != 0) return false;
  out.instructions.resize(header.program_size / sizeof(sock_filter));
  std::memcpy(out.instructions.data(), text->data() + sizeof header + key.size(),
              header.program_size);
  out.flags = header.flags;
  return true;
}

void write_cache(const std::string& path, const std::string& key, const SeccompProgram& program) {
  CacheHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.key_size = static_cast<uint32_t>(key.size());
  header.program_size = static_cast<uint32_t>(program.instructions.size() * sizeof(sock_filter));
  header.flags = program.flags;
  std::string text(reinterpret_cast<const char*>(&header), sizeof header);
  text += key;
  text.append(reinterpret_cast<const char*>(program.instructions.data()), header.program_size);
  // A cache that cannot be written is only slower.
  (void)replace_file(path, text).ok();
}

}  // namespace

Result<SeccompProgram> compile_seccomp(const Json& config, const std::string& cache_dir) {
  if (config.is_null()) return SeccompProgram{};
  if (!config.is_object()) return fail("seccomp", "linux.seccomp must be an object", EINVAL);
  std::string key = syscall_abis().front().name + (" " + config.dump());
  std::string path = cache_dir.empty() ? "" : cache_path(cache_dir, key);
  SeccompProgram cached;
  if (!path.empty() && read_cache(path, key, cached)) {
    if ((cached.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0) {
      cached.listener_path = config["listenerPath"].as_string();
      cached.listener_metadata = config["listenerMetadata"].as_string();
    }
    return cached;
  }
  SeccompProgram program = TRY(compile(config));
  if (!path.empty()) write_cache(path, key, program);
  return program;
}

Result<int> load_seccomp(const SeccompProgram& program) {
  if (program.empty()) return -1;
  sock_fprog code{static_cast<unsigned short>(program.instructions.size()),
                  const_cast<sock_filter*>(program.instructions.data())};
  long result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, program.flags, &code);
  if (result < 0) return sys_fail("seccomp", "seccomp");
  bool listens = (program.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0;
  return listens ? static_cast<int>(result) : -1;
}

}  // namespace stack
