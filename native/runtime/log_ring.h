#pragma once

#include <pthread.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "fd.h"
#include "log_file.h"
#include "result.h"

namespace stack {

/**
 * Log mode "non-blocking": a ring of bounded size between the container and a log that may be slow.
 * A thread of its own writes what is in it; what does not fit is dropped and counted. Children that
 * this process clones use nothing of it, and whatever the thread allocates comes from an arena of
 * its own (malloc(3)), so that they meet no lock of it.
 */
class LogRing {
 public:
  static Result<std::unique_ptr<LogRing>> create(LogFile log, size_t capacity);
  /** Writes out what is left, then ends the thread. */
  ~LogRing();

  /** One encoded record; false: dropped. */
  bool add(std::string_view record);
  /** Until everything is written. */
  void flush();
  /** Records that the disk refused, in bytes. */
  uint64_t refused();

 private:
  LogRing(LogFile log, size_t capacity) : log_(std::move(log)), capacity_(capacity) {}
  static void* thread_main(void* self);
  void write_out();
  void copy_in(size_t at, const void* data, size_t size);
  void copy_out(size_t at, void* data, size_t size) const;

  LogFile log_;
  size_t capacity_;
  char* ring_ = nullptr;   // records, each behind its length
  char* piece_ = nullptr;  // what the thread is writing
  size_t head_ = 0, used_ = 0;
  bool busy_ = false, ending_ = false, running_ = false;
  uint64_t refused_ = 0;
  pthread_t thread_{};
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t filled_ = PTHREAD_COND_INITIALIZER;
  pthread_cond_t emptied_ = PTHREAD_COND_INITIALIZER;
};

}  // namespace stack
