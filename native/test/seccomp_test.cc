// The filters of seccomp_filter.cc against libseccomp's, and against the rules as they read: random
// profiles, each asked about every system call of every ABI, with arguments around the values that
// the rules name. The programs are interpreted, as the kernel does. Arguments: seed, rounds.
//
// With libseccomp the profiles have one rule per call, and conditions only where it is alone and
// not of those that i386 multiplexes: where more meets, libseccomp 2.5 at times errs.
// Built and run by test/integration/seccomp-filter.test.ts.
#include "../runtime/seccomp.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "../runtime/seccomp_filter.h"
#include "fs.h"
#include "json.h"

using namespace stack;

namespace {

using Program = std::vector<sock_filter>;
std::mt19937 random_bits;
size_t asked = 0;

size_t below(size_t limit) { return random_bits() % limit; }

uint32_t run(const Program& program, const seccomp_data& data) {
  uint32_t a = 0;
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const sock_filter& i = program[pc];
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, sizeof a);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= i.k;
        break;
      case BPF_JMP | BPF_JA:
        pc += i.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        pc += a == i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        pc += a > i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        pc += a >= i.k ? i.jt : i.jf;
        break;
      case BPF_RET | BPF_K:
        return i.k;
      default:
        std::printf("instruction %x\n", i.code);
        std::exit(1);
    }
  }
  std::printf("a program without an end\n");
  std::exit(1);
}

struct Rule {
  std::string name;
  unsigned call;
  uint32_t action;
  std::vector<ArgumentCondition> conditions;
};
struct Profile {
  uint32_t default_action;
  std::vector<const SyscallAbi*> abis;
  std::vector<Rule> rules;
};

constexpr uint32_t kNewer = SECCOMP_RET_ERRNO | ENOSYS;

bool holds(const ArgumentCondition& c, const seccomp_data& data, bool wide) {
  const uint64_t bits = wide ? UINT64_MAX : UINT32_MAX;
  const uint64_t given = data.args[c.index] & bits, value = c.value & bits;
  switch (c.test) {
    case ArgumentTest::equal:
      return given == value;
    case ArgumentTest::not_equal:
      return given != value;
    case ArgumentTest::less:
      return given < value;
    case ArgumentTest::at_most:
      return given <= value;
    case ArgumentTest::greater:
      return given > value;
    case ArgumentTest::at_least:
      return given >= value;
    case ArgumentTest::masked_equal:
      return (given & c.mask) == (value & c.mask);
  }
  return false;
}

/** What the rules say, read one by one; `newer`: what follows the newest call that is named. */
uint32_t read_rules(const Profile& profile, const seccomp_data& data, bool newer) {
  const uint32_t nr = static_cast<uint32_t>(data.nr);
  for (const SyscallAbi* abi : profile.abis) {
    bool x32 = (nr & 0x40000000) != 0;
    if (abi->audit != data.arch) continue;
    if (abi->audit == AUDIT_ARCH_X86_64 && x32 != (abi->base != 0)) {
      bool skipped = nr == UINT32_MAX && profile.abis.back()->base == 0;
      if (!skipped) continue;
      return profile.default_action;
    }
    const Rule* first = nullptr;
    std::optional<uint32_t> newest;
    for (const Rule& rule : profile.rules) {
      auto number = syscall_number(rule.call, *abi);
      if (number && (!newest || *newest < *number)) newest = number;
      auto other = multiplexed_call(rule.name, *abi);
      if (other && (!newest || *newest < other->number)) newest = other->number;
      bool selects = abi->multiplexed && (nr == 102 || nr == 117);
      if (!selects && (!number || *number != nr)) continue;
      std::vector<ArgumentCondition> conditions = rule.conditions;
      if (other && other->number == nr) {
        std::erase_if(conditions, [](const ArgumentCondition& c) { return c.index == 0; });
        conditions.push_back({0, ArgumentTest::equal, other->selector, UINT64_MAX});
      } else if (!number || *number != nr) {
        continue;
      }
      bool all = true;
      for (const ArgumentCondition& c : conditions) all = all && holds(c, data, abi->wide);
      if (conditions.empty()) return rule.action;
      if (all && first == nullptr) first = &rule;
    }
    // An unconditional rule further on would have returned.
    if (first != nullptr) return first->action;
    return newer && newest && nr > *newest ? kNewer : profile.default_action;
  }
  return SECCOMP_RET_KILL_THREAD;
}

