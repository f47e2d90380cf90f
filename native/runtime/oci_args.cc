#include "oci_args.h"

namespace stack {

namespace {

const OciOption* find(const std::vector<OciOption>& options, const std::string& name,
                      bool is_short) {
  for (const OciOption& option : options) {
    if (name == (is_short ? option.short_name : option.name)) return &option;
    if (is_short && name == option.name) return &option;  // Go's flags: one dash is as good as two
  }
  return nullptr;
}

std::string described(const std::vector<OciOption>& options) {
  std::string out;
  for (const OciOption& option : options) {
    out += std::string("  --") + option.name;
    if (*option.short_name != 0) out += std::string(", -") + option.short_name;
    out += option.has_value ? " VALUE\n" : "\n";
  }
  return out;
}

}  // namespace

Result<OciArgs> OciArgs::parse(const std::vector<std::string>& words,
                               const std::vector<OciOption>& options, Order order) {
  OciArgs out;
  for (size_t i = 0; i < words.size(); i++) {
    const std::string& word = words[i];
    bool is_option = word.size() >= 2 && word[0] == '-' && word != "--";
    if (!is_option && (word == "--" || order == Order::before_words)) {
      size_t first = i + (word == "--" ? 1 : 0);
      out.rest_.insert(out.rest_.end(), words.begin() + static_cast<long>(first), words.end());
      break;
    }
    if (!is_option) {
      out.rest_.push_back(word);
      continue;
    }
    bool is_short = word[1] != '-';
    std::string name = word.substr(is_short ? 1 : 2);
    size_t equals = name.find('=');
    std::string value = equals == std::string::npos ? "" : name.substr(equals + 1);
    name = name.substr(0, equals);
    const OciOption* option = find(options, name, is_short);
    if (option == nullptr && (name == "help" || name == "h")) {
      return fail("help", described(options), ECANCELED);
    }
    if (option == nullptr) return fail("arguments", "unknown option " + word, EINVAL, word);
    if (!option->has_value) {
      if (equals == std::string::npos || value == "true")
        out.values_.emplace_back(option->name, "true");
      continue;
    }
    if (equals == std::string::npos) {
      if (++i == words.size()) return fail("arguments", word + " needs a value", EINVAL, word);
      value = words[i];
    }
    out.values_.emplace_back(option->name, value);
  }
  return out;
}

bool OciArgs::has(std::string_view name) const {
  for (const auto& [key, value] : values_) {
    if (key == name) return true;
  }
  return false;
}

std::string OciArgs::get(std::string_view name, std::string_view otherwise) const {
  std::string out(otherwise);
  for (const auto& [key, value] : values_) {
    if (key == name) out = value;
  }
  return out;
}

std::vector<std::string> OciArgs::all(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [key, value] : values_) {
    if (key == name) out.push_back(value);
  }
  return out;
}

}  // namespace stack
