// The assembly line of an unpack: standard input → decompressor → (SHA-256 | tar), each on its own
// thread.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "result.h"

namespace stack::layer {

/// A piece of the stream. Goes back to its pool when the last of its users lets go of it.
struct Chunk {
  static constexpr size_t kCapacity = 256 * 1024;
  std::atomic<int> users{0};
  size_t size = 0;
  std::unique_ptr<uint8_t[]> data{new uint8_t[kCapacity]};

  std::span<const uint8_t> bytes() const { return {data.get(), size}; }
};

/// A mutex and a condition to wait for under it. Not std::condition_variable and std::thread, which
/// bring exceptions, error categories and their messages into the program.
class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() {
    ::pthread_cond_destroy(&changed_);
    ::pthread_mutex_destroy(&mutex_);
  }
  void lock() { ::pthread_mutex_lock(&mutex_); }
  void unlock() { ::pthread_mutex_unlock(&mutex_); }
  /// With the lock held, which is given up meanwhile.
  void wait() { ::pthread_cond_wait(&changed_, &mutex_); }
  void notify() { ::pthread_cond_signal(&changed_); }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed_ = PTHREAD_COND_INITIALIZER;
};

/// A thread that is waited for.
class Thread {
 public:
  explicit Thread(std::function<void()> task);
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread() { join(); }
  void join();

 private:
  static void* run(void* self);

  std::function<void()> task_;
  pthread_t thread_{};
  bool runs_ = false;
};

/// As many chunks as were asked for and never more: what bounds the memory of the line.
class ChunkPool {
 public:
  explicit ChunkPool(size_t count) : left_(count) {}
  /// Waits until one is free.
  Chunk* take();
  void release(Chunk* chunk);

 private:
  Gate gate_;
  std::vector<std::unique_ptr<Chunk>> all_;
  std::vector<Chunk*> free_;
  size_t left_;
};

/// Chunks from one thread to another, in order. Unbounded: the pool is the bound.
class ChunkQueue {
 public:
  void push(Chunk* chunk);
  /// No more will come.
  void finish();
  /// Null at the end.
  Chunk* pop();

 private:
  Gate gate_;
  std::deque<Chunk*> queue_;
  bool finished_ = false;
};

enum class Compression : uint8_t { detect, none, gzip, zstd };

/// Where decompressed bytes go: space to write in, then how many were written.
class Output {
 public:
  virtual ~Output() = default;
  virtual std::span<uint8_t> space() = 0;
  /// Fails when the layer grows beyond what was allowed.
  virtual Status produced(size_t size) = 0;
};

/// Turns compressed bytes into plain ones, over any number of calls.
class Decompressor {
 public:
  virtual ~Decompressor() = default;
  virtual Status feed(std::span<const uint8_t> input, Output& output) = 0;
  /// The input has ended: fails if it ended too early.
  virtual Status finish() = 0;
};

/// `first`: the first bytes of the stream, for Compression::detect. Fails for what we cannot read
/// (xz, bzip2).
Result<std::unique_ptr<Decompressor>> make_decompressor(Compression compression,
                                                        std::span<const uint8_t> first);

/// The plain bytes of the layer, for the thread that reads the tar.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// What is there of the next bytes without copying; empty at the end.
  virtual std::span<const uint8_t> peek() = 0;
  virtual void advance(size_t size) = 0;
};

struct LineOptions {
  int input = 0;
  Compression compression = Compression::detect;
  /// Most plain bytes that the layer may have.
  uint64_t max_bytes = UINT64_MAX;
};

/// Reads and hashes everything that comes from `input`, and offers the plain bytes to the thread
/// that owns it.
class Line : public ByteSource {
 public:
  explicit Line(const LineOptions& options);
  ~Line() override;
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  std::span<const uint8_t> peek() override;
  void advance(size_t size) override;

  /// Reads and hashes the rest without looking at it (a tar may be followed by anything), and ends
  /// the threads.
  void drain();
  /// Decompresses no more, but still hashes the rest of the input: tells a damaged blob from a bad
  /// layer.
  void abandon();

  /// After drain(): why reading or decompressing failed, if it did.
  const Status& status() const { return status_; }
  /// After drain(): hash of what was read.
  const std::string& digest() const { return digest_; }
  /// After drain(): hash of what came out of the decompressor.
  const std::string& diff_id() const { return diff_id_; }

 private:
  class Feed;
  void read_all();
  Status read_input(Feed& feed);
  void hash(ChunkQueue& queue, ChunkPool& pool, std::string& result);
  void hash_both();

  const LineOptions options_;
  ChunkPool raw_pool_{8};
  ChunkPool plain_pool_{24};
  ChunkQueue raw_to_hash_;
  ChunkQueue plain_to_hash_;
  ChunkQueue plain_;
  std::atomic<bool> abandoned_{false};
  Chunk* current_ = nullptr;
  size_t offset_ = 0;
  bool ended_ = false;
  Status status_;
  std::string digest_;
  std::string diff_id_;
  // Last, so that all that they use is there before them.
  Thread raw_hasher_{[this] { hash(raw_to_hash_, raw_pool_, digest_); }};
  Thread plain_hasher_{[this] { hash(plain_to_hash_, plain_pool_, diff_id_); }};
  Thread reader_{[this] { read_all(); }};
};

}  // namespace stack::layer
