#include "loop.h"

#include <sys/epoll.h>
#include <time.h>

#include <algorithm>
#include <climits>

namespace stack {

int64_t monotonic_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

Result<EventLoop> EventLoop::create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return sys_fail("event loop", "epoll_create1");
  return EventLoop(std::move(epoll));
}

// The generation in the event tells a descriptor that was closed and opened again within one round
// from the one that the event was about.
static uint64_t event_key(int fd, uint32_t generation) {
  return uint64_t{generation} << 32 | static_cast<uint32_t>(fd);
}

Status EventLoop::add(int fd, uint32_t events, Handler handler) {
  uint32_t generation = ++generation_;
  epoll_event event{};
  event.events = events;
  event.data.u64 = event_key(fd, generation);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0)
    return sys_fail("event loop", "epoll_ctl");
  watches_[fd] = Watch{generation, std::make_shared<Handler>(std::move(handler))};
  return ok();
}

Status EventLoop::modify(int fd, uint32_t events) {
  auto watch = watches_.find(fd);
  if (watch == watches_.end()) return fail("event loop", "descriptor is not watched", EBADF);
  epoll_event event{};
  event.events = events;
  event.data.u64 = event_key(fd, watch->second.generation);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) < 0)
    return sys_fail("event loop", "epoll_ctl");
  return ok();
}

void EventLoop::remove(int fd) {
  if (watches_.erase(fd) > 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::after(int64_t delay_ms, std::function<void()> task) {
  TimerId id = next_timer_++;
  timers_.emplace(monotonic_ms() + std::max<int64_t>(delay_ms, 0), Timer{id, std::move(task)});
  return id;
}

void EventLoop::cancel(TimerId id) {
  for (auto timer = timers_.begin(); timer != timers_.end(); ++timer) {
    if (timer->second.id != id) continue;
    timers_.erase(timer);
    return;
  }
}

int EventLoop::timeout() const {
  if (timers_.empty()) return -1;
  int64_t left = timers_.begin()->first - monotonic_ms();
  return static_cast<int>(std::clamp<int64_t>(left, 0, INT_MAX));
}

void EventLoop::run_timers() {
  int64_t now = monotonic_ms();
  while (!timers_.empty() && timers_.begin()->first <= now && !stopped_) {
    auto task = std::move(timers_.begin()->second.task);
    timers_.erase(timers_.begin());
    task();
  }
}

Status EventLoop::run_once() {
  epoll_event events[16];
  int count = ::epoll_wait(epoll_.get(), events, 16, timeout());
  if (count < 0 && errno != EINTR) return sys_fail("event loop", "epoll_wait");
  for (int i = 0; i < count && !stopped_; ++i) {
    auto watch = watches_.find(static_cast<int>(events[i].data.u64 & 0xffffffff));
    if (watch == watches_.end() || watch->second.generation != events[i].data.u64 >> 32) continue;
    auto handler = watch->second.handler;  // it may remove itself
    (*handler)(events[i].events);
  }
  run_timers();
  return ok();
}

Status EventLoop::run() {
  while (!stopped_) {
    if (auto round = run_once(); !round) return round;
  }
  return ok();
}

}  // namespace stack
