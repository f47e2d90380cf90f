#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "fd.h"
#include "result.h"

namespace stack {

/** Milliseconds of the monotonic clock. */
int64_t monotonic_ms();

/**
 * The monitor's one thread: descriptors by epoll, deadlines by its timeout. Handlers may add and
 * remove descriptors, also their own, and also those whose events are already fetched.
 */
class EventLoop {
 public:
  using Handler = std::function<void(uint32_t events)>;
  using TimerId = uint64_t;

  static Result<EventLoop> create();

  /** Watches `fd` (EPOLLIN …, EPOLLET where wanted). The descriptor stays the caller's. */
  Status add(int fd, uint32_t events, Handler handler);
  Status modify(int fd, uint32_t events);
  /** Before the descriptor is closed. Unknown ones are no failure. */
  void remove(int fd);

  /** Runs `task` once, `delay_ms` from now. */
  TimerId after(int64_t delay_ms, std::function<void()> task);
  /** Unknown and past ones are no failure. 0 is never a timer. */
  void cancel(TimerId id);

  /** Until stop(). */
  Status run();
  /** One round: waits for at least one event or deadline. */
  Status run_once();
  void stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }

 private:
  struct Watch {
    uint32_t generation;
    std::shared_ptr<Handler> handler;
  };
  struct Timer {
    TimerId id;
    std::function<void()> task;
  };

  explicit EventLoop(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  int timeout() const;
  void run_timers();

  UniqueFd epoll_;
  std::map<int, Watch> watches_;
  std::multimap<int64_t, Timer> timers_;
  uint32_t generation_ = 0;
  TimerId next_timer_ = 1;
  bool stopped_ = false;
};

}  // namespace stack
