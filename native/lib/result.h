#pragma once

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

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
  std::string text() const;
};

/**
 * A failure on its way to whoever can tell it: one pointer, made and freed out of line. Every call
 * can fail and hardly any does, so that what a failure needs must not be repeated at each of them
 * (it was half of the program).
 */
class [[nodiscard]] Failed {
 public:
  Failed() = default;
  Failed(const Failure& failure);  // NOLINT: implicit on purpose
  Failed(Failure&& failure);       // NOLINT
  Failed(Failed&& other) noexcept : failure_(std::exchange(other.failure_, nullptr)) {}
  Failed& operator=(Failed&& other) noexcept {
    std::swap(failure_, other.failure_);
    return *this;
  }
  ~Failed() {
    if (failure_ != nullptr) discard();
  }

  /** An empty one if nothing failed. */
  const Failure& operator*() const;
  operator Failure() &&;  // NOLINT

 private:
  void discard();

  Failure* failure_ = nullptr;
};

/** A failure without a system call. `err` lets callers classify it nevertheless. */
Failed fail(std::string_view stage, std::string_view message, int err = 0,
            std::string_view path = {});

/** A failed system call: reads errno (or takes `err`), and says call, path and reason. */
Failed sys_fail(std::string_view stage, std::string_view call, std::string_view path = {},
                int err = errno);

/** What the errno means, in English whatever the locale. */
const char* error_text(int err);

/** A value, or why there is none. C++20 has no std::expected, and the runtime has no exceptions. */
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : ok_(true) { std::construct_at(&value_, std::move(value)); }  // NOLINT: implicit
  Result(Failed failed) : ok_(false), failed_(std::move(failed)) {}              // NOLINT
  Result(Failure failure) : Result(Failed(std::move(failure))) {}                // NOLINT
  Result(Result&& other) noexcept : ok_(other.ok_), failed_(std::move(other.failed_)) {
    if (ok_) std::construct_at(&value_, std::move(other.value_));
  }
  Result& operator=(Result&& other) noexcept {
    if (this == &other) return *this;
    std::destroy_at(this);
    return *std::construct_at(this, std::move(other));
  }
  ~Result() {
    if (ok_) std::destroy_at(&value_);
  }

  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  /** Only when ok(). */
  T& value() & { return value_; }
  const T& value() const& { return value_; }
  T take() && { return std::move(value_); }
  T* operator->() { return &value_; }
  const T* operator->() const { return &value_; }
  T& operator*() & { return value_; }
  const T& operator*() const& { return value_; }
  /** Only when not ok(). */
  const Failure& failure() const& { return *failed_; }
  Failed failure() && { return std::move(failed_); }

 private:
  bool ok_;
  Failed failed_;
  union {
    T value_;
  };
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Failed failed) : ok_(false), failed_(std::move(failed)) {}  // NOLINT
  Result(Failure failure) : Result(Failed(std::move(failure))) {}    // NOLINT

  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  void take() && {}
  const Failure& failure() const& { return *failed_; }
  Failed failure() && { return std::move(failed_); }

 private:
  bool ok_ = true;
  Failed failed_;
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
