#include "oci_config_reader.h"

namespace stack {

void ConfigReader::wrong(const std::string& key, const std::string& why) const {
  if (failed()) return;
  std::string full = name(key);
  *failure_ = fail("config", (full.empty() ? "config.json" : full) + " " + why, EINVAL, full);
}

std::string ConfigReader::string(const char* key) const {
  const Json& value = json_[key];
  if (value.is_null()) return "";
  if (!value.is_string()) {
    wrong(key, "must be a string");
    return "";
  }
  if (value.as_string().find('\0') != std::string::npos) {
    wrong(key, "contains a NUL byte");
    return "";
  }
  return value.as_string();
}

std::string ConfigReader::required(const char* key) const {
  std::string value = string(key);
  if (value.empty()) wrong(key, "is required");
  return value;
}

bool ConfigReader::boolean(const char* key) const {
  const Json& value = json_[key];
  if (!value.is_null() && !value.is_bool()) wrong(key, "must be true or false");
  return value.as_bool();
}

int64_t ConfigReader::integer(const char* key, int64_t low, int64_t high, int64_t otherwise) const {
  const Json& value = json_[key];
  if (value.is_null()) return otherwise;
  constexpr int64_t kNone = INT64_MIN;
  int64_t number = value.as_int(kNone);
  if (!value.is_number() || number == kNone || number < low || number > high) {
    wrong(key,
          "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    return otherwise;
  }
  return number;
}

std::vector<std::string> ConfigReader::strings(const char* key) const {
  std::vector<std::string> out;
  const Json& value = json_[key];
  if (!value.is_null() && !value.is_array()) wrong(key, "must be a list");
  for (const Json& item : value.items()) {
    if (!item.is_string() || item.as_string().find('\0') != std::string::npos) {
      wrong(std::string(key) + "[" + std::to_string(out.size()) + "]",
            "must be a string without NUL bytes");
    }
    out.push_back(item.as_string());
  }
  return out;
}

std::vector<ConfigReader> ConfigReader::children(const char* key) const {
  std::vector<ConfigReader> out;
  const Json& value = json_[key];
  if (!value.is_null() && !value.is_array()) wrong(key, "must be a list");
  for (const Json& item : value.items()) {
    out.emplace_back(item, name(key) + "[" + std::to_string(out.size()) + "]", failure_);
    if (!item.is_object()) out.back().wrong("", "must be an object");
  }
  return out;
}

}  // namespace stack
