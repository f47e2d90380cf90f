#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace stack {

/**
 * What went wrong in the native side. `stage` says where in the course of things ("mount /proc",
 * "join cgroup memory", "exec"), `call` is the system call ("" if none), `err` its errno (0 if
 * none), `path` what it was about. NativeFailure in src/runtime/formats.ts is the same.
 */
struct Failure {
  std::string stage;
  std::string call;
  int err = 0;
  std::string path;
  std::string message;

  /** One line for people: `stage: message`. */
  std::string text() const { return stage.empty() ? message : stage + ": " + message; }
};

/** A failure without a system call. `err` lets callers classify it nevertheless. */
inline Failure fail(std::string stage, std::string message, int err = 0, std::string path = {}) {
  return Failure{std::move(stage), "", err, std::move(path), std::move(message)};
}

/** A failed system call: reads errno (or takes `err`), and says call, path and reason. */
inline Failure sys_fail(std::string stage, std::string call, std::string path = {},
                        int err = errno) {
  std::string message = call;
  if (!path.empty()) message += " " + path;
  message += ": ";
  message += ::strerror(err);
  return Failure{std::move(stage), std::move(call), err, std::move(path), std::move(message)};
}

/** A value, or why there is none. C++20 has no std::expected, and the runtime has no exceptions. */
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit on purpose
  Result(Failure failure) : state_(std::in_place_index<1>, std::move(failure)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  /** Only when ok(). */
  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T take() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  /** Only when not ok(). */
  const Failure& failure() const& { return *std::get_if<1>(&state_); }
  Failure failure() && { return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Failure> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Failure failure) : failed_(true), failure_(std::move(failure)) {}  // NOLINT

  bool ok() const { return !failed_; }
  explicit operator bool() const { return ok(); }
  void take() && {}
  const Failure& failure() const& { return failure_; }
  Failure failure() && { return std::move(failure_); }

 private:
  bool failed_ = false;
  Failure failure_;
};

using Status = Result<void>;
inline Status ok() { return {}; }

}  // namespace stack

/** `auto x = TRY(call());` returns the failure from the enclosing function, or yields the value. */
#define TRY(expression)                                           \
  ({                                                              \
    auto try_result = (expression);                               \
    if (!try_result.ok()) return std::move(try_result).failure(); \
    std::move(try_result).take();                                 \
  })
