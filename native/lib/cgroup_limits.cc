#include <algorithm>

#include "cgroup.h"
#include "fs.h"

// linux.resources (config-linux.md "Control groups") → files of cgroup v1 or v2, decided for each
// controller.

namespace stack {

namespace {

constexpr int64_t kAbsent = INT64_MIN;

int64_t number(const Json& object, const char* key) { return object[key].as_int(kAbsent); }
bool given(const Json& object, const char* key) { return !object[key].is_null(); }
std::string text_of(int64_t value) { return std::to_string(value); }
/** v2: -1 is "max". */
std::string max_or(int64_t value) { return value < 0 ? "max" : text_of(value); }

std::string device_of(const Json& entry) {
  return text_of(entry["major"].as_int()) + ":" + text_of(entry["minor"].as_int());
}

}  // namespace

Status Cgroup::put(const std::string& directory, const std::string& file,
                   const std::string& value) {
  if (comparing_ != nullptr) return compare(directory, file, value);
  return write_existing(directory + "/" + file, value);
}

Status Cgroup::set(const std::string& directory, const std::string& file,
                   const std::string& value) {
  auto written = put(directory, file, value);
  if (written.ok()) return ok();
  Failure failure =
      sys_fail("cgroup " + file, "write", directory + "/" + file, written.failure().err);
  failure.message = file + " = " + value + ": " + error_text(failure.err);
  return failure;
}

void Cgroup::mirror(const Place& place, const std::string& file, const std::string& value) {
  // Absent where the controller is not handed down; the limit itself is above, and holds.
  if (comparing_ == nullptr) (void)write_existing(place.directory + "/init/" + file, value).ok();
}

void Cgroup::warn_unsupported(const std::string& what) {
  warnings_.push_back(what + " is not supported by this system's cgroups and has no effect");
}

Status Cgroup::missing(std::string_view controller, const std::string& what) {
  std::string message = what + " cannot be limited: ";
  if (!not_enabled_.empty()) {
    message += not_enabled_;
  } else {
    message += "this system has no cgroup controller \"" + std::string(controller) + "\"";
  }
  // Without privilege that is normal, and said once; with it somebody relies on the limit.
  if (::geteuid() != 0 || !warnings_.empty()) {
    warnings_.push_back(message);
    return ok();
  }
  return fail("cgroup " + std::string(controller), message, ENOTSUP, std::string(controller));
}

Status Cgroup::set_and_mirror(const Place& place, const std::string& file,
                              const std::string& value) {
  TRY(set(place.directory, file, value));
  mirror(place, file, value);
  return ok();
}

Status Cgroup::apply_memory_v1(const std::string& directory, const Json& memory) {
  int64_t limit = number(memory, "limit"), swap = number(memory, "swap");
  if (limit == 0) limit = kAbsent;
  if (swap == 0) swap = kAbsent;
  bool has_swap_file = TRY(is_there(directory + "/memory.memsw.limit_in_bytes"));
  if (limit == -1 && swap == kAbsent && has_swap_file) swap = -1;
  if (swap != kAbsent && !has_swap_file) {
    warn_unsupported("memory.swap");
    swap = kAbsent;
  }
  const std::string limit_file = "memory.limit_in_bytes", swap_file = "memory.memsw.limit_in_bytes";
  // memsw must never be below the limit, so the order depends on which way they go.
  bool limit_first = true;
  if (limit != kAbsent && swap != kAbsent) {
    auto now = read_file(directory + "/" + swap_file);
    int64_t current = now.ok() ? std::strtoll(now->c_str(), nullptr, 10) : INT64_MAX;
    limit_first = limit != -1 && limit <= current;
  }
  auto set_limit = [&]() -> Status {
    return limit == kAbsent ? ok() : set(directory, limit_file, text_of(limit));
  };
  auto set_swap = [&]() -> Status {
    return swap == kAbsent ? ok() : set(directory, swap_file, text_of(swap));
  };
  if (limit_first) {
    TRY(set_limit());
    TRY(set_swap());
  } else {
    TRY(set_swap());
    TRY(set_limit());
  }
  if (number(memory, "reservation") > 0) {
    TRY(set(directory, "memory.soft_limit_in_bytes", text_of(number(memory, "reservation"))));
  }
  if (given(memory, "swappiness")) {
    TRY(set(directory, "memory.swappiness", text_of(number(memory, "swappiness"))));
  }
  if (given(memory, "disableOOMKiller")) {
    TRY(set(directory, "memory.oom_control", memory["disableOOMKiller"].as_bool() ? "1" : "0"));
  }
  return ok();
}

Status Cgroup::apply_memory_v2(const std::string& directory, const Json& memory) {
  int64_t limit = number(memory, "limit"), swap = number(memory, "swap");
  if (limit == 0) limit = kAbsent;
  if (swap == 0) swap = kAbsent;
  if (memory["checkBeforeUpdate"].as_bool() && limit > 0) {
    auto used = read_file(directory + "/memory.current");
    if (used.ok() && std::strtoll(used->c_str(), nullptr, 10) > limit) {
      return fail("cgroup memory", "the limit is below what is used now", EBUSY, directory);
    }
  }
  if (limit == -1 && swap == kAbsent) swap = -1;
  if (swap != kAbsent) {
    // OCI counts memory and swap together, v2 swap alone.
    if (swap > 0 && (limit == kAbsent || limit < 0)) {
      return fail("cgroup memory", "a swap limit needs a memory limit", EINVAL, "memory.swap.max");
    }
    if (swap > 0 && swap < limit) {
      return fail("cgroup memory", "memory+swap limit is below the memory limit", EINVAL,
                  "memory.swap.max");
    }
    std::string value = swap < 0 ? "max" : text_of(swap - limit);
    auto written = put(directory, "memory.swap.max", value);
    bool harmless =
        value == "max" || value == "0";  // no swap accounting: there is nothing to limit
    if (!written.ok() && !(written.failure().err == ENOENT && harmless)) {
      return set(directory, "memory.swap.max", value);
    }
  }
  if (limit != kAbsent) TRY(set(directory, "memory.max", max_or(limit)));
  if (number(memory, "reservation") > 0) {
    TRY(set(directory, "memory.low", text_of(number(memory, "reservation"))));
  }
  if (given(memory, "swappiness")) warn_unsupported("memory.swappiness");
  if (memory["disableOOMKiller"].as_bool()) warn_unsupported("memory.disableOOMKiller");
  return ok();
}

Status Cgroup::apply_memory(const Json& memory) {
  if (memory.is_null() || memory.size() == 0) return ok();
  if (number(memory, "kernel") > 0) warn_unsupported("memory.kernel");
  if (number(memory, "kernelTCP") > 0) warn_unsupported("memory.kernelTCP");
  const Place* place = place_of("memory");
  if (place == nullptr ||
      !TRY(is_there(place->directory + (place->hierarchy.unified ? "/memory.max" : "")))) {
    return missing("memory", "memory");
  }
  if (!place->hierarchy.unified) return apply_memory_v1(place->directory, memory);
  TRY(apply_memory_v2(place->directory, memory));
  int64_t limit = number(memory, "limit");
  if (limit != kAbsent && limit != 0) {
    mirror(*place, "memory.max", max_or(limit));
  }
  auto swap = read_file(place->directory + "/memory.swap.max");
  if (swap.ok()) mirror(*place, "memory.swap.max", *swap);
  return ok();
}

Status Cgroup::apply_cpu(const Json& cpu) {
  constexpr const char* kKeys[] = {"shares", "quota",           "period",        "burst",
                                   "idle",   "realtimeRuntime", "realtimePeriod"};
  bool any =
      std::any_of(std::begin(kKeys), std::end(kKeys), [&](const char* k) { return given(cpu, k); });
  if (!any) return ok();
  const Place* place = place_of("cpu");
  if (place == nullptr) return missing("cpu", "cpu");
  const std::string& directory = place->directory;
  int64_t shares = number(cpu, "shares"), quota = number(cpu, "quota"),
          period = number(cpu, "period");
  if (quota == 0) quota = -1;
  bool realtime = number(cpu, "realtimeRuntime") > 0 || number(cpu, "realtimePeriod") > 0;
  if (!place->hierarchy.unified) {
    if (shares > 0) TRY(set(directory, "cpu.shares", text_of(shares)));
    if (period > 0) {
      // A period that is too small for the quota of before is refused: then the quota goes first.
      auto written = put(directory, "cpu.cfs_period_us", text_of(period));
      if (!written.ok() && given(cpu, "quota")) {
        TRY(set(directory, "cpu.cfs_quota_us", text_of(quota)));
        TRY(set(directory, "cpu.cfs_period_us", text_of(period)));
      } else if (!written.ok()) {
        return set(directory, "cpu.cfs_period_us", text_of(period));
      }
    }
    if (given(cpu, "quota")) TRY(set(directory, "cpu.cfs_quota_us", text_of(quota)));
    if (number(cpu, "burst") >= 0)
      TRY(set(directory, "cpu.cfs_burst_us", text_of(number(cpu, "burst"))));
    if (given(cpu, "idle")) TRY(set(directory, "cpu.idle", text_of(number(cpu, "idle"))));
    if (number(cpu, "realtimePeriod") > 0) {
      TRY(set(directory, "cpu.rt_period_us", text_of(number(cpu, "realtimePeriod"))));
    }
    if (number(cpu, "realtimeRuntime") > 0) {
      TRY(set(directory, "cpu.rt_runtime_us", text_of(number(cpu, "realtimeRuntime"))));
    }
    return ok();
  }
  if (!TRY(is_there(directory + "/cpu.weight"))) return missing("cpu", "cpu");
  if (realtime) {
    return fail("cgroup cpu", "realtime limits do not exist in cgroup v2", ENOTSUP,
                "cpu.realtimeRuntime");
  }
  if (shares > 0) {
    TRY(set(directory, "cpu.weight",
            std::to_string(cpu_weight_of_shares(static_cast<uint64_t>(shares)))));
  }
  if (given(cpu, "idle")) TRY(set(directory, "cpu.idle", text_of(number(cpu, "idle"))));
  if (given(cpu, "quota") || period > 0) {
    std::string value = given(cpu, "quota") ? max_or(quota) : "max";
    if (!given(cpu, "quota")) {
      auto now = read_file(directory + "/cpu.max");
      if (now.ok()) value = now->substr(0, now->find(' '));
    }
    if (period > 0) value += " " + text_of(period);
    TRY(set_and_mirror(*place, "cpu.max", value));
  }
  if (number(cpu, "burst") >= 0)
    TRY(set(directory, "cpu.max.burst", text_of(number(cpu, "burst"))));
  return ok();
}

Status Cgroup::apply_cpuset(const Json& cpu) {
  const std::string &cpus = cpu["cpus"].as_string(), &mems = cpu["mems"].as_string();
  if (cpus.empty() && mems.empty()) return ok();
  const Place* place = place_of("cpuset");
  if (place == nullptr || !TRY(is_there(place->directory + "/cpuset.cpus")))
    return missing("cpuset", "cpuset");
  if (!cpus.empty()) TRY(set(place->directory, "cpuset.cpus", cpus));
  if (!mems.empty()) TRY(set(place->directory, "cpuset.mems", mems));
  return ok();
}

Status Cgroup::apply_pids(const Json& pids) {
  if (!given(pids, "limit")) return ok();
  const Place* place = place_of("pids");
  if (place == nullptr || !TRY(is_there(place->directory + "/pids.max")))
    return missing("pids", "pids");
  int64_t limit = number(pids, "limit");
  return set_and_mirror(*place, "pids.max", limit <= 0 ? "max" : text_of(limit));
}

Status Cgroup::apply_block_throttle(const Place& place, const Json& block) {
  struct Throttle {
    const char *key, *v1, *v2;
  };
  constexpr Throttle kThrottles[] = {
      {"throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"},
      {"throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"},
      {"throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"},
      {"throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"}};
  for (const Throttle& throttle : kThrottles) {
    for (const Json& entry : block[throttle.key].items()) {
      uint64_t rate = entry["rate"].as_uint();
      if (!place.hierarchy.unified) {
        TRY(set(place.directory, throttle.v1, device_of(entry) + " " + std::to_string(rate)));
      } else {
        std::string value = rate == 0 ? "max" : std::to_string(rate);
        TRY(set(place.directory, "io.max", device_of(entry) + " " + throttle.v2 + "=" + value));
      }
    }
  }
  return ok();
}

Status Cgroup::apply_block_io(const Json& block) {
  if (block.is_null() || block.size() == 0) return ok();
  const Place* place = place_of("blkio");
  if (place == nullptr) place = place_of("io");
  if (place == nullptr) return missing("blkio", "block I/O");
  const std::string& directory = place->directory;
  bool v2 = place->hierarchy.unified;
  if (number(block, "leafWeight") > 0) warn_unsupported("blockIO.leafWeight");
  // The weights belong to schedulers that a kernel may lack: bfq's file first, then the general
  // one.
  std::string bfq = v2 ? "io.bfq.weight" : "blkio.bfq.weight";
  std::string plain = v2 ? "io.weight" : "blkio.weight";
  bool use_bfq = TRY(is_there(directory + "/" + bfq));
  bool any_weight = use_bfq || TRY(is_there(directory + "/" + plain));
  auto weight_text = [&](int64_t weight) {
    uint64_t value = static_cast<uint64_t>(weight);
    return std::to_string(v2 && !use_bfq ? io_weight_of_blkio(value) : value);
  };
  auto set_weight = [&](const std::string& prefix, int64_t weight, const char* suffix) -> Status {
    if (!any_weight) {
      warn_unsupported("blockIO.weight");
      return ok();
    }
    if (weight < 10 || weight > 1000) {
      return fail("cgroup blkio", "blockIO.weight must be 10 to 1000", EINVAL, "blockIO.weight");
    }
    std::string file = use_bfq ? bfq : plain;
    if (!v2) file += suffix;
    if (!TRY(is_there(directory + "/" + file))) {
      warn_unsupported("blockIO.weightDevice");
      return ok();
    }
    return set(directory, file, prefix + weight_text(weight));
  };
  if (number(block, "weight") > 0) TRY(set_weight("", number(block, "weight"), ""));
  for (const Json& entry : block["weightDevice"].items()) {
    TRY(set_weight(device_of(entry) + " ", number(entry, "weight"), "_device"));
  }
  return apply_block_throttle(*place, block);
}

Status Cgroup::apply_hugepages(const Json& limits) {
  for (const Json& entry : limits.items()) {
    const std::string& size = entry["pageSize"].as_string();
    const Place* place = place_of("hugetlb");
    if (place == nullptr) return missing("hugetlb", "huge pages");
    bool v2 = place->hierarchy.unified;
    std::string file = "hugetlb." + size + (v2 ? ".max" : ".limit_in_bytes");
    if (!TRY(is_there(place->directory + "/" + file))) {
      return fail("cgroup hugetlb", "there are no huge pages of size " + size, EINVAL, file);
    }
    std::string value = std::to_string(entry["limit"].as_uint());
    TRY(set(place->directory, file, value));
    std::string reserved = "hugetlb." + size + (v2 ? ".rsvd.max" : ".rsvd.limit_in_bytes");
    if (TRY(is_there(place->directory + "/" + reserved)))
      TRY(set(place->directory, reserved, value));
  }
  return ok();
}

Status Cgroup::apply_network(const Json& network) {
  if (given(network, "classID")) {
    const Place* place = place_of("net_cls");
    if (place == nullptr) return missing("net_cls", "network class");
    TRY(set(place->directory, "net_cls.classid", text_of(number(network, "classID"))));
  }
  for (const Json& entry : network["priorities"].items()) {
    const Place* place = place_of("net_prio");
    if (place == nullptr) return missing("net_prio", "network priority");
    TRY(set(place->directory, "net_prio.ifpriomap",
            entry["name"].as_string() + " " + text_of(entry["priority"].as_int())));
  }
  return ok();
}

Status Cgroup::apply_rdma(const Json& rdma) {
  for (const auto& [device, limits] : rdma.members()) {
    const Place* place = place_of("rdma");
    if (place == nullptr) return missing("rdma", "RDMA");
    std::string line = device;
    if (given(limits, "hcaHandles")) line += " hca_handle=" + text_of(number(limits, "hcaHandles"));
    if (given(limits, "hcaObjects")) line += " hca_object=" + text_of(number(limits, "hcaObjects"));
    TRY(set(place->directory, "rdma.max", line));
  }
  return ok();
}

Status Cgroup::apply_unified(const Json& files) {
  if (files.size() == 0) return ok();
  const Place* place = unified();
  if (place == nullptr) {
    return fail("cgroup unified", "resources.unified needs the unified cgroup hierarchy", ENOTSUP);
  }
  for (const auto& [file, value] : files.members()) {
    if (file.find('/') != std::string::npos || file.find('.') == std::string::npos) {
      return fail("cgroup unified", "not the name of a cgroup file: " + file, EINVAL, file);
    }
    if (!TRY(is_there(place->directory + "/" + file))) {
      return missing(file.substr(0, file.find('.')), file);
    }
    const std::string& lines = value.as_string();
    for (size_t at = 0; at <= lines.size();) {
      size_t end = std::min(lines.find('\n', at), lines.size());
      if (end > at) TRY(set(place->directory, file, lines.substr(at, end - at)));
      at = end + 1;
    }
  }
  return ok();
}

Status Cgroup::apply_all(const Json& resources, bool fresh) {
  if (places_.empty()) return ok();
  TRY(apply_memory(resources["memory"]));
  TRY(apply_cpu(resources["cpu"]));
  TRY(apply_cpuset(resources["cpu"]));
  TRY(apply_pids(resources["pids"]));
  TRY(apply_block_io(resources["blockIO"]));
  TRY(apply_hugepages(resources["hugepageLimits"]));
  TRY(apply_network(resources["network"]));
  TRY(apply_rdma(resources["rdma"]));
  TRY(apply_unified(resources["unified"]));
  if (fresh || given(resources, "devices")) TRY(apply_devices(resources["devices"]));
  return ok();
}

Status Cgroup::apply(const Json& resources) {
  warnings_.clear();
  return apply_all(resources, false);
}

}  // namespace stack
