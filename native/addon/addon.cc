// The addon: src/native/binding.ts, and nothing else. Short calls; what can block gets a thread of
// its own.
#include "convert.h"

namespace {

/// `abi` of NativeBinding: changes with any incompatible change of it. EXPECTED_ABI in
/// src/native/load.ts.
constexpr int kAbi = 5;

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("abi", kAbi);
  stack::addon::register_process(env, exports);
  stack::addon::register_files(env, exports);
  stack::addon::register_sockets(env, exports);
  stack::addon::register_network(env, exports);
  stack::addon::register_watch(env, exports);
  stack::addon::register_terminal(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(stack_native, initialise)
