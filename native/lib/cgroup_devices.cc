#include "cgroup_devices.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>

#include "cgroup.h"
#include "fs.h"

// Which devices a container may open: the devices controller of v1, a BPF program on the unified
// hierarchy. Rules apply in order, the last that fits decides (config-linux.md "Allowed Device
// list").

namespace stack {

namespace {

constexpr int64_t kAny = -1;

struct Rule {
  bool allow = false;
  char type = 'a';  // a b c
  int64_t major = kAny, minor = kAny;
  std::string access;  // of r w m
};

/** Appended to the configuration's own: what every container has in /dev, and making nodes (opening
   is what is checked). */
const std::vector<Rule>& default_rules() {
  static const std::vector<Rule> rules = {
      {true, 'c', kAny, kAny, "m"}, {true, 'b', kAny, kAny, "m"}, {true, 'c', 1, 3, "rwm"},
      {true, 'c', 1, 8, "rwm"},     {true, 'c', 1, 7, "rwm"},     {true, 'c', 5, 0, "rwm"},
      {true, 'c', 1, 5, "rwm"},     {true, 'c', 1, 9, "rwm"},     {true, 'c', 136, kAny, "rwm"},
      {true, 'c', 5, 2, "rwm"}};
  return rules;
}

Result<Rule> parse_rule(const Json& json) {
  Rule rule;
  rule.allow = json["allow"].as_bool();
  const std::string& type = json["type"].as_string();
  if (type.empty() || type == "a") {
    rule.type = 'a';
  } else if (type == "c" || type == "u" || type == "b") {
    rule.type = type == "b" ? 'b' : 'c';
  } else {
    return fail("cgroup devices", "linux.resources.devices: unknown type " + type, EINVAL,
                "devices");
  }
  rule.major = json["major"].as_int(kAny);
  rule.minor = json["minor"].as_int(kAny);
  rule.access = json["access"].string_or("rwm");
  if (rule.access.empty()) rule.access = "rwm";
  if (rule.access.find_first_not_of("rwm") != std::string::npos) {
    return fail("cgroup devices", "linux.resources.devices: access must be of r, w, m", EINVAL,
                "devices");
  }
  return rule;
}

std::string number_or_star(int64_t value) { return value < 0 ? "*" : std::to_string(value); }

std::string line_of(const Rule& rule) {
  if (rule.type == 'a' && rule.major < 0 && rule.minor < 0) return "a";
  return std::string(1, rule.type) + " " + number_or_star(rule.major) + ":" +
         number_or_star(rule.minor) + " " + rule.access;
}

/** Both files of v1, each open for all of its rules. */
class DeviceFiles {
 public:
  explicit DeviceFiles(std::string directory) : directory_(std::move(directory)) {}

  Status write(const Rule& rule) {
    std::string line = line_of(rule);
    // Said twice in a row (by the configuration, and by what every container has): nothing new.
    if (rule.allow && std::ranges::find(allowed_, line) != allowed_.end()) return ok();
    std::string file = directory_ + (rule.allow ? "/devices.allow" : "/devices.deny");
    UniqueFd& fd = rule.allow ? allow_ : deny_;
    if (!fd) fd = UniqueFd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return sys_fail("cgroup devices", "open", file);
    if (::write(fd.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
      Failure failure = sys_fail("cgroup devices", "write", file);
      if (failure.err == EPERM)
        failure.message += " (\"" + line + "\" is more than the parent cgroup allows)";
      return failure;
    }
    if (rule.allow)
      allowed_.push_back(std::move(line));
    else
      allowed_.clear();
    return ok();
  }

 private:
  std::string directory_;
  UniqueFd allow_, deny_;
  std::vector<std::string> allowed_;  // since the last rule that denies
};

// --- eBPF: r1 points to bpf_cgroup_dev_ctx {u32 access_type, major, minor}.

class Program {
 public:
  void op(uint8_t code, uint8_t dst, uint8_t src, int16_t offset, int32_t immediate) {
    bpf_insn instruction{};
    instruction.code = code;
    instruction.dst_reg = dst & 0xf;
    instruction.src_reg = src & 0xf;
    instruction.off = offset;
    instruction.imm = immediate;
    code_.push_back(instruction);
  }
  size_t size() const { return code_.size(); }
  bpf_insn& at(size_t index) { return code_[index]; }
  std::vector<bpf_insn> take() && { return std::move(code_); }

