#include "json.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>

#include "json_real.h"
#include "utf8.h"

namespace stack {

namespace {

const Json kNull;
const std::string kEmptyString;
const std::vector<Json> kNoItems;
const std::vector<Json::Member> kNoMembers;

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    char c = text[0];
    size_t length = utf8_length(text);
    if (length == 0) {
      out += "\xef\xbf\xbd";
      length = 1;
    } else if (length > 1) {
      out.append(text.substr(0, length));
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned char>(c));
      out += escape;
    } else {
      out += c;
    }
    text.remove_prefix(length);
  }
  out += '"';
}

Json::Json(unsigned long value)
    : kind_(Kind::integer),
      unsigned_(value > static_cast<unsigned long>(INT64_MAX)),
      integer_(static_cast<int64_t>(value)) {}

int64_t Json::as_int(int64_t otherwise) const {
  if (kind_ == Kind::integer) return unsigned_ ? INT64_MAX : integer_;
  if (kind_ == Kind::real && std::fabs(real_) < 9.2e18 &&
      static_cast<double>(static_cast<int64_t>(real_)) == real_) {
    return static_cast<int64_t>(real_);
  }
  return otherwise;
}

uint64_t Json::as_uint(uint64_t otherwise) const {
  if (kind_ == Kind::integer) {
    if (!unsigned_ && integer_ < 0) return otherwise;
    return static_cast<uint64_t>(integer_);
  }
  if (kind_ == Kind::real && std::nearbyint(real_) == real_ && real_ >= 0 && real_ < 1.8e19) {
    return static_cast<uint64_t>(real_);
  }
  return otherwise;
}

double Json::as_double(double otherwise) const {
  if (kind_ == Kind::real) return real_;
  if (kind_ != Kind::integer) return otherwise;
  return unsigned_ ? static_cast<double>(static_cast<uint64_t>(integer_))
                   : static_cast<double>(integer_);
}

const std::string& Json::as_string() const { return is_string() ? string_ : kEmptyString; }
const std::vector<Json>& Json::items() const { return is_array() ? items_ : kNoItems; }
const std::vector<Json::Member>& Json::members() const {
  return is_object() ? members_ : kNoMembers;
}

const Json* Json::find(std::string_view key) const {
  for (size_t i = members_.size(); i > 0; i--) {
    if (members_[i - 1].first == key) return &members_[i - 1].second;
  }
  return nullptr;
}

const Json& Json::operator[](std::string_view key) const {
  const Json* found = find(key);
  return found == nullptr ? kNull : *found;
}

Json& Json::set(std::string_view key, Json value) {
  if (kind_ == Kind::null) kind_ = Kind::object;
  for (Member& member : members_) {
    if (member.first == key) {
      member.second = std::move(value);
      return *this;
    }
  }
  members_.emplace_back(std::string(key), std::move(value));
  return *this;
}

Json& Json::push(Json value) {
  if (kind_ == Kind::null) kind_ = Kind::array;
  items_.push_back(std::move(value));
  return *this;
}

void Json::dump_to(std::string& out) const {
  switch (kind_) {
    case Kind::null:
      out += "null";
      return;
    case Kind::boolean:
      out += integer_ != 0 ? "true" : "false";
      return;
    case Kind::integer:
      out += unsigned_ ? std::to_string(static_cast<uint64_t>(integer_)) : std::to_string(integer_);
      return;
    case Kind::real: {
      if (!std::isfinite(real_)) {
        out += "null";
        return;
      }
      append_real(out, real_);
      return;
    }
    case Kind::string:
      append_json_string(out, string_);
      return;
    case Kind::array: {
      out += '[';
      for (size_t i = 0; i < items_.size(); i++) {
        if (i > 0) out += ',';
        items_[i].dump_to(out);
      }
      out += ']';
      return;
    }
    case Kind::object: {
      out += '{';
      for (size_t i = 0; i < members_.size(); i++) {
        if (i > 0) out += ',';
        append_json_string(out, members_[i].first);
        out += ':';
        members_[i].second.dump_to(out);
      }
      out += '}';
      return;
    }
  }
}

std::string Json::dump() const {
  std::string out;
  dump_to(out);
  return out;
}

void Json::pretty_to(std::string& out, int depth) const {
  bool array = is_array();
  if ((!array && !is_object()) || size() == 0) {
    dump_to(out);
    return;
  }
  std::string indent(static_cast<size_t>(depth + 1) * 2, ' ');
  out += array ? "[\n" : "{\n";
  for (size_t i = 0; i < size(); i++) {
    if (i > 0) out += ",\n";
    out += indent;
    if (!array) {
      append_json_string(out, members_[i].first);
      out += ": ";
    }
    (array ? items_[i] : members_[i].second).pretty_to(out, depth + 1);
  }
  out += "\n" + std::string(static_cast<size_t>(depth) * 2, ' ');
  out += array ? "]" : "}";
}

std::string Json::pretty() const {
  std::string out;
  pretty_to(out, 0);
  return out;
}

Json failure_to_json(const Failure& failure) {
  Json out = Json::object();
  out.set("stage", failure.stage)
      .set("call", failure.call)
      .set("errno", failure.err)
      .set("path", failure.path)
      .set("message", failure.message);
  return out;
}

Failure failure_from_json(const Json& json) {
  return Failure{json["stage"].as_string(), json["call"].as_string(),
                 static_cast<int>(json["errno"].as_int()), json["path"].as_string(),
                 json["message"].as_string()};
}

}  // namespace stack
