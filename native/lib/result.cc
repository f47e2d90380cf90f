#include "result.h"

#include <cstring>

namespace stack {

std::string Failure::text() const { return stage.empty() ? message : stage + ": " + message; }

Failed::Failed(const Failure& failure) : failure_(new Failure(failure)) {}

Failed::Failed(Failure&& failure) : failure_(new Failure(std::move(failure))) {}

const Failure& Failed::operator*() const {
  static const Failure kNone;
  return failure_ != nullptr ? *failure_ : kNone;
}

Failed::operator Failure() && { return failure_ != nullptr ? std::move(*failure_) : Failure{}; }

void Failed::discard() { delete failure_; }

// Not strerror: it translates, and brings message catalogues and character sets into the binary.
const char* error_text(int err) {
  const char* text = ::strerrordesc_np(err);
  return text != nullptr ? text : "unknown error";
}

Failed fail(std::string_view stage, std::string_view message, int err, std::string_view path) {
  return Failure{std::string(stage), "", err, std::string(path), std::string(message)};
}

Failed sys_fail(std::string_view stage, std::string_view call, std::string_view path, int err) {
  std::string message(call);
  if (!path.empty()) message.append(" ").append(path);
  message.append(": ").append(error_text(err));
  return Failure{std::string(stage), std::string(call), err, std::string(path), std::move(message)};
}

}  // namespace stack
