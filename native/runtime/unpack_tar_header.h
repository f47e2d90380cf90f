// The 512 bytes of a tar header, and the numbers in it. For the reader alone.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "unpack_tar.h"

namespace stack::layer {

constexpr size_t kTarBlock = 512;

inline std::string_view field(const uint8_t* at, size_t size) {
  const char* text = reinterpret_cast<const char*>(at);
  return {text, strnlen(text, size)};
}

/// Octal with spaces and zeros around it, or GNU's base-256 (first bit set, two's complement).
inline bool parse_number(const uint8_t* at, size_t size, int64_t& value) {
  if ((at[0] & 0x80) != 0) {
    const bool negative = (at[0] & 0x40) != 0;
    uint64_t bits = negative ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < size; ++i) {
      const uint8_t byte = i == 0 ? (at[0] & 0x7f) | (negative ? 0x80 : 0) : at[i];
      const uint64_t top = bits >> 56;
      if (i >= 8 && top != (negative ? 0xffu : 0u)) return false;
      bits = (bits << 8) | byte;
    }
    value = static_cast<int64_t>(bits);
    return (value < 0) == negative;
  }
  std::string_view text = field(at, size);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  value = 0;
  if (text.empty()) return true;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  return error == std::errc{} && end == text.data() + text.size();
}

template <class T>
bool parse_decimal(std::string_view text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 10);
  return error == std::errc{} && end == text.data() + text.size();
}

/// POSIX.1-2017, pax, "ustar Interchange Format"; old GNU's differs behind byte 345.
struct TarReader::Header {
  uint8_t raw[kTarBlock];
  char type = '0';
  int64_t size = 0;

  bool gnu() const { return std::memcmp(raw + 257, "ustar  ", 7) == 0; }
  bool ustar() const { return std::memcmp(raw + 257, "ustar\0", 6) == 0; }
  bool zero() const {
    return std::all_of(raw, raw + kTarBlock, [](uint8_t byte) { return byte == 0; });
  }
  bool sum_is_right() const {
    int64_t stated = 0;
    if (!parse_number(raw + 148, 8, stated)) return false;
    int64_t with_unsigned = 8 * ' ', with_signed = 8 * ' ';
    for (size_t i = 0; i < kTarBlock; ++i) {
      if (i >= 148 && i < 156) continue;
      with_unsigned += raw[i];
      with_signed += static_cast<int8_t>(raw[i]);  // what some old writers did
    }
    return stated == with_unsigned || stated == with_signed;
  }
  std::string name() const {
    std::string name(field(raw, 100));
    const std::string_view prefix = field(raw + 345, 155);
    if (ustar() && !prefix.empty()) name = std::string(prefix) + "/" + name;
    return name;
  }
};

}  // namespace stack::layer
