// The operations on links, addresses, routes and sysctls.
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>

#include "fd.h"
#include "network.h"
#include "xtables.h"

namespace stack::addon {

namespace {

Napi::Value to_js(Napi::Env env, const net::Link& link) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("index", link.index);
  object.Set("name", link.name);
  object.Set("kind", link.kind);
  object.Set("master", link.master);
  object.Set("mtu", link.mtu);
  object.Set("up", link.up);
  object.Set("mac", link.mac);
  return object;
}

Napi::Value to_js(Napi::Env env, const net::Address& address) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("index", address.index);
  object.Set("address", address.prefix.text());
  return object;
}

Napi::Value to_js(Napi::Env env, const net::Route& route) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("destination", route.destination.text());
  if (route.gateway) object.Set("gateway", route.gateway->text());
  object.Set("index", route.index);
  object.Set("table", route.table);
  object.Set("unicast", route.type == RTN_UNICAST);
  return object;
}

template <class T>
Settle list_settle(std::vector<T> list) {
  auto shared = std::make_shared<std::vector<T>>(std::move(list));
  return [shared](Napi::Env env) -> Napi::Value {
    Napi::Array array = Napi::Array::New(env, shared->size());
    for (uint32_t i = 0; i < shared->size(); ++i) array.Set(i, to_js(env, (*shared)[i]));
    return array;
  };
}

/// For what gives nothing back.
NetlinkStep plain(std::function<Status(net::Rtnl&)> work) {
  return [work = std::move(work)](net::Rtnl& rtnl) -> Result<Settle> {
    TRY(work(rtnl));
    return Settle();
  };
}

NetlinkStep add_bridge(const Napi::Object& request) {
  std::string name = string_property(request, "name");
  auto mtu = static_cast<uint32_t>(integer_property(request, "mtu"));
  std::string mac = string_property(request, "mac", "");
  return plain([=](net::Rtnl& rtnl) -> Status {
    std::optional<net::Mac> parsed;
    if (!mac.empty()) parsed = TRY(net::parse_mac(mac));
    return rtnl.add_bridge(name, mtu, parsed);
  });
}

NetlinkStep add_veth(const Napi::Object& request) {
  std::string name = string_property(request, "name");
  std::string peer = string_property(request, "peer");
  std::string netns = string_property(request, "peerNetns");
  auto mtu = static_cast<uint32_t>(integer_property(request, "mtu"));
  return plain([=](net::Rtnl& rtnl) -> Status {
    UniqueFd target;
    if (!netns.empty()) target = TRY(net::open_netns(netns));
    net::VethRequest veth;
    veth.name = name;
    veth.mtu = mtu;
    veth.peer_name = peer;
    veth.peer_netns = target.get();
    return rtnl.add_veth(veth);
  });
}

std::optional<bool> optional_boolean(const Napi::Object& request, const char* name) {
  if (request.Get(name).IsUndefined()) return std::nullopt;
  return boolean_property(request, name, false);
}

NetlinkStep set_link(const Napi::Object& request) {
  std::string name = string_property(request, "name");
  std::string master = string_property(request, "master", "");
  auto up = optional_boolean(request, "up");
  auto hairpin = optional_boolean(request, "hairpin");
  auto isolated = optional_boolean(request, "isolated");
  return plain([=](net::Rtnl& rtnl) -> Status {
    uint32_t index = TRY(rtnl.index_of(name));
    if (!master.empty()) TRY(rtnl.set_master(index, TRY(rtnl.index_of(master))));
    if (hairpin || isolated) TRY(rtnl.set_bridge_port(index, hairpin, isolated));
    if (up) TRY(rtnl.set_up(index, *up));
    return ok();
  });
}

NetlinkStep add_address(const Napi::Object& request) {
  std::string link = string_property(request, "link");
  std::string address = string_property(request, "address");
  return plain([=](net::Rtnl& rtnl) -> Status {
    return rtnl.add_address(TRY(rtnl.index_of(link)), TRY(net::parse_prefix(address)));
  });
}

