#include "frame.h"

#include <algorithm>

namespace stack {

void append_frame(std::string& out, FrameType type, std::string_view payload) {
  do {
    std::string_view part = payload.substr(0, kFramePayload);
    payload.remove_prefix(part.size());
    auto length = static_cast<uint32_t>(part.size());
    const char header[kFrameHeader] = {static_cast<char>(type),
                                       0,
                                       0,
                                       0,
                                       static_cast<char>(length >> 24),
                                       static_cast<char>(length >> 16),
                                       static_cast<char>(length >> 8),
                                       static_cast<char>(length)};
    out.append(header, sizeof header);
    out.append(part);
  } while (!payload.empty());
}

FrameReader::Next FrameReader::next(FrameType& type, std::string_view& payload) {
  if (consumed_ > 0) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
    if (buffer_.empty()) buffer_.shrink_to_fit();
  }
  if (buffer_.size() < kFrameHeader) return Next::more;
  auto byte = [&](size_t i) { return static_cast<uint8_t>(buffer_[i]); };
  uint32_t length =
      uint32_t{byte(4)} << 24 | uint32_t{byte(5)} << 16 | uint32_t{byte(6)} << 8 | byte(7);
  if (byte(0) > 3 || byte(1) != 0 || byte(2) != 0 || byte(3) != 0 || length > kFramePayload)
    return Next::malformed;
  if (buffer_.size() < kFrameHeader + length) return Next::more;
  type = static_cast<FrameType>(byte(0));
  payload = std::string_view(buffer_).substr(kFrameHeader, length);
  consumed_ = kFrameHeader + length;
  return Next::frame;
}

}  // namespace stack
