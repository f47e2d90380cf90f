#include "json.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>

#include "json_real.h"

namespace stack {

namespace {

constexpr int kMaxDepth = 128;
const Json kNull;
const std::string kEmptyString;
const std::vector<Json> kNoItems;
const std::vector<Json::Member> kNoMembers;

/** Length of the valid UTF-8 sequence at the start of `s` (RFC 3629), 0 if there is none. */
size_t utf8_length(std::string_view s) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(i < s.size() ? s[i] : 0); };
  auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  unsigned char c = byte(0);
  if (c < 0x80) return 1;
  if (c >= 0xc2 && c <= 0xdf) return tail(1) ? 2 : 0;
  if (c >= 0xe0 && c <= 0xef) {
    if (c == 0xe0 && byte(1) < 0xa0) return 0;
    if (c == 0xed && byte(1) > 0x9f) return 0;
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (c >= 0xf0 && c <= 0xf4) {
    if (c == 0xf0 && byte(1) < 0x90) return 0;
    if (c == 0xf4 && byte(1) > 0x8f) return 0;
    return tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

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
  if (kind_ == Kind::real && std::fabs(real_) < 9.2e18 && static_cast<double>(static_cast<int64_t>(real_)) == real_) {
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

/** Recursive descent; every step returns false with `error_` set once something is wrong. */
class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  Result<Json> run() {
    Json value;
    if (!parse_value(value, 0)) return failure();
    skip_space();
    if (at_ != text_.size()) {
      error_ = "something follows the value";
      return failure();
    }
    return value;
  }

 private:
  Failure failure() const {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at_ && i < text_.size(); i++) {
      column++;
      if (text_[i] == '\n') {
        line++;
        column = 1;
      }
    }
    return fail("parse JSON",
                std::string(error_) + " (line " + std::to_string(line) + ", column " +
                    std::to_string(column) + ")",
                EINVAL);
  }

  bool no(const char* why) {
    error_ = why;
    return false;
  }

  void skip_space() {
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
      at_++;
    }
  }

  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    at_++;
    return true;
  }

  bool literal(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return no("not a JSON value");
    at_ += word.size();
    return true;
  }

  bool parse_value(Json& out, int depth) {
    if (depth > kMaxDepth) return no("nested too deeply");
    skip_space();
    if (at_ >= text_.size()) return no("ends too early");
    switch (text_[at_]) {
      case '{':
        return parse_object(out, depth);
      case '[':
        return parse_array(out, depth);
      case '"':
        out.kind_ = Json::Kind::string;
        return parse_string(out.string_);
      case 't':
        out = Json(true);
        return literal("true");
      case 'f':
        out = Json(false);
        return literal("false");
      case 'n':
        return literal("null");
      default:
        return parse_number(out);
    }
  }

  bool parse_object(Json& out, int depth) {
    out.kind_ = Json::Kind::object;
    at_++;
    skip_space();
    if (take('}')) return true;
    for (;;) {
      skip_space();
      if (at_ >= text_.size() || text_[at_] != '"') return no("a member's name is missing");
      Json::Member& member = out.members_.emplace_back();
      if (!parse_string(member.first)) return false;
      skip_space();
      if (!take(':')) return no("':' is missing");
      if (!parse_value(member.second, depth + 1)) return false;
      skip_space();
      if (take('}')) return true;
      if (!take(',')) return no("',' or '}' is missing");
    }
  }

  bool parse_array(Json& out, int depth) {
    out.kind_ = Json::Kind::array;
    at_++;
    skip_space();
    if (take(']')) return true;
    for (;;) {
      if (!parse_value(out.items_.emplace_back(), depth + 1)) return false;
      skip_space();
      if (take(']')) return true;
      if (!take(',')) return no("',' or ']' is missing");
    }
  }

  bool parse_hex(uint32_t& code) {
    if (at_ + 4 > text_.size()) return no("bad \\u escape");
    auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, code, 16);
    if (error != std::errc() || end != text_.data() + at_ + 4) return no("bad \\u escape");
    at_ += 4;
    return true;
  }

  bool parse_unicode(std::string& out) {
    uint32_t code = 0;
    if (!parse_hex(code)) return false;
    if (code >= 0xdc00 && code <= 0xdfff) return no("lone surrogate");
    if (code >= 0xd800 && code <= 0xdbff) {
      uint32_t low = 0;
      if (!take('\\') || !take('u') || !parse_hex(low)) return no("lone surrogate");
      if (low < 0xdc00 || low > 0xdfff) return no("lone surrogate");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(out, code);
    return true;
  }

  bool parse_escape(std::string& out) {
    if (at_ >= text_.size()) return no("a string does not end");
    switch (text_[at_++]) {
      case '"':
        out += '"';
        return true;
      case '\\':
        out += '\\';
        return true;
      case '/':
        out += '/';
        return true;
      case 'b':
        out += '\b';
        return true;
      case 'f':
        out += '\f';
        return true;
      case 'n':
        out += '\n';
        return true;
      case 'r':
        out += '\r';
        return true;
      case 't':
        out += '\t';
        return true;
      case 'u':
        return parse_unicode(out);
      default:
        return no("unknown escape");
    }
  }

  bool parse_string(std::string& out) {
    at_++;
    for (;;) {
      if (at_ >= text_.size()) return no("a string does not end");
      char c = text_[at_];
      if (c == '"') {
        at_++;
        return true;
      }
      if (c == '\\') {
        at_++;
        if (!parse_escape(out)) return false;
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20) return no("control character in a string");
      size_t length = utf8_length(text_.substr(at_));
      if (length == 0) return no("not UTF-8");
      out.append(text_.substr(at_, length));
      at_ += length;
    }
  }

  size_t digits() {
    size_t start = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') at_++;
    return at_ - start;
  }

  bool parse_number(Json& out) {
    size_t start = at_;
    bool whole = true;
    bool negative = take('-');
    bool zero = at_ < text_.size() && text_[at_] == '0';
    size_t count = digits();
    if (count == 0) return no("not a JSON value");
    if (zero && count > 1) return no("a number starts with 0");
    if (take('.')) {
      whole = false;
      if (digits() == 0) return no("bad number");
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      whole = false;
      at_++;
      if (!take('+')) take('-');
      if (digits() == 0) return no("bad number");
    }
    const char* begin = text_.data() + start;
    const char* end = text_.data() + at_;
    if (whole) {
      int64_t number = 0;
      if (std::from_chars(begin, end, number).ec == std::errc()) {
        out = Json(static_cast<long>(number));
        return true;
      }
      uint64_t large = 0;
      if (!negative && std::from_chars(begin, end, large).ec == std::errc()) {
        out = Json(static_cast<unsigned long>(large));
        return true;
      }
    }
    std::optional<double> real = read_real({begin, static_cast<size_t>(end - begin)});
    if (!real) return no("number out of range");
    out = Json(*real);
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  const char* error_ = "";
};

Result<Json> Json::parse(std::string_view text) { return JsonParser(text).run(); }

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
