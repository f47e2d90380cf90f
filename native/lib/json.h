#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "result.h"

namespace stack {

/**
 * A JSON value (RFC 8259). Objects keep their order; of equal keys the last counts, as with the
 * parsers of the other OCI runtimes. Whole numbers keep all 64 bits. Reading what is not there
 * gives a null value, so that optional fields need no ceremony.
 */
class Json {
 public:
  enum class Kind : uint8_t { null, boolean, integer, real, string, array, object };
  using Member = std::pair<std::string, Json>;

  Json() = default;
  Json(std::nullptr_t) {}                                                      // NOLINT
  Json(bool value) : kind_(Kind::boolean), integer_(value) {}                  // NOLINT
  Json(int value) : kind_(Kind::integer), integer_(value) {}                   // NOLINT
  Json(unsigned value) : kind_(Kind::integer), integer_(value) {}              // NOLINT
  Json(long value) : kind_(Kind::integer), integer_(value) {}                  // NOLINT
  Json(long long value) : kind_(Kind::integer), integer_(value) {}             // NOLINT
  Json(unsigned long value);                                                   // NOLINT
  Json(unsigned long long value) : Json(static_cast<unsigned long>(value)) {}  // NOLINT
  Json(double value) : kind_(Kind::real), real_(value) {}                      // NOLINT
  Json(std::string value) : kind_(Kind::string), string_(std::move(value)) {}  // NOLINT
  Json(std::string_view value) : Json(std::string(value)) {}                   // NOLINT
  Json(const char* value) : Json(std::string(value)) {}                        // NOLINT
  static Json array() { return Json(Kind::array); }
  static Json object() { return Json(Kind::object); }

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::null; }
  bool is_bool() const { return kind_ == Kind::boolean; }
  bool is_integer() const { return kind_ == Kind::integer; }
  bool is_number() const { return kind_ == Kind::integer || kind_ == Kind::real; }
  bool is_string() const { return kind_ == Kind::string; }
  bool is_array() const { return kind_ == Kind::array; }
  bool is_object() const { return kind_ == Kind::object; }

  bool as_bool(bool otherwise = false) const { return is_bool() ? integer_ != 0 : otherwise; }
  /** Whole numbers, and real ones without a fraction that fit. */
  int64_t as_int(int64_t otherwise = 0) const;
  uint64_t as_uint(uint64_t otherwise = 0) const;
  double as_double(double otherwise = 0) const;
  const std::string& as_string() const;  // "" if it is none
  std::string string_or(std::string_view otherwise) const {
    return is_string() ? string_ : std::string(otherwise);
  }

  /** Elements of an array; empty for anything else. */
  const std::vector<Json>& items() const;
  /** Members of an object in order; empty for anything else. */
  const std::vector<Member>& members() const;
  /** Member of an object; null if there is none. */
  const Json& operator[](std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }
  const Json* find(std::string_view key) const;
  size_t size() const { return is_array() ? items_.size() : members_.size(); }

  /** Makes it an object if it is null; replaces an equal key. Returns itself. */
  Json& set(std::string_view key, Json value);
  /** Makes it an array if it is null. Returns itself. */
  Json& push(Json value);

  /** Compact; always valid UTF-8: bytes that are none become U+FFFD. */
  std::string dump() const;
  void dump_to(std::string& out) const;
  /** Indented by two spaces. */
  std::string pretty() const;

  /** Strict: one value, nothing behind it; at most 128 levels. The failure names line and column.
   */
  static Result<Json> parse(std::string_view text);

 private:
  explicit Json(Kind kind) : kind_(kind) {}
  void pretty_to(std::string& out, int depth) const;
  friend class JsonParser;

  Kind kind_ = Kind::null;
  bool unsigned_ = false;  // integer_ holds a value above INT64_MAX
  int64_t integer_ = 0;
  double real_ = 0;
  std::string string_;
  std::vector<Json> items_;
  std::vector<Member> members_;
};

/** Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void append_json_string(std::string& out, std::string_view text);

/** NativeFailure: {stage, call, errno, path, message}. */
Json failure_to_json(const Failure& failure);
Failure failure_from_json(const Json& json);

}  // namespace stack
