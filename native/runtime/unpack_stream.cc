#include "unpack_stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fd.h"
#include "unpack_sha256.h"

namespace stack::layer {

namespace {

class Locked {
 public:
  explicit Locked(Gate& gate) : gate_(gate) { gate_.lock(); }
  ~Locked() { gate_.unlock(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  Gate& gate_;
};

}  // namespace

Thread::Thread(std::function<void()> task) : task_(std::move(task)) {
  int error = ::pthread_create(&thread_, nullptr, run, this);
  runs_ = error == 0;
  if (runs_) return;
  // The line cannot work without; said before anything was unpacked.
  auto failure = sys_fail("unpack", "pthread_create", "", error);
  const std::string text = (*failure).text() + "\n";
  (void)write_all(STDERR_FILENO, text);
  ::_exit(1);
}

void* Thread::run(void* self) {
  static_cast<Thread*>(self)->task_();
  return nullptr;
}

void Thread::join() {
  if (std::exchange(runs_, false)) ::pthread_join(thread_, nullptr);
}

Chunk* ChunkPool::take() {
  Locked locked(gate_);
  if (free_.empty() && left_ > 0) {
    --left_;
    all_.push_back(std::make_unique<Chunk>());
    return all_.back().get();
  }
  while (free_.empty()) gate_.wait();
  Chunk* chunk = free_.back();
  free_.pop_back();
  return chunk;
}

void ChunkPool::release(Chunk* chunk) {
  if (chunk->users.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  {
    Locked locked(gate_);
    free_.push_back(chunk);
  }
  gate_.notify();
}

void ChunkQueue::push(Chunk* chunk) {
  {
    Locked locked(gate_);
    queue_.push_back(chunk);
  }
  gate_.notify();
}

void ChunkQueue::finish() {
  {
    Locked locked(gate_);
    finished_ = true;
  }
  gate_.notify();
}

Chunk* ChunkQueue::pop() {
  Locked locked(gate_);
  while (queue_.empty() && !finished_) gate_.wait();
  if (queue_.empty()) return nullptr;
  Chunk* chunk = queue_.front();
  queue_.pop_front();
  return chunk;
}

/// The decompressor's output: fills chunks and hands each full one to the tar reader and the hash.
class Line::Feed : public Output {
 public:
  explicit Feed(Line& line) : line_(line) {}

  std::span<uint8_t> space() override {
    if (chunk_ == nullptr) {
      chunk_ = line_.plain_pool_.take();
      chunk_->size = 0;
    }
    return {chunk_->data.get() + chunk_->size, Chunk::kCapacity - chunk_->size};
  }

  Status produced(size_t size) override {
    total_ += size;
    chunk_->size += size;
    if (total_ > line_.options_.max_bytes)
      return fail("limit",
                  "the layer is larger than the " + std::to_string(line_.options_.max_bytes) +
                      " bytes it may have",
                  EFBIG);
    if (chunk_->size == Chunk::kCapacity) flush();
    return ok();
  }

  void flush() {
    if (chunk_ == nullptr) return;
    Chunk* chunk = chunk_;
    chunk_ = nullptr;
    chunk->users = 2;
    line_.plain_to_hash_.push(chunk);
    line_.plain_.push(chunk);
  }

 private:
  Line& line_;
  Chunk* chunk_ = nullptr;
  uint64_t total_ = 0;
};

Line::Line(const LineOptions& options) : options_(options) {
  // Larger kernel buffers let the sender run ahead; both calls may fail for the other kind of
  // descriptor.
  (void)fcntl(options_.input, F_SETPIPE_SZ, 1 << 20);
  const int size = 1 << 20;
  (void)setsockopt(options_.input, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

Line::~Line() { drain(); }

void Line::hash(ChunkQueue& queue, ChunkPool& pool, std::string& result) {
  Sha256 sha;
  while (Chunk* chunk = queue.pop()) {
    sha.update(chunk->bytes());
    pool.release(chunk);
  }
  result = sha.digest();
}

void Line::read_all() {
  Feed feed(*this);
  status_ = read_input(feed);
  feed.flush();
  raw_to_hash_.finish();
  plain_to_hash_.finish();
  plain_.finish();
}

Status Line::read_input(Feed& feed) {
  std::unique_ptr<Decompressor> decompressor;
  std::string first;  // until there are enough bytes to know what it is
  Status failed;
  auto consume = [&](std::span<const uint8_t> bytes, bool last) -> Status {
    if (decompressor == nullptr) {
      first.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      if (first.size() < 8 && !last) return ok();
      bytes = {reinterpret_cast<const uint8_t*>(first.data()), first.size()};
      decompressor = TRY(make_decompressor(options_.compression, bytes));
    }
    if (!bytes.empty()) TRY(decompressor->feed(bytes, feed));
    return last ? decompressor->finish() : ok();
  };
  while (true) {
    Chunk* chunk = raw_pool_.take();
    ssize_t size = ::read(options_.input, chunk->data.get(), Chunk::kCapacity);
    if (size < 0 && errno == EINTR) size = -2;
    if (size == -1) return sys_fail("read the layer", "read", "standard input");
    chunk->size = size > 0 ? static_cast<size_t>(size) : 0;
    chunk->users = 2;
    raw_to_hash_.push(chunk);
    if (size != -2 && failed.ok() && !abandoned_) failed = consume(chunk->bytes(), size == 0);
    raw_pool_.release(chunk);
    // After a failure the rest is still hashed: was the blob damaged, or the layer bad from the
    // start?
    if (!failed.ok() && !abandoned_.exchange(true)) {
      feed.flush();
      plain_.finish();
    }
    if (size == 0) return failed;
  }
}

std::span<const uint8_t> Line::peek() {
  while (!ended_) {
    if (current_ != nullptr && offset_ < current_->size) return current_->bytes().subspan(offset_);
    if (current_ != nullptr) plain_pool_.release(current_);
    current_ = plain_.pop();
    offset_ = 0;
    ended_ = current_ == nullptr;
  }
  return {};
}

void Line::advance(size_t size) { offset_ += size; }

void Line::abandon() { abandoned_ = true; }

void Line::drain() {
  while (!peek().empty()) advance(peek().size());
  for (Thread* thread : {&reader_, &raw_hasher_, &plain_hasher_}) thread->join();
}

}  // namespace stack::layer
