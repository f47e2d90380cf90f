#include <algorithm>
#include <cstdlib>
#include <set>

#include "cgroup.h"
#include "cgroup_files.h"
#include "fs.h"

// Which limits are not what was asked for: the same walk over linux.resources that writes them,
// with every write turned into a look.

namespace stack {

namespace {

constexpr int64_t kPage = 4096;
/** From here on v1 means "no limit" (it shows the largest multiple of a page). */
constexpr int64_t kUnlimited = int64_t{1} << 62;

bool parse_number(const std::string& text, int64_t& value) {
  char* end = nullptr;
  value = std::strtoll(text.c_str(), &end, 10);
  return !text.empty() && *end == '\0';
}

/** `0-2,5` → {0, 1, 2, 5}. */
std::set<int64_t> expand(const std::string& list) {
  std::set<int64_t> out;
  for (size_t at = 0; at < list.size();) {
    size_t end = std::min(list.find(',', at), list.size());
    char* rest = nullptr;
    int64_t first = std::strtoll(list.c_str() + at, &rest, 10);
    int64_t last = *rest == '-' ? std::strtoll(rest + 1, nullptr, 10) : first;
    for (int64_t n = first; n <= last && n - first < 65536; n++) out.insert(n);
    at = end + 1;
  }
  return out;
}

/** `part` as whole words of a line. */
bool any_line_has(const std::string& text, const std::string& part) {
  auto apart = [&](size_t at) { return at >= text.size() || text[at] == ' ' || text[at] == '\n'; };
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    if ((at == 0 || apart(at - 1)) && apart(at + part.size())) return true;
  }
  return false;
}

/** `8:0 rbps=1048576` or `8:0 1048576`: a line of that device with that value; no line is no limit.
 */
bool device_line_holds(const std::string& wanted, const std::string& actual) {
  size_t space = wanted.find(' ');
  std::string device = wanted.substr(0, space + 1), value = wanted.substr(space + 1);
  bool none = value == "0" || value.ends_with("=max");
  for (size_t at = 0; at < actual.size();) {
    size_t end = std::min(actual.find('\n', at), actual.size());
    std::string line = actual.substr(at, end - at);
    if (line.starts_with(device)) return any_line_has(line, value);
    at = end + 1;
  }
  return none;
}

}  // namespace

bool limit_holds(const std::string& file, const std::string& wanted, const std::string& actual) {
  if (wanted == actual) return true;
  if (file.starts_with("cpuset.")) return expand(wanted) == expand(actual);
  if (file == "memory.oom_control") return any_line_has(actual, "oom_kill_disable " + wanted);
  if (size_t colon = wanted.find(':'); colon != std::string::npos && colon < wanted.find(' '))
    return device_line_holds(wanted, actual);
  if (file == "cpu.max" && wanted.find(' ') == std::string::npos)
    return actual.starts_with(wanted + " ");
  int64_t asked, is;
  if (parse_number(wanted, asked) && parse_number(actual, is)) {
    if (asked < 0) return is < 0 || is >= kUnlimited;
    return is == asked || is == asked / kPage * kPage || (asked >= kUnlimited && is >= kUnlimited);
  }
  if (parse_number(wanted, asked) && asked >= kUnlimited && actual == "max") return true;
  return any_line_has(actual, wanted);  // `default 100`, or one of several lines
}

Status Cgroup::compare(const std::string& directory, const std::string& file,
                       const std::string& wanted) {
  auto actual = read_file(directory + "/" + file);
  if (!actual.ok()) return std::move(actual).failure();
  std::string text = trimmed(*actual);
  if (!limit_holds(file, wanted, text)) comparing_->push_back({file, wanted, text});
  return ok();
}

Result<std::vector<Cgroup::AlteredLimit>> Cgroup::altered(const Json& resources) {
  std::vector<AlteredLimit> found;
  Json comparable = resources;
  comparable.set("devices",
                 Json());  // a program in the kernel or an order of rules: no value to read
  std::vector<std::string> said = warnings_;
  comparing_ = &found;
  auto looked = apply(comparable);
  comparing_ = nullptr;
  warnings_ = std::move(said);
  if (!looked.ok()) return std::move(looked).failure();
  return found;
}

}  // namespace stack
