#include "xtables.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/file.h>
#include <sys/socket.h>
// after the C library's own headers, which define the same things
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "fd.h"

namespace stack::xtables {

namespace {

constexpr char kTable[] = "filter";
constexpr char kStage[] = "open the iptables filter";
constexpr int kDrop = -NF_DROP - 1;
constexpr int kAccept = -NF_ACCEPT - 1;
constexpr std::string_view kUserChain = "DOCKER-USER";

struct V4 {
  using Entry = ipt_entry;
  using Info = ipt_getinfo;
  using Entries = ipt_get_entries;
  using Replace = ipt_replace;
  static constexpr int family = AF_INET;
  static constexpr int level = IPPROTO_IP;
  static constexpr char names[] = "/proc/thread-self/net/ip_tables_names";
  static auto& match(Entry& entry) { return entry.ip; }
};

struct V6 {
  using Entry = ip6t_entry;
  using Info = ip6t_getinfo;
  using Entries = ip6t_get_entries;
  using Replace = ip6t_replace;
  static constexpr int family = AF_INET6;
  static constexpr int level = IPPROTO_IPV6;
  static constexpr char names[] = "/proc/thread-self/net/ip6_tables_names";
  static auto& match(Entry& entry) { return entry.ipv6; }
};

/// The whole table: entries one after the other, addressed by byte offsets that jumps and hooks
/// refer to.
template <class V>
struct Table {
  typename V::Info info{};
  std::vector<uint8_t> entries;
  /// Which counter of the table before belongs to which entry now; -1: none.
  std::vector<int> origin;

  typename V::Entry* at(uint32_t offset) {
    return reinterpret_cast<typename V::Entry*>(entries.data() + offset);
  }
  xt_entry_target* target(uint32_t offset) {
    return reinterpret_cast<xt_entry_target*>(entries.data() + offset + at(offset)->target_offset);
  }
  bool is_standard(uint32_t offset) { return target(offset)->u.user.name[0] == '\0'; }
  int32_t& verdict(uint32_t offset) {
    return reinterpret_cast<xt_standard_target*>(target(offset))->verdict;
  }

  template <class F>
  void each(F visit) {
    for (uint32_t offset = 0; offset + sizeof(typename V::Entry) <= entries.size();) {
      uint32_t next = at(offset)->next_offset;
      if (next < sizeof(typename V::Entry) || next > entries.size() - offset) return;
      visit(offset);
      offset += next;
    }
  }

  /// Everything behind `from` has moved by `by`. A jump to `from` itself is a jump to what is there
  /// now; the end of a chain (`underflow`) stays behind what was put before it.
  void shift(uint32_t from, int32_t by) {
    each([&](uint32_t offset) {
      if (is_standard(offset) && verdict(offset) > static_cast<int32_t>(from))
        verdict(offset) += by;
    });
    for (unsigned hook = 0; hook < NF_INET_NUMHOOKS; ++hook) {
      if ((info.valid_hooks & (1u << hook)) == 0) continue;
      if (info.hook_entry[hook] > from) info.hook_entry[hook] += static_cast<uint32_t>(by);
      if (info.underflow[hook] > from || (by > 0 && info.underflow[hook] == from))
        info.underflow[hook] += static_cast<uint32_t>(by);
    }
  }

  size_t index_of(uint32_t wanted) {
    size_t index = 0;
    each([&](uint32_t offset) { index += offset < wanted ? 1 : 0; });
    return index;
  }

  void insert(uint32_t offset, std::span<const uint8_t> entry) {
    size_t index = index_of(offset);
    // Offsets are mended while the entries still lie as they say.
    shift(offset, static_cast<int32_t>(entry.size()));
    entries.insert(entries.begin() + offset, entry.begin(), entry.end());
    origin.insert(origin.begin() + static_cast<ptrdiff_t>(index), -1);
    info.num_entries += 1;
  }

