#include <charconv>
#include <cmath>
#include <optional>

#include "json.h"
#include "json_real.h"
#include "utf8.h"

namespace stack {

namespace {

constexpr int kMaxDepth = 128;

}  // namespace

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

}  // namespace stack