Program by_us(const Profile& profile, bool newer) {
  SeccompFilter filter(profile.default_action);
  if (newer) filter.set_newer(kNewer);
  for (const SyscallAbi* abi : profile.abis) filter.add_abi(*abi);
  for (const Rule& rule : profile.rules) filter.add(rule.name, rule.action, rule.conditions);
  return filter.program();
}

scmp_arg_cmp compare_of(const ArgumentCondition& c) {
  constexpr scmp_compare kOperators[] = {SCMP_CMP_EQ, SCMP_CMP_NE, SCMP_CMP_LT,       SCMP_CMP_LE,
                                         SCMP_CMP_GT, SCMP_CMP_GE, SCMP_CMP_MASKED_EQ};
  bool masked = c.test == ArgumentTest::masked_equal;
  return {c.index, kOperators[static_cast<int>(c.test)], masked ? c.mask : c.value, c.value};
}

Program by_libseccomp(const Profile& profile) {
  scmp_filter_ctx context = ::seccomp_init(profile.default_action);
  for (const SyscallAbi* abi : profile.abis) {
    int result = ::seccomp_arch_add(
        context, ::seccomp_arch_resolve_name(std::string(abi->name) == "SCMP_ARCH_X86_64" ? "x86_64"
                                             : abi->base != 0                             ? "x32"
                                                                                          : "x86"));
    if (result != 0 && result != -EEXIST) std::exit((std::printf("architecture %d\n", result), 1));
  }
  for (const Rule& rule : profile.rules) {
    int number = ::seccomp_syscall_resolve_name(rule.name.c_str());
    if (number == __NR_SCMP_ERROR) continue;
    std::vector<scmp_arg_cmp> compares;
    for (const ArgumentCondition& c : rule.conditions) compares.push_back(compare_of(c));
    int result = ::seccomp_rule_add_array(context, rule.action, number,
                                          static_cast<unsigned>(compares.size()), compares.data());
    if (result != 0 && result != -EEXIST && result != -EDOM)
      std::exit((std::printf("%s: rule %d\n", rule.name.c_str(), result), 1));
  }
  int file = ::memfd_create("filter", 0);
  if (::seccomp_export_bpf(context, file) != 0) std::exit((std::printf("export\n"), 1));
  Program out(static_cast<size_t>(::lseek(file, 0, SEEK_END)) / sizeof(sock_filter));
  if (::pread(file, out.data(), out.size() * sizeof(sock_filter), 0) < 0) std::exit(1);
  ::close(file);
  ::seccomp_release(context);
  return out;
}

[[noreturn]] void differ(const char* what, const seccomp_data& data, uint32_t ours,
                         uint32_t theirs) {
  std::printf("%s: arch %x call %d (%llx, %llx, %llx): %x, not %x\n", what, data.arch, data.nr,
              data.args[0], data.args[1], data.args[2], ours, theirs);
  std::exit(1);
}

/** Every call, with arguments around the values that the rules name. */
template <typename Ask>
void ask_everything(const Profile& profile, Ask ask) {
  std::vector<uint64_t> values = {0, 1, 5, UINT32_MAX, 1ull << 32, UINT64_MAX};
  for (const Rule& rule : profile.rules) {
    for (const ArgumentCondition& c : rule.conditions) {
      for (uint64_t v : std::initializer_list<uint64_t>{c.value, c.value + 1, c.value - 1,
                                                        c.value ^ (1ull << 32), c.value | ~c.mask})
        values.push_back(v);
    }
  }
  for (const SyscallAbi& abi : syscall_abis()) {
    for (int64_t n = -1; n < 600; ++n) {
      seccomp_data data{};
      data.arch = abi.audit;
      data.nr = static_cast<int>(n < 0 ? UINT32_MAX : static_cast<uint32_t>(n) + abi.base);
      for (int round = 0; round < 6; ++round) {
        for (auto& argument : data.args) argument = values[below(values.size())];
        ++asked;
        ask(data);
      }
    }
  }
  for (uint32_t arch : std::initializer_list<uint32_t>{AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM, 0u}) {
    seccomp_data data{};
    data.arch = arch;
    ask(data);
  }
}

