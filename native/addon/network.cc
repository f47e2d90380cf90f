#include "network.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <atomic>

#include "fd.h"

namespace stack::addon {

namespace {

#ifndef NSFS_MAGIC
constexpr long kNsfsMagic = 0x6e736673;
#else
constexpr long kNsfsMagic = NSFS_MAGIC;
#endif

NetlinkStep step_of(const Napi::Value& value) {
  if (!value.IsObject()) throw Napi::TypeError::New(value.Env(), "a request must be an object");
  auto request = value.As<Napi::Object>();
  std::string op = string_property(request, "op");
  if (NetlinkStep step = link_step(op, request)) return step;
  if (NetlinkStep step = nft_step(op, request)) return step;
  throw Napi::TypeError::New(value.Env(), "no such netlink operation: " + op);
}

Result<std::vector<Settle>> run_steps(const std::string& netns,
                                      const std::vector<NetlinkStep>& steps,
                                      std::atomic<uint32_t>& at) {
  UniqueFd target;
  if (!netns.empty()) {
    // This thread ends with its work; there is no way back to keep.
    target = TRY(net::open_netns(netns));
    if (::setns(target.get(), CLONE_NEWNET) != 0)
      return sys_fail("enter network namespace", "setns", netns);
  }
  net::Rtnl rtnl = TRY(net::Rtnl::open());
  std::vector<Settle> replies;
  for (const NetlinkStep& step : steps) {
    replies.push_back(TRY(step(rtnl)));
    ++at;
  }
  return replies;
}

Napi::Value netlink_js(const Napi::CallbackInfo& info) {
  std::string netns = string_argument(info, 0, "netns");
  if (!info[1].IsArray()) throw Napi::TypeError::New(info.Env(), "requests must be an array");
  auto requests = info[1].As<Napi::Array>();
  auto steps = std::make_shared<std::vector<NetlinkStep>>();
  for (uint32_t i = 0; i < requests.Length(); ++i) steps->push_back(step_of(requests.Get(i)));
  auto at = std::make_shared<std::atomic<uint32_t>>(0);
  auto work = [netns, steps, at]() -> Result<Settle> {
    auto replies = std::make_shared<std::vector<Settle>>(TRY(run_steps(netns, *steps, *at)));
    return Settle([replies](Napi::Env env) -> Napi::Value {
      Napi::Array list = Napi::Array::New(env, replies->size());
      for (uint32_t i = 0; i < replies->size(); ++i)
        list.Set(i, (*replies)[i] ? (*replies)[i](env) : Napi::Value(env.Null()));
      return list;
    });
  };
  return on_own_thread(info.Env(), work, [at](Napi::Env env, Napi::Object error) {
    Napi::Object details = Napi::Object::New(env);
    details.Set("index", at->load());
    error.Set("details", details);
  });
}

// ---- pinned namespaces -----------------------------------------------------------------------

Result<bool> is_pinned(const std::string& path) {
  struct statfs info {};
  if (::statfs(path.c_str(), &info) != 0)
    return errno == ENOENT ? Result<bool>(false)
                           : Result<bool>(sys_fail("pin network namespace", "statfs", path));
  return static_cast<long>(info.f_type) == kNsfsMagic;
}

/// The same pin as other mount namespaces see it. The kernel lets a namespace's file, and no other,
/// be bound from one mount namespace into another (mount(2), do_loopback).
UniqueFd pin_elsewhere(const std::vector<std::string>& candidates) {
  for (const std::string& path : candidates) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct statfs info {};
    if (fd && ::fstatfs(fd.get(), &info) == 0 && static_cast<long>(info.f_type) == kNsfsMagic)
      return fd;
  }
  return {};
}

/// True: it was made now. Changes the thread's namespace for good: only on a thread that ends with it.
Result<bool> pin_netns(const std::string& path, const std::vector<std::string>& elsewhere) {
  if (TRY(is_pinned(path))) return false;
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return sys_fail("pin network namespace", "open", path);
  UniqueFd netns = pin_elsewhere(elsewhere);
  bool found = static_cast<bool>(netns);
  if (!found) netns = TRY(net::create_netns());
  std::string source = "/proc/self/fd/" + std::to_string(netns.get());
  if (::mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return sys_fail("pin network namespace", "mount", path);
  // Its own peer group: copies of this mount in other mount namespaces would outlive the removal.
  if (::mount(nullptr, path.c_str(), nullptr, MS_PRIVATE, nullptr) != 0) {
    Failure failure = sys_fail("pin network namespace", "mount private", path);
    ::umount2(path.c_str(), MNT_DETACH);
    return failure;
  }
  return !found;
}

Status unpin_netns(const std::string& path) {
  while (TRY(is_pinned(path)))
    if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0)
      return sys_fail("remove network namespace", "umount2", path);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return sys_fail("remove network namespace", "unlink", path);
  return ok();
}

Napi::Value create_netns_js(const Napi::CallbackInfo& info) {
  std::string path = string_argument(info, 0, "path");
  std::vector<std::string> elsewhere;
  if (info.Length() > 1 && info[1].IsArray()) {
    auto list = info[1].As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i)
      elsewhere.push_back(list.Get(i).ToString().Utf8Value());
  }
  return on_own_thread(info.Env(), [path, elsewhere]() -> Result<Settle> {
    bool made = TRY(pin_netns(path, elsewhere));
    return Settle([made](Napi::Env env) -> Napi::Value { return Napi::Boolean::New(env, made); });
  });
}

Napi::Value remove_netns_js(const Napi::CallbackInfo& info) {
  std::string path = string_argument(info, 0, "path");
  return on_own_thread(info.Env(), [path]() -> Status { return unpin_netns(path); });
}

}  // namespace

void register_network(Napi::Env env, Napi::Object exports) {
  exports.Set("netlink", Napi::Function::New(env, netlink_js, "netlink"));
  exports.Set("createNetns", Napi::Function::New(env, create_netns_js, "createNetns"));
  exports.Set("removeNetns", Napi::Function::New(env, remove_netns_js, "removeNetns"));
}

}  // namespace stack::addon
