#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "syscall_names.h"

namespace stack {

enum class ArgumentTest { equal, not_equal, less, at_most, greater, at_least, masked_equal };

/** One `args` of a rule: the argument, after `mask` for masked_equal, against `value`. */
struct ArgumentCondition {
  unsigned index;  // 0 to 5
  ArgumentTest test;
  uint64_t value;
  uint64_t mask;  // masked_equal's
};

/**
 * Rules about system calls, and the classic BPF program that applies them. Which rule decides: one
 * without conditions, the first that was written; else the first whose conditions all hold; else
 * the default. On ABIs with 32 bits the lower half of arguments and values is compared.
 *
 * Calls of an ABI that was not added kill the thread. The program finds the number of a call by
 * halving, among runs of neighbours with the same outcome.
 */
class SeccompFilter {
 public:
  explicit SeccompFilter(uint32_t default_action) : default_action_(default_action) {}

  void add_abi(const SyscallAbi& abi) { abis_.push_back({abi, {}, std::nullopt}); }

  /** A name that no ABI has is passed over: it falls under the default. */
  void add(const std::string& name, uint32_t action,
           const std::vector<ArgumentCondition>& conditions);
  /** Says that a call is known to the profile, without a rule. */
  void note(const std::string& name);
  /** Numbers above all that were named end with this, in place of the default. */
  void set_newer(uint32_t action) { newer_ = action; }

  std::vector<sock_filter> program() const;

 private:
  struct Rule {
    uint32_t action;
    std::vector<ArgumentCondition> conditions;
  };
  struct Abi {
    SyscallAbi abi;
    std::map<uint32_t, std::vector<Rule>> rules;  // by number
    std::optional<uint32_t> newest;               // the highest number named
    void note(uint32_t number) {
      if (!newest || *newest < number) newest = number;
    }
  };
  /** From `first` up to the next one's: a call with conditions, or numbers with one action. */
  struct Run {
    uint32_t first;
    uint32_t action;                 // where no rule holds
    const std::vector<Rule>* rules;  // null: there are none
    bool wide;
  };

  void append_runs(const Abi& abi, std::vector<Run>& runs) const;
  std::vector<Run> runs_of(uint32_t audit) const;
  static std::vector<sock_filter> leaf(const Run& run);
  static std::vector<sock_filter> search(const std::vector<Run>& runs, size_t from, size_t to);

  uint32_t default_action_;
  std::optional<uint32_t> newer_;
  std::vector<Abi> abis_;
};

}  // namespace stack
