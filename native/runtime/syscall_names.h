#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace stack {

/** One way in which programs call this machine's kernel: as seccomp(2) shows it to a filter. */
struct SyscallAbi {
  const char* name;  // in OCI configurations: SCMP_ARCH_*
  uint32_t audit;    // seccomp_data.arch
  uint32_t base;     // added to the numbers: x32 shares its `arch` with x86-64
  unsigned column;   // of the table
  bool wide;         // 64 bits of an argument count, else the lower 32
  bool multiplexed;  // sockets and System V IPC also by way of socketcall and ipc
};

/** All ABIs of this kind of machine, its own first. */
const std::vector<SyscallAbi>& syscall_abis();

/** Whether `name` is one that some kind of machine has; then perhaps none that this one can have.
 */
bool is_abi_name(std::string_view name);

/** A system call that the table knows; absent: one that does not exist, or is newer. */
std::optional<unsigned> find_syscall(std::string_view name);

/** Its number in `abi`, with the base; absent: it has none there. */
std::optional<uint32_t> syscall_number(unsigned call, const SyscallAbi& abi);

/** Where an ABI multiplexes: the call that stands for another if its first argument is `selector`.
 */
struct MultiplexedCall {
  uint32_t number;  // of socketcall or ipc
  uint32_t selector;
};
std::optional<MultiplexedCall> multiplexed_call(std::string_view name, const SyscallAbi& abi);

}  // namespace stack
