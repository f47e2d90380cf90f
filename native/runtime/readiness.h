#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "loop.h"
#include "supervision.h"

namespace stack {

/**
 * Is one start of one process ready? Asks its probes from inside of the container until all hold.
 * The kernel tells nobody that a port is listened on or a file has come, so they are asked again
 * and again, quickly at first; once all hold, nothing is asked any more.
 */
class Readiness {
 public:
  struct Needs {
    std::function<void()> ready;
    /** One did not hold in its time: why. */
    std::function<void(std::string)> late;
    /** Runs a command as the process would; tells whether it succeeded. False: it could not start. */
    std::function<bool(const std::vector<std::string>&, std::function<void(bool)>)> run;
  };
  Readiness(EventLoop& loop, const std::vector<ReadyProbe>& probes, Needs needs);
  ~Readiness();
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;
  /** The probe at this position, which somebody else asks, holds. False: it is none such, or holds already. */
  bool told(size_t probe);

 private:
  class Question;
  void answered(Question* question);

  EventLoop& loop_;
  const std::vector<ReadyProbe>& probes_;
  Needs needs_;
  std::vector<std::shared_ptr<Question>> questions_;
  std::vector<EventLoop::TimerId> deadlines_;
  size_t open_ = 0;
};

/** `tcp 8080`, `http 8080/health`, for messages. */
std::string describe(const ReadyProbe& probe);

}  // namespace stack