  void erase(uint32_t offset) {
    size_t index = index_of(offset);
    uint32_t size = at(offset)->next_offset;
    shift(offset, -static_cast<int32_t>(size));
    entries.erase(entries.begin() + offset, entries.begin() + offset + size);
    origin.erase(origin.begin() + static_cast<ptrdiff_t>(index));
    info.num_entries -= 1;
  }
};

/// Is there such a table in this namespace? Asking the kernel itself would make one.
template <class V>
bool has_table() {
  UniqueFd fd(::open(V::names, O_RDONLY | O_CLOEXEC));
  if (!fd) return false;
  auto names = read_all(fd.get(), 4096);
  return names.ok() && ("\n" + *names).find("\nfilter\n") != std::string::npos;
}

/// iptables' own lock, so that neither of us overwrites the other's change.
Result<UniqueFd> take_lock() {
  UniqueFd fd(::open("/run/xtables.lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return sys_fail(kStage, "open", "/run/xtables.lock");
  while (::flock(fd.get(), LOCK_EX) != 0)
    if (errno != EINTR) return sys_fail(kStage, "flock", "/run/xtables.lock");
  return fd;
}

template <class V>
Result<Table<V>> read_table(int socket) {
  Table<V> table;
  std::memcpy(table.info.name, kTable, sizeof kTable);
  socklen_t size = sizeof table.info;
  if (::getsockopt(socket, V::level, IPT_SO_GET_INFO, &table.info, &size) != 0)
    return sys_fail(kStage, "getsockopt GET_INFO");
  std::vector<uint8_t> buffer(sizeof(typename V::Entries) + table.info.size);
  auto* request = reinterpret_cast<typename V::Entries*>(buffer.data());
  std::memcpy(request->name, kTable, sizeof kTable);
  request->size = table.info.size;
  size = static_cast<socklen_t>(buffer.size());
  if (::getsockopt(socket, V::level, IPT_SO_GET_ENTRIES, buffer.data(), &size) != 0)
    return sys_fail(kStage, "getsockopt GET_ENTRIES");
  table.entries.assign(buffer.begin() + offsetof(typename V::Entries, entrytable), buffer.end());
  table.entries.resize(table.info.size);
  for (uint32_t i = 0; i < table.info.num_entries; ++i) table.origin.push_back(static_cast<int>(i));
  return table;
}

template <class V>
Status write_table(int socket, Table<V>& table, uint32_t entries_before) {
  std::vector<uint8_t> buffer(sizeof(typename V::Replace) + table.entries.size());
  std::vector<xt_counters> before(entries_before);
  auto* replace = reinterpret_cast<typename V::Replace*>(buffer.data());
  std::memcpy(replace->name, kTable, sizeof kTable);
  replace->valid_hooks = table.info.valid_hooks;
  replace->num_entries = table.info.num_entries;
  replace->size = static_cast<unsigned>(table.entries.size());
  std::memcpy(replace->hook_entry, table.info.hook_entry, sizeof replace->hook_entry);
  std::memcpy(replace->underflow, table.info.underflow, sizeof replace->underflow);
  replace->num_counters = entries_before;
  replace->counters = before.data();
  std::memcpy(buffer.data() + sizeof(typename V::Replace), table.entries.data(),
              table.entries.size());
  if (::setsockopt(socket, V::level, IPT_SO_SET_REPLACE, buffer.data(),
                   static_cast<socklen_t>(buffer.size())) != 0)
    return sys_fail(kStage, "setsockopt SET_REPLACE");
  // A new table counts from nothing; what the old one had counted is added, as iptables does.
  std::vector<uint8_t> counters(sizeof(xt_counters_info) +
                                table.origin.size() * sizeof(xt_counters));
  auto* add = reinterpret_cast<xt_counters_info*>(counters.data());
  std::memcpy(add->name, kTable, sizeof kTable);
  add->num_counters = static_cast<unsigned>(table.origin.size());
  for (size_t i = 0; i < table.origin.size(); ++i)
    if (table.origin[i] >= 0) add->counters[i] = before[static_cast<size_t>(table.origin[i])];
  if (::setsockopt(socket, V::level, IPT_SO_SET_ADD_COUNTERS, counters.data(),
                   static_cast<socklen_t>(counters.size())) != 0)
    return sys_fail(kStage, "setsockopt ADD_COUNTERS");
  return ok();
}

template <class V>
std::vector<uint8_t> accept_entry(const std::string& link, bool inward) {
  std::vector<uint8_t> bytes(XT_ALIGN(sizeof(typename V::Entry)) +
                             XT_ALIGN(sizeof(xt_standard_target)));
  auto* entry = reinterpret_cast<typename V::Entry*>(bytes.data());
  entry->target_offset = XT_ALIGN(sizeof(typename V::Entry));
  entry->next_offset = static_cast<uint16_t>(bytes.size());
  auto& match = V::match(*entry);
  std::memcpy(inward ? match.iniface : match.outiface, link.c_str(), link.size() + 1);
  std::memset(inward ? match.iniface_mask : match.outiface_mask, 0xff, link.size() + 1);
  auto* target = reinterpret_cast<xt_standard_target*>(bytes.data() + entry->target_offset);
  target->target.u.target_size = XT_ALIGN(sizeof(xt_standard_target));
  target->verdict = kAccept;
  return bytes;
}

template <class V>
bool is_ours(Table<V>& table, uint32_t offset, const std::string& link, bool inward) {
  if (!table.is_standard(offset) || table.verdict(offset) != kAccept) return false;
  auto& match = V::match(*table.at(offset));
  return std::string_view(inward ? match.iniface : match.outiface) == link &&
         (inward ? match.outiface : match.iniface)[0] == '\0';
}

/// First rule of FORWARD, or of the user's chain that Docker asks first.
template <class V>
uint32_t head_of_chain(Table<V>& table) {
  uint32_t found = table.info.hook_entry[NF_INET_FORWARD];
  table.each([&](uint32_t offset) {
    if (std::string_view(table.target(offset)->u.user.name) != XT_ERROR_TARGET) return;
    auto* head = reinterpret_cast<xt_error_target*>(table.target(offset));
    if (head->errorname == kUserChain) found = offset + table.at(offset)->next_offset;
  });
  return found;
}

template <class V>
Result<bool> change(const std::string& link, bool open) {
  if (link.empty() || link.size() >= IFNAMSIZ)
    return fail(kStage, "not a link name: " + link, EINVAL, link);
  if (!has_table<V>()) return false;
  UniqueFd lock = TRY(take_lock());
  UniqueFd socket(::socket(V::family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!socket) return sys_fail(kStage, "socket");
  Table<V> table = TRY(read_table<V>(socket.get()));
  uint32_t before = table.info.num_entries;
  if ((table.info.valid_hooks & (1u << NF_INET_FORWARD)) == 0) return false;
  bool changed = false;
  for (bool inward : {true, false}) {
    std::vector<uint32_t> ours;
    table.each([&](uint32_t offset) {
      if (is_ours(table, offset, link, inward)) ours.push_back(offset);
    });
    if (open) {
      uint32_t policy = table.info.underflow[NF_INET_FORWARD];
      if (!ours.empty() || !table.is_standard(policy) || table.verdict(policy) != kDrop) continue;
      table.insert(head_of_chain(table), accept_entry<V>(link, inward));
      changed = true;
    } else {
      for (auto offset = ours.rbegin(); offset != ours.rend(); ++offset) table.erase(*offset);
      changed = changed || !ours.empty();
    }
  }
  if (changed) TRY(write_table(socket.get(), table, before));
  return changed;
}

}  // namespace

Result<bool> let_through(int family, const std::string& link) {
  return family == AF_INET6 ? change<V6>(link, true) : change<V4>(link, true);
}

Result<bool> stop_letting_through(int family, const std::string& link) {
  return family == AF_INET6 ? change<V6>(link, false) : change<V4>(link, false);
}

}  // namespace stack::xtables