NetlinkStep change_route(bool add, const Napi::Object& request) {
  std::string destination = string_property(request, "destination");
  std::string gateway = string_property(request, "gateway", "");
  std::string link = string_property(request, "link", "");
  std::string source = string_property(request, "source", "");
  return plain([=](net::Rtnl& rtnl) -> Status {
    net::Prefix to = TRY(net::parse_prefix(destination));
    std::optional<net::IpAddress> via;
    std::optional<net::IpAddress> from;
    if (!gateway.empty()) via = TRY(net::parse_ip(gateway));
    if (!source.empty()) from = TRY(net::parse_ip(source));
    uint32_t index = link.empty() ? 0 : TRY(rtnl.index_of(link));
    return add ? rtnl.add_route(to, via, index, from, false) : rtnl.delete_route(to, via, index);
  });
}

/// `name` is the path below /proc/sys with slashes: a link's name may have dots. The thread's own
/// network namespace decides whose net/ it is. Gives the value that was there.
Result<std::string> sysctl(const std::string& name, const std::optional<std::string>& value) {
  if (name.empty() || name[0] == '/' || name.find("..") != std::string::npos)
    return fail("sysctl", "not a sysctl: \"" + name + "\"", EINVAL, name);
  std::string path = "/proc/sys/" + name;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_fail("sysctl", "open", path);
  std::string before = TRY(read_all(fd.get(), 65536));
  while (!before.empty() && (before.back() == '\n' || before.back() == ' ')) before.pop_back();
  if (!value || *value == before) return before;
  fd = UniqueFd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return sys_fail("sysctl", "open", path);
  if (::write(fd.get(), value->data(), value->size()) != static_cast<ssize_t>(value->size()))
    return sys_fail("sysctl", "write", path);
  return before;
}

NetlinkStep sysctl_step(const Napi::Object& request, bool write) {
  std::string name = string_property(request, "name");
  bool optional = boolean_property(request, "optional", false);
  std::optional<std::string> value;
  if (write) value = string_property(request, "value");
  return [=](net::Rtnl&) -> Result<Settle> {
    auto before = sysctl(name, value);
    if (!before.ok() && optional && before.failure().err == ENOENT) return Settle();
    std::string text = TRY(std::move(before));
    return Settle([text](Napi::Env env) -> Napi::Value {
      Napi::Object object = Napi::Object::New(env);
      object.Set("before", text);
      return object;
    });
  };
}

/// The old iptables: NetlinkRequest's `xtables-forward`.
NetlinkStep xtables_step(const Napi::Object& request) {
  int family = integer_property(request, "family") == 6 ? AF_INET6 : AF_INET;
  std::string link = string_property(request, "link");
  bool open = boolean_property(request, "open", true);
  return [=](net::Rtnl&) -> Result<Settle> {
    bool changed = TRY(open ? xtables::let_through(family, link)
                            : xtables::stop_letting_through(family, link));
    return Settle([changed](Napi::Env env) -> Napi::Value {
      Napi::Object object = Napi::Object::New(env);
      object.Set("changed", changed);
      return object;
    });
  };
}

}  // namespace

NetlinkStep link_step(const std::string& op, const Napi::Object& request) {
  if (op == "link-list")
    return [](net::Rtnl& rtnl) -> Result<Settle> { return list_settle(TRY(rtnl.links())); };
  if (op == "address-list")
    return [](net::Rtnl& rtnl) -> Result<Settle> { return list_settle(TRY(rtnl.addresses())); };
  if (op == "route-list")
    return [](net::Rtnl& rtnl) -> Result<Settle> { return list_settle(TRY(rtnl.routes())); };
  if (op == "link-add-bridge") return add_bridge(request);
  if (op == "link-add-veth") return add_veth(request);
  if (op == "link-set") return set_link(request);
  if (op == "link-delete") {
    std::string name = string_property(request, "name");
    return plain([name](net::Rtnl& rtnl) { return rtnl.delete_link(name); });
  }
  if (op == "address-add") return add_address(request);
  if (op == "route-add") return change_route(true, request);
  if (op == "route-delete") return change_route(false, request);
  if (op == "xtables-forward") return xtables_step(request);
  if (op == "sysctl") return sysctl_step(request, true);
  if (op == "sysctl-read") return sysctl_step(request, false);
  return nullptr;
}

}  // namespace stack::addon
