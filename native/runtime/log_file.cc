#include "log_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "clock_text.h"
#include "fs.h"

namespace stack {

namespace {

// Start of the UTF-8 sequence that `at` would cut, if what is before it is one.
size_t character_boundary(std::string_view text, size_t at) {
  size_t back = at;
  for (int i = 0; i < 3 && back > 0 && (static_cast<uint8_t>(text[back]) & 0xc0) == 0x80; ++i)
    --back;
  return static_cast<uint8_t>(text[back]) >= 0xc0 ? back : at;
}

// Length of the valid UTF-8 sequence at `at` (Unicode, table 3-7), 0 if there is none.
size_t sequence_length(std::string_view text, size_t at) {
  auto byte = [&](size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<uint8_t>(text[at + i]) : 0;
  };
  auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  unsigned lead = byte(0), second = byte(1);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (!tail(1) || !tail(2)) return 0;
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f)) return 0;
    return 3;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if ((lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) return 0;
    return 4;
  }
  return 0;
}

void append_escape(std::string& out, unsigned code) {
  constexpr char kHex[] = "0123456789abcdef";
  const char text[6] = {'\\', 'u', '0', '0', kHex[code >> 4], kHex[code & 15]};
  out.append(text, sizeof text);
}

// Escapes as Docker's encoder does: also <, > and &, and the two line separators of JavaScript.
void append_log_text(std::string& out, std::string_view text) {
  size_t plain = 0;
  auto flush = [&](size_t to) { out.append(text.substr(plain, to - plain)); };
  for (size_t at = 0; at < text.size();) {
    auto c = static_cast<uint8_t>(text[at]);
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&') {
      ++at;
      continue;
    }
    size_t length = c < 0x80 ? 0 : sequence_length(text, at);
    std::string_view sequence = text.substr(at, length);
    bool separator = sequence == "\xe2\x80\xa8" || sequence == "\xe2\x80\xa9";
    if (length > 0 && !separator) {
      at += length;
      continue;
    }
    flush(at);
    if (separator)
      out += sequence.back() == '\xa8' ? "\\u2028" : "\\u2029";
    else if (c >= 0x80)
      out += "\\ufffd";
    else if (c == '"' || c == '\\')
      out += '\\', out += static_cast<char>(c);
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else
      append_escape(out, c);
    at += std::max<size_t>(length, 1);
    plain = at;
  }
  flush(text.size());
}

}  // namespace

size_t next_log_record(std::string_view pending, bool final) {
  std::string_view window = pending.substr(0, kLogLine);
  if (size_t newline = window.find('\n'); newline != std::string_view::npos) return newline + 1;
  // A line of exactly 16 KiB whose newline is next is still cut: as Docker does it.
  if (pending.size() > kLogLine) return character_boundary(pending, kLogLine);
  if (pending.size() == kLogLine || final) return pending.size();
  return 0;
}

void append_log_record(std::string& out, std::string_view text, std::string_view stream,
                       std::string_view attributes, const timespec& time) {
  char when[kTimeText];
  size_t length = format_time(when, time, 9);
  out += "{\"log\":\"";
  append_log_text(out, text);
  out.append("\",\"stream\":\"").append(stream).append("\"").append(attributes);
  out.append(",\"time\":\"").append(when, length).append("\"}\n");
}

std::string encode_log_attributes(
    const std::vector<std::pair<std::string, std::string>>& attributes) {
  if (attributes.empty()) return {};
  std::string out = ",\"attrs\":{";
  for (const auto& [name, value] : attributes) {
    if (out.back() != '{') out += ',';
    append_json_string(out, name);
    out += ':';
    append_json_string(out, value);
  }
  return out + "}";
}

Result<LogFile> LogFile::open(const LogSpec& spec) {
  if (size_t slash = spec.path.rfind('/'); slash != std::string::npos && slash > 0)
    TRY(make_directories(spec.path.substr(0, slash), 0700));
  LogFile log(spec.path, spec.max_size, spec.max_files);
  TRY(log.reopen());
  return log;
}

Status LogFile::reopen() {
  constexpr const char* kStage = "open log";
  UniqueFd fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (!fd) return sys_fail(kStage, "open", path_);
  struct stat status {};
  if (::fstat(fd.get(), &status) < 0) return sys_fail(kStage, "fstat", path_);
  if (!S_ISREG(status.st_mode)) return fail(kStage, path_ + " is no regular file", EINVAL, path_);
  fd_ = std::move(fd);
  size_ = static_cast<uint64_t>(status.st_size);
  inode_ = status.st_ino;
  return ok();
}

Status LogFile::rotate() {
  constexpr const char* kStage = "rotate log";
  if (max_files_ <= 1) {
    if (::ftruncate(fd_.get(), 0) < 0) return sys_fail(kStage, "ftruncate", path_);
    size_ = 0;
    return ok();
  }
  auto numbered = [&](uint32_t n) { return n == 0 ? path_ : path_ + "." + std::to_string(n); };
  for (uint32_t n = max_files_ - 1; n > 0; --n) {
    if (::rename(numbered(n - 1).c_str(), numbered(n).c_str()) < 0 && errno != ENOENT)
      return sys_fail(kStage, "rename", numbered(n));
  }
  return reopen();
}

Status LogFile::make_room(size_t bytes) {
  if (max_size_ == 0 || size_ == 0 || size_ + bytes <= max_size_) return ok();
  return rotate();
}

Status LogFile::append(std::string_view records) {
  for (size_t done = 0; done < records.size();) {
    ssize_t n = ::write(fd_.get(), records.data() + done, records.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      Failure failure = sys_fail("write log", "write", path_);
      // A half record would spoil the one after it.
      if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) < 0) size_ += done;
      return failure;
    }
    done += static_cast<size_t>(n);
  }
  size_ += records.size();
  return ok();
}

void LogFile::cut(uint64_t inode, uint64_t size) {
  if (inode != inode_ || size >= size_) return;
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) == 0) size_ = size;
}

}  // namespace stack
