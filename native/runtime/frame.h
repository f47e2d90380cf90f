#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace stack {

/** native/PROTOCOL.md, "Frames": type, three zero bytes, length as 32-bit big-endian, payload. */
enum class FrameType : uint8_t { input = 0, output = 1, error = 2, control = 3 };

inline constexpr size_t kFrameHeader = 8;
inline constexpr size_t kFramePayload = 65536;

/** Appends one frame; more than 64 KiB of payload becomes several. */
void append_frame(std::string& out, FrameType type, std::string_view payload);

/** Takes bytes as they come, gives frames. */
class FrameReader {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }

  enum class Next { frame, more, malformed };
  /** `payload` points into the reader until the next call of feed() or next(). */
  Next next(FrameType& type, std::string_view& payload);
  size_t pending() const { return buffer_.size() - consumed_; }

 private:
  std::string buffer_;
  size_t consumed_ = 0;
};

}  // namespace stack
