#pragma once

#include <string>
#include <vector>

#include "json.h"
#include "result.h"

namespace stack {

/**
 * Reads one JSON object member by member and remembers the first thing that is wrong with its full
 * name
 * (`linux.namespaces[2].type`), so that parsing code needs no error handling at each line.
 */
class ConfigReader {
 public:
  ConfigReader(const Json& json, std::string path, Failure* failure)
      : json_(json), path_(std::move(path)), failure_(failure) {
    if (!json.is_object() && !json.is_null()) wrong("", "must be an object");
  }

  const Json& json() const { return json_; }
  bool has(const char* key) const { return !json_[key].is_null(); }
  std::string name(const std::string& key) const {
    if (key.empty()) return path_;
    return path_.empty() ? key : path_ + "." + key;
  }
  void wrong(const std::string& key, const std::string& why) const;

  std::string string(const char* key) const;
  std::string required(const char* key) const;
  bool boolean(const char* key) const;
  int64_t integer(const char* key, int64_t low, int64_t high, int64_t otherwise = 0) const;
  std::vector<std::string> strings(const char* key) const;
  ConfigReader child(const char* key) const {
    return ConfigReader(json_[key], name(key), failure_);
  }
  std::vector<ConfigReader> children(const char* key) const;
  bool failed() const { return !failure_->message.empty(); }

 private:
  const Json& json_;
  std::string path_;
  Failure* failure_;
};

}  // namespace stack
