#include "seccomp_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>

namespace stack {

namespace {

using Code = std::vector<sock_filter>;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the halves of an argument");
constexpr uint32_t low_half(unsigned argument) {
  return static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * argument);
}
constexpr uint32_t high_half(unsigned argument) { return low_half(argument) + 4; }

sock_filter load(uint32_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }
sock_filter ret(uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }
sock_filter mask_with(uint32_t bits) { return BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits); }
sock_filter skip(size_t count) { return BPF_STMT(BPF_JMP | BPF_JA, static_cast<uint32_t>(count)); }
sock_filter jump(uint16_t comparison, uint32_t value, uint8_t if_true, uint8_t if_false) {
  return BPF_JUMP(static_cast<uint16_t>(BPF_JMP | comparison | BPF_K), value, if_true, if_false);
}
bool is_jump(const sock_filter& instruction) { return BPF_CLASS(instruction.code) == BPF_JMP; }

void append(Code& code, const Code& more) { code.insert(code.end(), more.begin(), more.end()); }

// Targets that are not known yet. Nothing jumps so far: a rule has at most 37 instructions.
constexpr uint8_t kHolds = 0xfe, kFails = 0xff;

/** Leads the open jumps from `from` on, those to `target`, to the end of the code. */
void land(Code& code, size_t from, uint8_t target) {
  for (size_t i = from; i < code.size(); ++i) {
    if (!is_jump(code[i])) continue;
    auto distance = static_cast<uint8_t>(code.size() - i - 1);
    if (code[i].jt == target) code[i].jt = distance;
    if (code[i].jf == target) code[i].jf = distance;
  }
}

/** Goes on behind the code, or to kHolds, if the argument is so; else to kFails. */
void append_comparison(Code& code, uint16_t comparison, unsigned argument, uint64_t value,
                       bool wide, uint8_t holds, uint8_t fails) {
  auto high = static_cast<uint32_t>(value >> 32);
  if (wide) {
    code.push_back(load(high_half(argument)));
    if (comparison != BPF_JEQ) code.push_back(jump(BPF_JGT, high, holds, 0));
    code.push_back(jump(BPF_JEQ, high, 0, fails));
  }
  code.push_back(load(low_half(argument)));
  code.push_back(jump(comparison, static_cast<uint32_t>(value), holds, fails));
}

void append_masked(Code& code, const ArgumentCondition& condition, bool wide) {
  const uint64_t value = condition.value & condition.mask;
  auto half = [&](uint32_t offset, unsigned shift) {
    auto mask = static_cast<uint32_t>(condition.mask >> shift);
    if (mask == 0) return;
    code.push_back(load(offset));
    code.push_back(mask_with(mask));
    code.push_back(jump(BPF_JEQ, static_cast<uint32_t>(value >> shift), 0, kFails));
  };
  if (wide) half(high_half(condition.index), 32);
  half(low_half(condition.index), 0);
}

void append_condition(Code& code, const ArgumentCondition& condition, bool wide) {
  const size_t start = code.size();
  auto compare = [&](uint16_t comparison, uint8_t holds, uint8_t fails) {
    append_comparison(code, comparison, condition.index, condition.value, wide, holds, fails);
  };
  switch (condition.test) {
    case ArgumentTest::equal:
      compare(BPF_JEQ, kHolds, kFails);
      break;
    case ArgumentTest::greater:
      compare(BPF_JGT, kHolds, kFails);
      break;
    case ArgumentTest::at_least:
      compare(BPF_JGE, kHolds, kFails);
      break;
    case ArgumentTest::not_equal:
      compare(BPF_JEQ, kFails, kHolds);
      break;
    case ArgumentTest::at_most:
      compare(BPF_JGT, kFails, kHolds);
      break;
    case ArgumentTest::less:
      compare(BPF_JGE, kFails, kHolds);
      break;
    case ArgumentTest::masked_equal:
      append_masked(code, condition, wide);
      break;
  }
  land(code, start, kHolds);
}

}  // namespace

void SeccompFilter::note(const std::string& name) {
  auto call = find_syscall(name);
  if (!call) return;
  for (Abi& abi : abis_) {
    if (auto number = syscall_number(*call, abi.abi)) abi.note(*number);
    if (auto other = multiplexed_call(name, abi.abi)) abi.note(other->number);
  }
}

