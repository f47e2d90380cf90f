#include "convert.h"

#include <features.h>
#include <pthread.h>

#include <cmath>
#include <cstring>

namespace stack::addon {

namespace {

std::string errno_name(int error) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
  if (const char* name = ::strerrorname_np(error)) return name;
#endif
  return "E" + std::to_string(error);
}

Napi::TypeError wrong(Napi::Env env, const char* name, const char* wanted) {
  return Napi::TypeError::New(env, std::string(name) + " must be " + wanted);
}

int64_t integer_of(const Napi::Value& value, const char* name) {
  if (!value.IsNumber()) throw wrong(value.Env(), name, "a number");
  double number = value.As<Napi::Number>().DoubleValue();
  if (std::floor(number) != number || std::abs(number) > 9007199254740991.0)
    throw wrong(value.Env(), name, "an integer");
  return static_cast<int64_t>(number);
}

std::string string_of(const Napi::Value& value, const char* name) {
  if (!value.IsString()) throw wrong(value.Env(), name, "a string");
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.find('\0') != std::string::npos) throw wrong(value.Env(), name, "a string without NUL");
  return text;
}

}  // namespace

Napi::Error to_error(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.text());
  Napi::Object object = error.Value();
  object.Set("stage", failure.stage);
  object.Set("call", failure.call);
  object.Set("errno", failure.err);
  object.Set("path", failure.path);
  object.Set("code", failure.err == 0 ? "" : errno_name(failure.err));
  return error;
}

std::string string_argument(const Napi::CallbackInfo& info, size_t at, const char* name) {
  return string_of(info[at], name);
}

int64_t integer_argument(const Napi::CallbackInfo& info, size_t at, const char* name) {
  return integer_of(info[at], name);
}

int fd_argument(const Napi::CallbackInfo& info, size_t at, const char* name) {
  int64_t fd = integer_of(info[at], name);
  if (fd < 0 || fd > INT32_MAX) throw wrong(info.Env(), name, "a descriptor");
  return static_cast<int>(fd);
}

std::string string_property(const Napi::Object& object, const char* name) {
  return string_of(object.Get(name), name);
}

std::string string_property(const Napi::Object& object, const char* name,
                            const std::string& otherwise) {
  Napi::Value value = object.Get(name);
  return value.IsUndefined() ? otherwise : string_of(value, name);
}

int64_t integer_property(const Napi::Object& object, const char* name) {
  return integer_of(object.Get(name), name);
}

int64_t integer_property(const Napi::Object& object, const char* name, int64_t otherwise) {
  Napi::Value value = object.Get(name);
  return value.IsUndefined() ? otherwise : integer_of(value, name);
}

bool boolean_property(const Napi::Object& object, const char* name, bool otherwise) {
  Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return otherwise;
  if (!value.IsBoolean()) throw wrong(object.Env(), name, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

std::vector<uint8_t> bytes_property(const Napi::Object& object, const char* name) {
  Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return {};
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw wrong(object.Env(), name, "a Uint8Array");
  auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.Data() + array.ByteLength()};
}

std::vector<std::string> strings_property(const Napi::Object& object, const char* name) {
  Napi::Value value = object.Get(name);
  if (!value.IsArray()) throw wrong(object.Env(), name, "an array");
  auto array = value.As<Napi::Array>();
  std::vector<std::string> list;
  for (uint32_t i = 0; i < array.Length(); ++i) list.push_back(string_of(array.Get(i), name));
  return list;
}

// ---- work on a thread of its own -------------------------------------------------------------

namespace {

struct Task {
  Task(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise::Deferred deferred;
  Work work;
  std::function<void(Napi::Env, Napi::Object)> failed;
  Napi::ThreadSafeFunction done;
  std::unique_ptr<Result<Settle>> result;
};

/// On the main thread, with the result.
void settle(Napi::Env env, Napi::Function, Task* raw) {
  std::unique_ptr<Task> task(raw);
  Napi::HandleScope scope(env);
  if (task->result->ok()) {
    const Settle& make = task->result->value();
    task->deferred.Resolve(make ? make(env) : env.Undefined());
    return;
  }
  Napi::Error error = to_error(env, task->result->failure());
  if (task->failed) task->failed(env, error.Value());
  task->deferred.Reject(error.Value());
}

void* thread_main(void* argument) {
  auto* task = static_cast<Task*>(argument);
  task->result = std::make_unique<Result<Settle>>(task->work());
  Napi::ThreadSafeFunction done = task->done;
  // Refused only while the environment ends: nobody is left to wait for the promise.
  (void)done.NonBlockingCall(task, settle);
  (void)done.Release();
  return nullptr;
}

}  // namespace

Napi::Promise on_own_thread(Napi::Env env, Work work,
                            std::function<void(Napi::Env, Napi::Object)> failed) {
  auto task = std::make_unique<Task>(env);
  Napi::Promise promise = task->deferred.Promise();
  task->work = std::move(work);
  task->failed = std::move(failed);
  task->done = Napi::ThreadSafeFunction::New(
      env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "stack", 0, 1);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, thread_main, task.get());
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    (void)task->done.Abort();
    throw to_error(env, sys_fail("start thread", "pthread_create", {}, error));
  }
  (void)task.release();
  return promise;
}

Napi::Promise on_own_thread(Napi::Env env, std::function<Status()> work) {
  return on_own_thread(env, [work = std::move(work)]() -> Result<Settle> {
    TRY(work());
    return Settle();
  });
}

}  // namespace stack::addon
