#pragma once
// NetlinkRequest of src/native/binding.ts: parsed on the main thread, run on a thread inside the
// namespace, and what it found turned into JavaScript on the main thread again.

#include "convert.h"
#include "netlink.h"
#include "nft.h"

namespace stack::addon {

/// One operation, ready to run. `Rtnl` is one socket for all of them, in the namespace of the
/// calling thread.
using NetlinkStep = std::function<Result<Settle>(net::Rtnl&)>;

NetlinkStep link_step(const std::string& op, const Napi::Object& request);
NetlinkStep nft_step(const std::string& op, const Napi::Object& request);

}  // namespace stack::addon
