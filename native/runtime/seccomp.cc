#include "seccomp.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>

#include "fs.h"

namespace stack {

namespace {

struct ActionName {
  const char* name;
  uint32_t action;
};
constexpr ActionName kActions[] = {{"SCMP_ACT_KILL", SCMP_ACT_KILL},
                                   {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
                                   {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
                                   {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
                                   {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
                                   {"SCMP_ACT_LOG", SCMP_ACT_LOG},
                                   {"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY}};

struct ArchName {
  const char* name;
  uint32_t arch;
};
constexpr ArchName kArchitectures[] = {{"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
                                       {"SCMP_ARCH_X86", SCMP_ARCH_X86},
                                       {"SCMP_ARCH_X32", SCMP_ARCH_X32},
                                       {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
                                       {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
                                       {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
                                       {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
                                       {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
                                       {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
                                       {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
                                       {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
                                       {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
                                       {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
                                       {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
                                       {"SCMP_ARCH_S390", SCMP_ARCH_S390},
                                       {"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
                                       {"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
                                       {"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
                                       {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64}};

struct OperatorName {
  const char* name;
  scmp_compare compare;
};
constexpr OperatorName kOperators[] = {{"SCMP_CMP_NE", SCMP_CMP_NE},
                                       {"SCMP_CMP_LT", SCMP_CMP_LT},
                                       {"SCMP_CMP_LE", SCMP_CMP_LE},
                                       {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                       {"SCMP_CMP_GE", SCMP_CMP_GE},
                                       {"SCMP_CMP_GT", SCMP_CMP_GT},
                                       {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};

struct FlagName {
  const char* name;
  uint32_t flag;
};
constexpr FlagName kFlags[] = {
    {"SECCOMP_FILTER_FLAG_TSYNC", 0},  // one thread only at that time: nothing to synchronise
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 1u << 5}};

Failure wrong(const std::string& member, const std::string& why) {
  return fail("seccomp", "linux.seccomp." + member + " " + why, EINVAL, "linux.seccomp." + member);
}

class Filter {
 public:
  Filter() = default;
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  ~Filter() {
    if (context_ != nullptr) ::seccomp_release(context_);
  }

  Result<SeccompProgram> compile(const Json& config);

 private:
  Result<uint32_t> action(const Json& name, const Json& errno_ret, const std::string& member) const;
  Status add_architectures(const Json& config);
  Status add_rules(const Json& rule, const std::string& member);
  Status add_rule(const std::string& name, uint32_t act, const Json& args,
                  const std::string& member);
  Result<std::vector<sock_filter>> exported() const;
  std::vector<sock_filter> newer_syscalls_prologue() const;
  void note_syscall(const std::string& name);

  scmp_filter_ctx context_ = nullptr;
  uint32_t default_action_ = 0;
  std::vector<uint32_t> architectures_;  // libseccomp's tokens
  std::map<uint32_t, int> newest_;       // highest number named, for each architecture
};

Result<uint32_t> Filter::action(const Json& name, const Json& errno_ret,
                                const std::string& member) const {
  const std::string& text = name.as_string();
  uint64_t number = errno_ret.is_null() ? EPERM : errno_ret.as_uint(UINT64_MAX);
  if (number > 4095 && !errno_ret.is_null()) return wrong(member, "errnoRet must be 0 to 4095");
  if (text == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(static_cast<uint32_t>(number));
  if (text == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(static_cast<uint32_t>(number));
  if (!errno_ret.is_null()) return wrong(member, "errnoRet does not go with " + text);
  for (const ActionName& entry : kActions) {
    if (text == entry.name) return entry.action;
  }
  return wrong(member, "has an unknown action: " + text);
}

Status Filter::add_architectures(const Json& config) {
  architectures_.push_back(::seccomp_arch_native());
  for (const Json& item : config["architectures"].items()) {
    auto found = std::find_if(std::begin(kArchitectures), std::end(kArchitectures),
                              [&](const ArchName& a) { return item.as_string() == a.name; });
    if (found == std::end(kArchitectures)) {
      return wrong("architectures", "has an unknown entry: " + item.as_string());
    }
    int result = ::seccomp_arch_add(context_, found->arch);
    if (result == -EEXIST) continue;
    // Profiles list the architectures of all machines; those of another byte order cannot be here.
    if (result == -EDOM || result == -EINVAL) continue;
    if (result != 0) return wrong("architectures", "cannot be had: " + item.as_string());
    architectures_.push_back(found->arch);
  }
  return ok();
}

void Filter::note_syscall(const std::string& name) {
  for (uint32_t arch : architectures_) {
    int number = ::seccomp_syscall_resolve_name_arch(arch, name.c_str());
    if (number < 0) continue;
    newest_[arch] = std::max(newest_[arch], number);
  }
}

Status Filter::add_rule(const std::string& name, uint32_t act, const Json& args,
                        const std::string& member) {
  int number = ::seccomp_syscall_resolve_name(name.c_str());
  // A name that this libseccomp does not know cannot be called by it either; profiles are written
  // for newer ones. It then falls under the default action.
  if (number == __NR_SCMP_ERROR) return ok();
  note_syscall(name);
  std::vector<scmp_arg_cmp> compares;
  std::vector<uint32_t> seen;
  bool repeated = false;
  for (const Json& item : args.items()) {
    uint64_t index = item["index"].as_uint(UINT64_MAX);
    if (index > 5) return wrong(member, "has an argument index above 5");
    auto found =
        std::find_if(std::begin(kOperators), std::end(kOperators),
                     [&](const OperatorName& o) { return item["op"].as_string() == o.name; });
    if (found == std::end(kOperators)) {
      return wrong(member, "has an unknown operator: " + item["op"].as_string());
    }
    unsigned argument = static_cast<unsigned>(index);
    if (std::find(seen.begin(), seen.end(), argument) != seen.end()) repeated = true;
    seen.push_back(argument);
    compares.push_back(scmp_arg_cmp{argument, found->compare, item["value"].as_uint(),
                                    item["valueTwo"].as_uint()});
  }
  auto add = [&](const scmp_arg_cmp* first, unsigned count) -> Status {
    int result = ::seccomp_rule_add_array(context_, act, number, count, first);
    if (result == 0 || result == -EEXIST || result == -EDOM) return ok();
    return wrong(member, "cannot be compiled for " + name + ": " + error_text(-result));
  };
  if (!repeated) return add(compares.data(), static_cast<unsigned>(compares.size()));
  // The library takes each argument once in a rule: then they are alternatives, as in runc.
  for (const scmp_arg_cmp& compare : compares) TRY(add(&compare, 1));
  return ok();
}

Status Filter::add_rules(const Json& rule, const std::string& member) {
  uint32_t act = TRY(action(rule["action"], rule["errnoRet"], member));
  std::vector<std::string> names;
  for (const Json& name : rule["names"].items()) names.push_back(name.as_string());
  if (rule["name"].is_string()) names.push_back(rule["name"].as_string());  // before 1.0.0-rc5
  if (names.empty()) return wrong(member, "names no system call");
  if (act == default_action_) {
    for (const std::string& name : names) note_syscall(name);
    return ok();
  }
  // The listener is handed over by writing: nobody would be there to answer.
  if (rule["action"].as_string() == "SCMP_ACT_NOTIFY" &&
      std::find(names.begin(), names.end(), "write") != names.end()) {
    return wrong(member, "SCMP_ACT_NOTIFY cannot be used for the write syscall");
  }
  for (const std::string& name : names) TRY(add_rule(name, act, rule["args"], member));
  return ok();
}

Result<std::vector<sock_filter>> Filter::exported() const {
  UniqueFd file(static_cast<int>(::syscall(SYS_memfd_create, "seccomp", 1u)));
  if (!file) return sys_fail("seccomp", "memfd_create");
  int result = ::seccomp_export_bpf(context_, file.get());
  if (result != 0) return sys_fail("seccomp", "seccomp_export_bpf", "", -result);
  off_t size = ::lseek(file.get(), 0, SEEK_END);
  std::vector<sock_filter> out(static_cast<size_t>(size) / sizeof(sock_filter));
  if (::pread(file.get(), out.data(), static_cast<size_t>(size), 0) != size) {
    return sys_fail("seccomp", "pread");
  }
  return out;
}

/** The audit architecture and, on x86-64, whether numbers carry the x32 bit. */
struct ArchView {
  uint32_t audit;
  bool x32;
};
ArchView view_of(uint32_t arch) {
  if (arch == SCMP_ARCH_X32) return {AUDIT_ARCH_X86_64, true};
  return {arch, false};  // libseccomp's tokens are the audit values for all others
}

/**
 * For each architecture: numbers above all that the profile knows → ENOSYS. Goes in front of the
 * library's program, which falls through to it otherwise.
 */
std::vector<sock_filter> Filter::newer_syscalls_prologue() const {
  constexpr uint32_t kX32Bit = 0x40000000;
  std::vector<sock_filter> out;
  for (const auto& [arch, newest] : newest_) {
    ArchView view = view_of(arch);
    uint32_t highest = static_cast<uint32_t>(newest);
    out.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
    if (view.audit != AUDIT_ARCH_X86_64) {
      out.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, view.audit, 0, 3));
      out.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
      out.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, highest, 0, 1));
    } else {
      out.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, view.audit, 0, 4));
      out.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
      if (view.x32) {
        out.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 2));
      } else {
        out.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 2, 0));
      }
      out.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, highest, 0, 1));
    }
    out.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
  }
  return out;
}

Result<SeccompProgram> Filter::compile(const Json& config) {
  default_action_ =
      TRY(action(config["defaultAction"], config["defaultErrnoRet"], "defaultAction"));
  if (default_action_ == SCMP_ACT_NOTIFY)
    return wrong("defaultAction", "cannot be SCMP_ACT_NOTIFY");
  context_ = ::seccomp_init(default_action_);
  if (context_ == nullptr) return fail("seccomp", "libseccomp refuses the default action", EINVAL);
  ::seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2);  // binary tree: profiles have hundreds
  TRY(add_architectures(config));
  SeccompProgram out;
  bool notify = false;
  size_t index = 0;
  for (const Json& rule : config["syscalls"].items()) {
    notify = notify || rule["action"].as_string() == "SCMP_ACT_NOTIFY";
    TRY(add_rules(rule, "syscalls[" + std::to_string(index++) + "]"));
  }
  for (const Json& flag : config["flags"].items()) {
    auto found = std::find_if(std::begin(kFlags), std::end(kFlags),
                              [&](const FlagName& f) { return flag.as_string() == f.name; });
    if (found == std::end(kFlags))
      return wrong("flags", "has an unknown flag: " + flag.as_string());
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
  out.instructions = TRY(exported());
  bool refuses = default_action_ != SCMP_ACT_ALLOW && default_action_ != SCMP_ACT_LOG;
  if (refuses) {
    std::vector<sock_filter> whole = newer_syscalls_prologue();
    whole.insert(whole.end(), out.instructions.begin(), out.instructions.end());
    out.instructions = std::move(whole);
  }
  if (out.instructions.size() > BPF_MAXINSNS)
    return wrong("syscalls", "are too many for the kernel");
  return out;
}

// The cache: "stack-seccomp 1\n", then lengths and bytes of key and program.
constexpr char kMagic[16] = {'s', 't', 'a', 'c', 'k', ' ', 's', 'e',
                             'c', 'c', 'o', 'm', 'p', ' ', '1', '\n'};
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
  const scmp_version* version = ::seccomp_version();
  std::string key = std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
                    std::to_string(version->micro) + " " + std::to_string(::seccomp_arch_native()) +
                    " " + config.dump();
  std::string path = cache_dir.empty() ? "" : cache_path(cache_dir, key);
  SeccompProgram cached;
  if (!path.empty() && read_cache(path, key, cached)) {
    if ((cached.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0) {
      cached.listener_path = config["listenerPath"].as_string();
      cached.listener_metadata = config["listenerMetadata"].as_string();
    }
    return cached;
  }
  Filter filter;
  SeccompProgram program = TRY(filter.compile(config));
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
