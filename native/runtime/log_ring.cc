#include "log_ring.h"

#include <string.h>
#include <sys/mman.h>

#include <algorithm>

namespace stack {

namespace {

// A record of 16 KiB in which every byte is escaped, with its attributes: the ring takes nothing
// longer.
constexpr size_t kPiece = 256 << 10;

char* map(size_t size) {
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  ::madvise(at, size, MADV_DONTFORK);
  return static_cast<char*>(at);
}

}  // namespace

Result<std::unique_ptr<LogRing>> LogRing::create(LogFile log, size_t capacity) {
  std::unique_ptr<LogRing> ring(new LogRing(std::move(log), capacity));
  ring->ring_ = map(capacity);
  ring->piece_ = map(kPiece);
  if (ring->ring_ == nullptr || ring->piece_ == nullptr) return sys_fail("open log", "mmap");
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, 128 << 10);
  int error = ::pthread_create(&ring->thread_, &attributes, thread_main, ring.get());
  ::pthread_attr_destroy(&attributes);
  if (error != 0) return sys_fail("open log", "pthread_create", {}, error);
  ring->running_ = true;
  return ring;
}

LogRing::~LogRing() {
  if (running_) {
    ::pthread_mutex_lock(&mutex_);
    ending_ = true;
    ::pthread_cond_signal(&filled_);
    ::pthread_mutex_unlock(&mutex_);
    ::pthread_join(thread_, nullptr);
  }
  if (ring_ != nullptr) ::munmap(ring_, capacity_);
  if (piece_ != nullptr) ::munmap(piece_, kPiece);
}

void LogRing::copy_in(size_t at, const void* data, size_t size) {
  at %= capacity_;
  size_t first = std::min(size, capacity_ - at);
  ::memcpy(ring_ + at, data, first);
  ::memcpy(ring_, static_cast<const char*>(data) + first, size - first);
}

void LogRing::copy_out(size_t at, void* data, size_t size) const {
  at %= capacity_;
  size_t first = std::min(size, capacity_ - at);
  ::memcpy(data, ring_ + at, first);
  ::memcpy(static_cast<char*>(data) + first, ring_, size - first);
}

bool LogRing::add(std::string_view record) {
  auto size = static_cast<uint32_t>(record.size());
  ::pthread_mutex_lock(&mutex_);
  bool fits = size <= kPiece && used_ + sizeof size + size <= capacity_;
  if (fits) {
    copy_in(head_ + used_, &size, sizeof size);
    copy_in(head_ + used_ + sizeof size, record.data(), size);
    used_ += sizeof size + size;
    ::pthread_cond_signal(&filled_);
  }
  ::pthread_mutex_unlock(&mutex_);
  return fits;
}

void LogRing::flush() {
  ::pthread_mutex_lock(&mutex_);
  while (used_ > 0 || busy_) ::pthread_cond_wait(&emptied_, &mutex_);
  ::pthread_mutex_unlock(&mutex_);
}

uint64_t LogRing::refused() {
  ::pthread_mutex_lock(&mutex_);
  uint64_t bytes = refused_;
  ::pthread_mutex_unlock(&mutex_);
  return bytes;
}

void* LogRing::thread_main(void* self) {
  static_cast<LogRing*>(self)->write_out();
  return nullptr;
}

// One record at a time: rotation comes between records, and a slow disk holds nobody's lock.
void LogRing::write_out() {
  ::pthread_mutex_lock(&mutex_);
  for (;;) {
    while (used_ == 0 && !ending_) ::pthread_cond_wait(&filled_, &mutex_);
    if (used_ == 0) break;
    uint32_t size = 0;
    copy_out(head_, &size, sizeof size);
    copy_out(head_ + sizeof size, piece_, size);
    head_ = (head_ + sizeof size + size) % capacity_;
    used_ -= sizeof size + size;
    busy_ = true;
    ::pthread_mutex_unlock(&mutex_);
    (void)log_.make_room(size);
    bool written = log_.append(std::string_view(piece_, size)).ok();
    ::pthread_mutex_lock(&mutex_);
    busy_ = false;
    if (!written) refused_ += size;
    if (used_ == 0) ::pthread_cond_broadcast(&emptied_);
  }
  ::pthread_mutex_unlock(&mutex_);
}

}  // namespace stack
