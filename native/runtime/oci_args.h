#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "result.h"

namespace stack {

/** One option of a verb, as runc's command line has it. */
struct OciOption {
  const char* name;        // "bundle"
  const char* short_name;  // "b", "" if none
  bool has_value;
};

/** Options before and after the verb, and what is left. */
class OciArgs {
 public:
  /** May options come after words? Not where the words are another program's command line. */
  enum class Order : uint8_t { anywhere, before_words };
  /** `--name value`, `--name=value`, `-n value`; `--` ends them. `--help` where it is none of the
   * options: a failure of the stage "help" that lists them. */
  static Result<OciArgs> parse(const std::vector<std::string>& words,
                               const std::vector<OciOption>& options,
                               Order order = Order::anywhere);

  bool has(std::string_view name) const;
  /** The last one given; "" if none. */
  std::string get(std::string_view name, std::string_view otherwise = "") const;
  std::vector<std::string> all(std::string_view name) const;
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  std::vector<std::pair<std::string, std::string>> values_;
  std::vector<std::string> rest_;
};

}  // namespace stack
