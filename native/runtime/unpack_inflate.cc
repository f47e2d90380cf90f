// gzip (RFC 1952), zstd (RFC 8878) and nothing at all.
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "unpack_stream.h"

namespace stack::layer {
namespace {

Failure bad(const std::string& what) { return fail("decompress", what, EBADMSG); }

class Plain : public Decompressor {
 public:
  Status feed(std::span<const uint8_t> input, Output& output) override {
    while (!input.empty()) {
      std::span<uint8_t> space = output.space();
      const size_t size = std::min(space.size(), input.size());
      std::memcpy(space.data(), input.data(), size);
      input = input.subspan(size);
      TRY(output.produced(size));
    }
    return ok();
  }
  Status finish() override { return ok(); }
};

/// Several members in a row are one stream (RFC 1952, section 2.2); zeros behind the last are
/// padding.
class Gzip : public Decompressor {
 public:
  Gzip() { ready_ = inflateInit2(&stream_, 15 + 16) == Z_OK; }
  ~Gzip() override { inflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  Status feed(std::span<const uint8_t> input, Output& output) override {
    if (!ready_) return fail("decompress", "zlib could not start", ENOMEM);
    stream_.next_in = const_cast<Bytef*>(input.data());
    stream_.avail_in = static_cast<uInt>(input.size());
    while (true) {
      if (between_ && !next_member()) return tail_status();
      std::span<uint8_t> space = output.space();
      stream_.next_out = space.data();
      stream_.avail_out = static_cast<uInt>(space.size());
      const int result = inflate(&stream_, Z_NO_FLUSH);
      const size_t size = space.size() - stream_.avail_out;
      if (size > 0) TRY(output.produced(size));
      if (result == Z_STREAM_END) {
        between_ = true;
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return bad(std::string("the gzip stream is damaged: ") +
                   (stream_.msg != nullptr ? stream_.msg : "unknown reason"));
      } else if (stream_.avail_in == 0 && stream_.avail_out > 0) {
        return ok();
      }
    }
  }

  Status finish() override {
    if (between_) return ok();
    return bad("the gzip stream ends too early");
  }

 private:
  /// Between members: true if another one begins here.
  bool next_member() {
    while (stream_.avail_in > 0 && *stream_.next_in == 0) {
      ++stream_.next_in;
      --stream_.avail_in;
      padded_ = true;
    }
    if (stream_.avail_in == 0) return false;
    if (padded_ || *stream_.next_in != 0x1f) {
      garbage_ = true;
      return false;
    }
    between_ = false;
    return inflateReset(&stream_) == Z_OK;
  }
  Status tail_status() const {
    if (garbage_) return bad("there is something behind the end of the gzip stream");
    return ok();
  }

  z_stream stream_{};
  bool ready_ = false;
  bool between_ = false;
  bool padded_ = false;
  bool garbage_ = false;
};

class Zstd : public Decompressor {
 public:
  Zstd() : context_(ZSTD_createDStream()) {}
  ~Zstd() override { ZSTD_freeDStream(context_); }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;

  Status feed(std::span<const uint8_t> input, Output& output) override {
    if (context_ == nullptr) return fail("decompress", "zstd could not start", ENOMEM);
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    while (true) {
      std::span<uint8_t> space = output.space();
      ZSTD_outBuffer out{space.data(), space.size(), 0};
      const size_t result = ZSTD_decompressStream(context_, &out, &in);
      if (ZSTD_isError(result) != 0)
        return bad(std::string("the zstd stream is damaged: ") + ZSTD_getErrorName(result));
      open_ = result != 0;
      if (out.pos > 0) TRY(output.produced(out.pos));
      // At the end of a frame nothing is left to flush, and asking again would begin another.
      if (in.pos == in.size && (!open_ || out.pos < out.size)) return ok();
    }
  }

  Status finish() override {
    if (open_) return bad("the zstd stream ends too early");
    return ok();
  }

 private:
  ZSTD_DStream* context_;
  bool open_ = true;
};

bool starts(std::span<const uint8_t> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

Result<Compression> detect(std::span<const uint8_t> first) {
  if (starts(first, "\x1f\x8b")) return Compression::gzip;
  if (starts(first, "\x28\xb5\x2f\xfd")) return Compression::zstd;
  // A skippable frame (RFC 8878, section 3.1.2): 0x184D2A50 to …5F.
  if (first.size() >= 4 && (first[0] & 0xf0) == 0x50 && starts(first.subspan(1), "\x2a\x4d\x18"))
    return Compression::zstd;
  if (starts(first,
             "\xfd"
             "7zXZ"))
    return bad("xz compression is not supported: use gzip or zstd");
  if (starts(first, "BZh")) return bad("bzip2 compression is not supported: use gzip or zstd");
  return Compression::none;
}

}  // namespace

Result<std::unique_ptr<Decompressor>> make_decompressor(Compression compression,
                                                        std::span<const uint8_t> first) {
  if (compression == Compression::detect) compression = TRY(detect(first));
  switch (compression) {
    case Compression::gzip:
      return std::unique_ptr<Decompressor>(new Gzip);
    case Compression::zstd:
      return std::unique_ptr<Decompressor>(new Zstd);
    default:
      return std::unique_ptr<Decompressor>(new Plain);
  }
}

}  // namespace stack::layer
