#pragma once
// Between JavaScript values and ours. The only headers that know N-API are in this directory.

#include <napi.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "result.h"

namespace stack::addon {

/// An Error with stage, call, errno, path and code ("ENOENT"): NativeFailure in
/// src/runtime/formats.ts.
Napi::Error to_error(Napi::Env env, const Failure& failure);
/// Returns the value, or throws the failure into JavaScript.
template <class T>
T take(Napi::Env env, Result<T> result) {
  if (!result.ok()) throw to_error(env, result.failure());
  return std::move(result).take();
}

/// Arguments with their types checked: a wrong one is a TypeError that names it.
std::string string_argument(const Napi::CallbackInfo& info, size_t at, const char* name);
int fd_argument(const Napi::CallbackInfo& info, size_t at, const char* name);
int64_t integer_argument(const Napi::CallbackInfo& info, size_t at, const char* name);
std::string string_property(const Napi::Object& object, const char* name);
std::string string_property(const Napi::Object& object, const char* name,
                            const std::string& otherwise);
int64_t integer_property(const Napi::Object& object, const char* name);
int64_t integer_property(const Napi::Object& object, const char* name, int64_t otherwise);
bool boolean_property(const Napi::Object& object, const char* name, bool otherwise);
std::vector<uint8_t> bytes_property(const Napi::Object& object, const char* name);
std::vector<std::string> strings_property(const Napi::Object& object, const char* name);

/// Makes the JavaScript value on the main thread, out of what the work left behind.
using Settle = std::function<Napi::Value(Napi::Env)>;
/// The work, on a thread of its own (it may enter namespaces and block); it never touches
/// JavaScript.
using Work = std::function<Result<Settle>()>;
/// A promise of what `work` gives. `failed` adds to the error's properties, if given.
Napi::Promise on_own_thread(Napi::Env env, Work work,
                            std::function<void(Napi::Env, Napi::Object)> failed = nullptr);
/// The same without a value.
Napi::Promise on_own_thread(Napi::Env env, std::function<Status()> work);

void register_process(Napi::Env env, Napi::Object exports);
void register_files(Napi::Env env, Napi::Object exports);
void register_sockets(Napi::Env env, Napi::Object exports);
void register_network(Napi::Env env, Napi::Object exports);
void register_watch(Napi::Env env, Napi::Object exports);
void register_terminal(Napi::Env env, Napi::Object exports);

}  // namespace stack::addon