void SeccompFilter::add(const std::string& name, uint32_t action,
                        const std::vector<ArgumentCondition>& conditions) {
  auto call = find_syscall(name);
  if (!call) return;
  note(name);
  for (Abi& abi : abis_) {
    if (auto number = syscall_number(*call, abi.abi))
      abi.rules[*number].push_back({action, conditions});
    auto other = multiplexed_call(name, abi.abi);
    if (!other) continue;
    // Its first argument selects, in place of the call's own; the others are what libseccomp, too,
    // looks at, though what the call itself is given lies in memory, out of reach.
    std::vector<ArgumentCondition> selected = {
        {0, ArgumentTest::equal, other->selector, UINT64_MAX}};
    for (const ArgumentCondition& condition : conditions) {
      if (condition.index != 0) selected.push_back(condition);
    }
    abi.rules[other->number].push_back({action, std::move(selected)});
  }
}

void SeccompFilter::append_runs(const Abi& abi, std::vector<Run>& runs) const {
  auto begin_run = [&](uint32_t first, uint32_t action, const std::vector<Rule>* rules) {
    if (!runs.empty() && runs.back().first == first) runs.pop_back();
    bool same = !runs.empty() && rules == nullptr && runs.back().rules == nullptr &&
                runs.back().action == action;
    if (!same) runs.push_back({first, action, rules, abi.abi.wide});
  };
  uint32_t next = abi.abi.base;
  begin_run(next, default_action_, nullptr);
  for (const auto& [number, rules] : abi.rules) {
    if (number > next) begin_run(next, default_action_, nullptr);
    auto always = std::find_if(rules.begin(), rules.end(),
                               [](const Rule& rule) { return rule.conditions.empty(); });
    if (always != rules.end()) {
      begin_run(number, always->action, nullptr);
    } else {
      begin_run(number, default_action_, &rules);
    }
    next = number + 1;
  }
  if (!newer_ || !abi.newest) return begin_run(next, default_action_, nullptr);
  if (*abi.newest >= next) begin_run(next, default_action_, nullptr);
  begin_run(*abi.newest + 1, *newer_, nullptr);
}

std::vector<SeccompFilter::Run> SeccompFilter::runs_of(uint32_t audit) const {
  std::vector<Run> runs;
  uint32_t last_base = 0;
  for (const Abi& abi : abis_) {  // in the order of their bases
    if (abi.abi.audit != audit) continue;
    append_runs(abi, runs);
    last_base = abi.abi.base;
  }
  // The numbers of x32 belong to an ABI of its own, except for -1, with which a tracer skips a
  // call.
  if (audit == AUDIT_ARCH_X86_64 && last_base == 0) {
    runs.push_back({0x40000000, SECCOMP_RET_KILL_THREAD, nullptr, true});
    runs.push_back({UINT32_MAX, default_action_, nullptr, true});
  }
  return runs;
}

/** Ends the program: by the first rule that holds. */
std::vector<sock_filter> SeccompFilter::leaf(const Run& run) {
  Code code;
  if (run.rules != nullptr) {
    for (const Rule& rule : *run.rules) {
      const size_t start = code.size();
      for (const ArgumentCondition& condition : rule.conditions)
        append_condition(code, condition, run.wide);
      code.push_back(ret(rule.action));
      land(code, start, kFails);
    }
  }
  code.push_back(ret(run.action));
  return code;
}

std::vector<sock_filter> SeccompFilter::search(const std::vector<Run>& runs, size_t from,
                                               size_t to) {
  if (to - from == 1) return leaf(runs[from]);
  const size_t middle = from + (to - from) / 2;
  Code below = search(runs, from, middle);
  Code code;
  if (below.size() < kHolds) {
    code.push_back(jump(BPF_JGE, runs[middle].first, static_cast<uint8_t>(below.size()), 0));
  } else {
    code.push_back(jump(BPF_JGE, runs[middle].first, 0, 1));
    code.push_back(skip(below.size()));
  }
  append(code, below);
  append(code, search(runs, middle, to));
  return code;
}

std::vector<sock_filter> SeccompFilter::program() const {
  Code code = {load(offsetof(seccomp_data, arch))};
  std::vector<uint32_t> done;
  for (const Abi& abi : abis_) {
    const uint32_t audit = abi.abi.audit;
    if (std::find(done.begin(), done.end(), audit) != done.end()) continue;
    done.push_back(audit);
    std::vector<Run> runs = runs_of(audit);
    Code calls = {load(offsetof(seccomp_data, nr))};
    append(calls, search(runs, 0, runs.size()));
    code.push_back(jump(BPF_JEQ, audit, 1, 0));
    code.push_back(skip(calls.size()));
    append(code, calls);
  }
  code.push_back(ret(SECCOMP_RET_KILL_THREAD));
  return code;
}

}  // namespace stack
