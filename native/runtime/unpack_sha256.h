// SHA-256 (FIPS 180-4), with the processor's own instructions where it has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace stack::layer {

/// One running hash. Not thread-safe; every instance belongs to one thread at a time.
class Sha256 {
 public:
  Sha256();
  void update(std::span<const uint8_t> data);
  /// `sha256:` and 64 lower-case hexadecimal digits. Ends the hash: call it once.
  std::string digest();

  /// For tests: the portable code even where the processor has instructions for it.
  static void force_portable(bool yes);

 private:
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> pending_{};
  size_t pending_size_ = 0;
  uint64_t total_ = 0;
};

}  // namespace stack::layer
