#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "fd.h"
#include "monitor_spec.h"
#include "result.h"

namespace stack {

/** Docker's json-file cuts lines at this many bytes; all pieces but the last lack the "\n". */
inline constexpr size_t kLogLine = 16384;

/**
 * The next record in `pending`: its length in bytes including its newline, or 0 if the line is not
 * complete yet. A line of more than 16 KiB is cut, not inside a UTF-8 sequence. `final`: nothing
 * comes after it, so that an incomplete line is a record too.
 */
size_t next_log_record(std::string_view pending, bool final);

/**
 * Appends one record in Docker's json-file format:
 * `{"log":"…\n","stream":"stdout","attrs":{…},"time":"…"}\n`. `attributes` is the encoded member
 * with its comma in front, or "".
 */
void append_log_record(std::string& out, std::string_view text, std::string_view stream,
                       std::string_view attributes, const timespec& time);
std::string encode_log_attributes(
    const std::vector<std::pair<std::string, std::string>>& attributes);

/** The log file of one container with its rotation: PATH, PATH.1, PATH.2 … */
class LogFile {
 public:
  static Result<LogFile> open(const LogSpec& spec);

  /** Rotates first if `bytes` more would pass the limit and there is something to rotate. */
  Status make_room(size_t bytes);
  /** One write. What was written of a failed one is cut off again. */
  Status append(std::string_view records);
  uint64_t size() const { return size_; }
  uint64_t inode() const { return inode_; }
  /** Cuts the file, if it still is that one: what a killed monitor had begun to write. */
  void cut(uint64_t inode, uint64_t size);

 private:
  LogFile(std::string path, uint64_t max_size, uint32_t max_files)
      : path_(std::move(path)), max_size_(max_size), max_files_(max_files) {}
  Status reopen();
  Status rotate();

  std::string path_;
  uint64_t max_size_;
  uint32_t max_files_;
  UniqueFd fd_;
  uint64_t size_ = 0;
  uint64_t inode_ = 0;
};

}  // namespace stack