std::vector<std::string> all_names() {
  return {
#define CALL(name, x86_64, i386, x32, arm64, arm, riscv64) #name,
#include "../runtime/syscall_table.inc"
#undef CALL
  };
}

bool is_multiplexed(const std::string& name) {
  for (const SyscallAbi& abi : syscall_abis()) {
    if (multiplexed_call(name, abi) || name == "socketcall" || name == "ipc") return true;
  }
  return false;
}

/** `simple`: what libseccomp is equal to the task of. */
Profile random_profile(bool simple) {
  static const std::vector<std::string> names = all_names();
  constexpr uint32_t kActions[] = {SECCOMP_RET_ALLOW,          SECCOMP_RET_ERRNO | EPERM,
                                   SECCOMP_RET_ERRNO | ENOENT, SECCOMP_RET_LOG,
                                   SECCOMP_RET_KILL_PROCESS,   SECCOMP_RET_TRAP};
  Profile out;
  out.default_action = kActions[below(std::size(kActions))];
  out.abis.push_back(&syscall_abis().front());
  for (size_t i = 1; i < syscall_abis().size(); ++i) {
    if (below(2) != 0) out.abis.push_back(&syscall_abis()[i]);
  }
  const size_t count = below(2) != 0 ? 1 : below(120);
  // One that every ABI has.
  out.rules.push_back({"getpid", find_syscall("getpid").value(), SECCOMP_RET_ERRNO | ENOSPC, {}});
  std::set<std::string> used = {"getpid"};
  for (size_t i = 0; i < count; ++i) {
    const std::string& name = names[below(names.size())];
    // Calls that are newer than the library.
    if (::seccomp_syscall_resolve_name(name.c_str()) == __NR_SCMP_ERROR) continue;
    Rule rule{name, find_syscall(name).value(), kActions[below(std::size(kActions))], {}};
    if (rule.action == out.default_action) continue;
    if (simple && !used.insert(rule.name).second) continue;
    for (unsigned argument = 0; argument < 6; ++argument) {
      if (below(5) != 0 || (simple && (count > 1 || is_multiplexed(name)))) continue;
      auto test = static_cast<ArgumentTest>(below(7));
      uint64_t value = below(3) == 0 ? random_bits() * (1ull << below(40)) : below(8);
      uint64_t mask = test != ArgumentTest::masked_equal
                          ? UINT64_MAX
                          : (uint64_t{random_bits()} << 32 | random_bits());
      rule.conditions.push_back({argument, test, value, mask});
    }
    out.rules.push_back(std::move(rule));
  }
  return out;
}

void compare(const Profile& profile, bool with_libseccomp) {
  for (bool newer : {false, true}) {
    Program ours = by_us(profile, newer);
    ask_everything(profile, [&](const seccomp_data& data) {
      uint32_t answer = run(ours, data), rules = read_rules(profile, data, newer);
      if (answer != rules) differ("the rules", data, answer, rules);
    });
  }
  if (!with_libseccomp) return;
  Program ours = by_us(profile, false), theirs = by_libseccomp(profile);
  ask_everything(profile, [&](const seccomp_data& data) {
    uint32_t answer = run(ours, data), other = run(theirs, data);
    if (answer != other) differ("libseccomp", data, answer, other);
  });
}

}  // namespace

int main(int, char** argv) {
  random_bits.seed(static_cast<unsigned>(std::atoi(argv[1])));
  const int rounds = std::atoi(argv[2]);
  for (int i = 0; i < rounds; ++i) {
    compare(random_profile(true), true);
    compare(random_profile(false), false);
  }
  std::printf("%zu questions\n", asked);
}