 private:
  std::vector<bpf_insn> code_;
};

constexpr uint8_t kLoadWord = BPF_LDX | BPF_MEM | BPF_W;
constexpr uint8_t kJumpNotEqual = BPF_JMP32 | BPF_JNE | BPF_K;
constexpr uint8_t kMoveImmediate = BPF_ALU64 | BPF_MOV | BPF_K;
constexpr uint8_t kMoveRegister = BPF_ALU64 | BPF_MOV | BPF_X;
constexpr uint8_t kExit = BPF_JMP | BPF_EXIT;

int32_t access_mask(const std::string& access) {
  int32_t mask = 0;
  if (access.find('m') != std::string::npos) mask |= BPF_DEVCG_ACC_MKNOD;
  if (access.find('r') != std::string::npos) mask |= BPF_DEVCG_ACC_READ;
  if (access.find('w') != std::string::npos) mask |= BPF_DEVCG_ACC_WRITE;
  return mask;
}

bool same_devices(const Rule& a, const Rule& b) {
  return a.type == b.type && a.major == b.major && a.minor == b.minor;
}

bool share_devices(const Rule& a, const Rule& b) {
  auto meet = [](int64_t x, int64_t y) { return x < 0 || y < 0 || x == y; };
  bool types = a.type == 'a' || b.type == 'a' || a.type == b.type;
  return types && meet(a.major, b.major) && meet(a.minor, b.minor);
}

/** v1 adds what a second rule for the same devices allows to the first ("r" and "w" make O_RDWR
   possible), while a program sees each rule alone: so the later one takes over what the earlier
   ones allow, but for what was denied on any of these devices in between. */
std::vector<Rule> merge_allowed(std::vector<Rule> rules) {
  for (size_t i = 0; i < rules.size(); i++) {
    Rule& rule = rules[i];
    if (!rule.allow) continue;
    std::string denied;
    for (size_t j = i; j > 0; j--) {
      const Rule& earlier = rules[j - 1];
      if (!earlier.allow && share_devices(earlier, rule)) denied += earlier.access;
      if (!earlier.allow || !same_devices(earlier, rule)) continue;
      for (char access : earlier.access) {
        if (denied.find(access) == std::string::npos) rule.access += access;
      }
      break;  // it has taken over what came before itself, and that is in its access already
    }
  }
  return rules;
}

/** One rule: falls through to the next if it does not fit. r2 type, r3 access, r4 major, r5 minor.
 */
void emit_rule(Program& out, const Rule& rule) {
  std::vector<size_t> to_next;
  auto unless_equal = [&](uint8_t reg, int32_t value) {
    to_next.push_back(out.size());
    out.op(kJumpNotEqual, reg, 0, 0, value);
  };
  if (rule.type != 'a')
    unless_equal(2, rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
  int32_t mask = access_mask(rule.access);
  constexpr int32_t kAll = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;
  if (mask != kAll) {
    out.op(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0);
    if (rule.allow) {
      // Fits if nothing beyond the mask is asked for.
      out.op(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, kAll & ~mask);
      unless_equal(1, 0);
    } else {
      // Fits if anything of the mask is asked for.
      out.op(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, mask);
      to_next.push_back(out.size());
      out.op(BPF_JMP32 | BPF_JEQ | BPF_K, 1, 0, 0, 0);
    }
  }
  if (rule.major >= 0) unless_equal(4, static_cast<int32_t>(rule.major));
  if (rule.minor >= 0) unless_equal(5, static_cast<int32_t>(rule.minor));
  out.op(kMoveImmediate, 0, 0, 0, rule.allow ? 1 : 0);
  out.op(kExit, 0, 0, 0, 0);
  for (size_t jump : to_next) out.at(jump).off = static_cast<int16_t>(out.size() - jump - 1);
}

Program compile(const std::vector<Rule>& rules) {
  Program out;
  out.op(kLoadWord, 2, 1, 0, 0);
  out.op(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
  out.op(kLoadWord, 3, 1, 0, 0);
  out.op(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
  out.op(kLoadWord, 4, 1, 4, 0);
  out.op(kLoadWord, 5, 1, 8, 0);
  size_t first = 0;
  bool decided = false;
  // What is before a rule for everything can never decide.
  for (size_t i = 0; i < rules.size(); i++) {
    const Rule& rule = rules[i];
    if (rule.type != 'a' || rule.major >= 0 || rule.minor >= 0 || access_mask(rule.access) != 7)
      continue;
    first = i;
    decided = true;
  }
  for (size_t i = rules.size(); i > first; i--) emit_rule(out, rules[i - 1]);
  // The verifier refuses instructions that cannot be reached.
  if (decided) return out;
  out.op(kMoveImmediate, 0, 0, 0, 0);
  out.op(kExit, 0, 0, 0, 0);
  return out;
}

Result<std::vector<Rule>> parse_rules(const Json& list) {
  std::vector<Rule> rules = {{false, 'a', kAny, kAny, "rwm"}};
  for (const Json& item : list.items()) rules.push_back(TRY(parse_rule(item)));
  rules.insert(rules.end(), default_rules().begin(), default_rules().end());
  return rules;
}

long bpf(int command, bpf_attr& attr) { return ::syscall(SYS_bpf, command, &attr, sizeof attr); }

/** Kernels before 5.11 charge programs to RLIMIT_MEMLOCK. */
void raise_memlock() {
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  if (::setrlimit(RLIMIT_MEMLOCK, &limit) == 0) return;
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_MEMLOCK, &limit);
  }
}

Result<UniqueFd> load_program(const std::vector<bpf_insn>& program) {
  static const char license[] = "Apache-2.0";
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = reinterpret_cast<uint64_t>(program.data());
  attr.insn_cnt = static_cast<uint32_t>(program.size());
  attr.license = reinterpret_cast<uint64_t>(license);
  UniqueFd fd(static_cast<int>(bpf(BPF_PROG_LOAD, attr)));
  if (!fd && errno == EPERM) {
    raise_memlock();
    fd.reset(static_cast<int>(bpf(BPF_PROG_LOAD, attr)));
  }
  if (!fd) return sys_fail("cgroup devices", "bpf(BPF_PROG_LOAD)");
  return fd;
}

/** The one program that is attached there, -1 if there are none or several. */
Result<UniqueFd> attached_program(int directory) {
  uint32_t ids[8] = {};
  bpf_attr attr{};
  attr.query.target_fd = static_cast<uint32_t>(directory);
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = reinterpret_cast<uint64_t>(ids);
  attr.query.prog_cnt = 8;
  if (bpf(BPF_PROG_QUERY, attr) != 0) return sys_fail("cgroup devices", "bpf(BPF_PROG_QUERY)");
  if (attr.query.prog_cnt != 1) return UniqueFd();
  bpf_attr open{};
  open.prog_id = ids[0];
  return UniqueFd(static_cast<int>(bpf(BPF_PROG_GET_FD_BY_ID, open)));
}

Status attach_program(const std::string& path, const std::vector<bpf_insn>& code) {
  UniqueFd program = TRY(load_program(code));
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return sys_fail("cgroup devices", "open", path);
  UniqueFd before = TRY(attached_program(directory.get()));
  bpf_attr attr{};
  attr.target_fd = static_cast<uint32_t>(directory.get());
  attr.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  if (before) {
    attr.attach_flags |= BPF_F_REPLACE;
    attr.replace_bpf_fd = static_cast<uint32_t>(before.get());
  }
  if (bpf(BPF_PROG_ATTACH, attr) != 0)
    return sys_fail("cgroup devices", "bpf(BPF_PROG_ATTACH)", path);
  return ok();
}

}  // namespace

Result<std::vector<bpf_insn>> compile_device_rules(const Json& list) {
  return compile(merge_allowed(TRY(parse_rules(list)))).take();
}

Status Cgroup::apply_devices(const Json& list) {
  std::vector<Rule> rules = TRY(parse_rules(list));
  for (const Place& place : places_) {
    if (place.hierarchy.unified || !place.hierarchy.has("devices")) continue;
    DeviceFiles files(place.directory);
    for (const Rule& rule : rules) TRY(files.write(rule));
    return ok();
  }
  const Place* place = unified();
  if (place == nullptr) return missing("devices", "access to devices");
  auto attached = attach_program(place->directory, TRY(compile_device_rules(list)));
  bool unprivileged = ::geteuid() != 0 && !attached.ok() && attached.failure().err == EPERM;
  if (!unprivileged) return attached;
  // In a user namespace there are no device nodes but those that are bound into it.
  return ok();
}

}  // namespace stack
