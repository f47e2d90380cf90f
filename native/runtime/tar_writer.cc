#include "tar_writer.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <cstring>

#include "fd.h"

namespace stack {

namespace {

constexpr size_t kBlock = 512;
constexpr size_t kBuffer = 256 * 1024;
constexpr uint64_t kMaxSize = 077777777777;  // eleven octal digits
constexpr uint64_t kMaxId = 07777777;

void put_octal(char* at, size_t digits, uint64_t value) {
  for (size_t i = digits; i-- > 0; value >>= 3) at[i] = static_cast<char>('0' + (value & 7));
}

void put_text(char* at, size_t size, std::string_view text) {
  std::memcpy(at, text.data(), std::min(size, text.size()));
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
std::string record(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length)
    length = std::to_string(length).size() + rest;
  std::string text = std::to_string(length);
  text += ' ';
  text.append(key).append("=").append(value).append("\n");
  return text;
}

std::string pax_records(const TarMember& member, const struct stat& info) {
  std::string text;
  if (member.name.size() > 100) text += record("path", member.name);
  if (member.link.size() > 100) text += record("linkpath", member.link);
  if (member.size > kMaxSize) text += record("size", std::to_string(member.size));
  if (info.st_uid > kMaxId) text += record("uid", std::to_string(info.st_uid));
  if (info.st_gid > kMaxId) text += record("gid", std::to_string(info.st_gid));
  if (info.st_mtime < 0 || static_cast<uint64_t>(info.st_mtime) > kMaxSize)
    text += record("mtime", std::to_string(info.st_mtime));
  for (const auto& [name, value] : member.xattrs) text += record("SCHILY.xattr." + name, value);
  return text;
}

void put_sum(char* block) {
  std::memset(block + 148, ' ', 8);
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) sum += static_cast<uint8_t>(block[i]);
  put_octal(block + 148, 6, sum);
  block[154] = 0;
}

}  // namespace

Status TarWriter::member(const TarMember& member, const struct stat& info) {
  const std::string records = pax_records(member, info);
  if (!records.empty()) {
    TarMember extended;
    extended.name = "PaxHeaders/" + member.name.substr(0, 80);
    if (extended.name.ends_with('/')) extended.name.pop_back();
    extended.type = 'x';
    extended.size = records.size();
    struct stat plain {};
    plain.st_mode = 0644;
    TRY(header(extended, plain));
    TRY(write(records));
    TRY(pad(records.size()));
  }
  return header(member, info);
}

Status TarWriter::header(const TarMember& member, const struct stat& info) {
  char block[kBlock] = {};
  put_text(block, 100, member.name);
  put_octal(block + 100, 7, info.st_mode & 07777);
  put_octal(block + 108, 7, std::min<uint64_t>(info.st_uid, kMaxId));
  put_octal(block + 116, 7, std::min<uint64_t>(info.st_gid, kMaxId));
  put_octal(block + 124, 11, std::min(member.size, kMaxSize));
  const auto mtime = static_cast<uint64_t>(std::max<int64_t>(info.st_mtime, 0));
  put_octal(block + 136, 11, std::min(mtime, kMaxSize));
  block[156] = member.type;
  put_text(block + 157, 100, member.link);
  std::memcpy(block + 257, "ustar\00000", 8);
  if (member.type == '3' || member.type == '4') {
    put_octal(block + 329, 7, major(info.st_rdev));
    put_octal(block + 337, 7, minor(info.st_rdev));
  }
  put_sum(block);
  return write({block, kBlock});
}

Status TarWriter::write(std::string_view bytes) {
  buffer_.append(bytes);
  return buffer_.size() < kBuffer ? ok() : flush();
}

Status TarWriter::zeros(uint64_t count) {
  static constexpr char kZeros[4096] = {};
  for (; count > 0; count -= std::min<uint64_t>(count, sizeof kZeros))
    TRY(write({kZeros, static_cast<size_t>(std::min<uint64_t>(count, sizeof kZeros))}));
  return ok();
}

Status TarWriter::pad(uint64_t size) { return zeros((kBlock - size % kBlock) % kBlock); }

Status TarWriter::finish() {
  TRY(zeros(2 * kBlock));
  return flush();
}

Status TarWriter::flush() {
  Status written = write_all(out_, buffer_);
  buffer_.clear();
  if (written) return ok();
  Failure failure = written.failure();
  failure.stage = "pack";
  return failure;
}

}  // namespace stack
