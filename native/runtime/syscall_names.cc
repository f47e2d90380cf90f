#include "syscall_names.h"

#include <linux/audit.h>

#include <cstring>
#include <iterator>

namespace stack {

namespace {

// A string of all names, each with its NUL, and a table of numbers per call: a fifth of the size of
// an array of structures with pointers.
constexpr char kNames[] =
#define CALL(name, x86_64, i386, x32, arm64, arm, riscv64) #name "\0"
#include "syscall_table.inc"
#undef CALL
    ;

#if defined(__x86_64__)
using Number = uint16_t;
constexpr Number NO = UINT16_MAX;
constexpr Number kNumbers[][3] = {
#define CALL(name, x86_64, i386, x32, arm64, arm, riscv64) {x86_64, i386, x32},
#include "syscall_table.inc"
#undef CALL
};
const std::vector<SyscallAbi>& abis() {
  static const std::vector<SyscallAbi> all = {
      {"SCMP_ARCH_X86_64", AUDIT_ARCH_X86_64, 0, 0, true, false},
      {"SCMP_ARCH_X86", AUDIT_ARCH_I386, 0, 1, false, true},
      {"SCMP_ARCH_X32", AUDIT_ARCH_X86_64, 0x40000000, 2, false, false}};
  return all;
}
#elif defined(__aarch64__)
using Number = uint32_t;  // arm has calls of its own from 0xf0001 on
constexpr Number NO = UINT32_MAX;
constexpr Number kNumbers[][2] = {
#define CALL(name, x86_64, i386, x32, arm64, arm, riscv64) {arm64, arm},
#include "syscall_table.inc"
#undef CALL
};
const std::vector<SyscallAbi>& abis() {
  static const std::vector<SyscallAbi> all = {
      {"SCMP_ARCH_AARCH64", AUDIT_ARCH_AARCH64, 0, 0, true, false},
      {"SCMP_ARCH_ARM", AUDIT_ARCH_ARM, 0, 1, false, false}};
  return all;
}
#elif defined(__riscv) && __riscv_xlen == 64
using Number = uint16_t;
constexpr Number NO = UINT16_MAX;
constexpr Number kNumbers[][1] = {
#define CALL(name, x86_64, i386, x32, arm64, arm, riscv64) {riscv64},
#include "syscall_table.inc"
#undef CALL
};
const std::vector<SyscallAbi>& abis() {
  static const std::vector<SyscallAbi> all = {
      {"SCMP_ARCH_RISCV64", AUDIT_ARCH_RISCV64, 0, 0, true, false}};
  return all;
}
#else
#error "syscall_table.inc has no column for this kind of machine"
#endif

constexpr const char* kAbiNames[] = {
    "SCMP_ARCH_X86_64",  "SCMP_ARCH_X86",      "SCMP_ARCH_X32",         "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",  "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",   "SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",        "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",  "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",     "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",    "SCMP_ARCH_SH",       "SCMP_ARCH_SHEB"};

/** Of socketcall(2) and ipc(2), from <linux/net.h> and <linux/ipc.h>. */
struct Selector {
  const char* name;
  bool socket;
  uint8_t value;
};
constexpr Selector kSelectors[] = {
    {"socket", true, 1},      {"bind", true, 2},        {"connect", true, 3},
    {"listen", true, 4},      {"accept", true, 5},      {"getsockname", true, 6},
    {"getpeername", true, 7}, {"socketpair", true, 8},  {"send", true, 9},
    {"recv", true, 10},       {"sendto", true, 11},     {"recvfrom", true, 12},
    {"shutdown", true, 13},   {"setsockopt", true, 14}, {"getsockopt", true, 15},
    {"sendmsg", true, 16},    {"recvmsg", true, 17},    {"accept4", true, 18},
    {"recvmmsg", true, 19},   {"sendmmsg", true, 20},   {"semop", false, 1},
    {"semget", false, 2},     {"semctl", false, 3},     {"semtimedop", false, 4},
    {"msgsnd", false, 11},    {"msgrcv", false, 12},    {"msgget", false, 13},
    {"msgctl", false, 14},    {"shmat", false, 21},     {"shmdt", false, 22},
    {"shmget", false, 23},    {"shmctl", false, 24}};
constexpr uint32_t kSocketcall = 102, kIpc = 117;  // i386's

}  // namespace

const std::vector<SyscallAbi>& syscall_abis() { return abis(); }

bool is_abi_name(std::string_view name) {
  for (const char* known : kAbiNames) {
    if (name == known) return true;
  }
  return false;
}

std::optional<unsigned> find_syscall(std::string_view name) {
  unsigned call = 0;
  for (const char* at = kNames; *at != '\0'; at += std::strlen(at) + 1, ++call) {
    if (name == at) return call;
  }
  return std::nullopt;
}

std::optional<uint32_t> syscall_number(unsigned call, const SyscallAbi& abi) {
  if (call >= std::size(kNumbers) || kNumbers[call][abi.column] == NO) return std::nullopt;
  return kNumbers[call][abi.column] + abi.base;
}

std::optional<MultiplexedCall> multiplexed_call(std::string_view name, const SyscallAbi& abi) {
  if (!abi.multiplexed) return std::nullopt;
  for (const Selector& selector : kSelectors) {
    if (name == selector.name)
      return MultiplexedCall{selector.socket ? kSocketcall : kIpc, selector.value};
  }
  return std::nullopt;
}

}  // namespace stack
