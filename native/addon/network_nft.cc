// NftCommand: the rules are data, built by src/network/rules.ts, encoded by native/lib/nft.
#include <linux/netfilter/nf_tables.h>

#include "network.h"

namespace stack::addon {

namespace {

using Command = std::function<void(nft::Batch&)>;

uint32_t number(const Napi::Object& object, const char* name) {
  return static_cast<uint32_t>(integer_property(object, name));
}

uint32_t number(const Napi::Object& object, const char* name, uint32_t otherwise) {
  return static_cast<uint32_t>(integer_property(object, name, otherwise));
}

void add_expression(nft::Rule& rule, const Napi::Object& e) {
  std::string kind = string_property(e, "kind");
  if (kind == "meta") {
    rule.meta(number(e, "key"), number(e, "dreg"));
  } else if (kind == "ct") {
    rule.ct(number(e, "key"), number(e, "dreg"));
  } else if (kind == "payload") {
    rule.payload(number(e, "base"), number(e, "offset"), number(e, "length"), number(e, "dreg"));
  } else if (kind == "cmp") {
    rule.cmp(number(e, "operator"), number(e, "sreg"), bytes_property(e, "value"));
  } else if (kind == "bitwise") {
    rule.bitwise(number(e, "sreg"), number(e, "dreg"), bytes_property(e, "mask"),
                 bytes_property(e, "xor"));
  } else if (kind == "immediate") {
    rule.immediate(number(e, "dreg"), bytes_property(e, "value"));
  } else if (kind == "verdict") {
    rule.verdict(static_cast<int32_t>(integer_property(e, "code")),
                 string_property(e, "chain", ""));
  } else if (kind == "lookup") {
    std::optional<uint32_t> dreg;
    if (!e.Get("dreg").IsUndefined()) dreg = number(e, "dreg");
    rule.lookup(string_property(e, "set"), number(e, "sreg"), dreg,
                boolean_property(e, "inverted", false));
  } else if (kind == "fib") {
    rule.fib(number(e, "result"), number(e, "flags"), number(e, "dreg"));
  } else if (kind == "nat") {
    rule.nat(number(e, "type"), number(e, "family"), number(e, "addressReg"),
             number(e, "portReg", 0));
  } else if (kind == "masquerade") {
    rule.masquerade();
  } else if (kind == "counter") {
    rule.counter();
  } else {
    throw Napi::TypeError::New(e.Env(), "no such nftables expression: " + kind);
  }
}

template <class F>
void each_object(const Napi::Object& object, const char* name, F visit) {
  if (!object.Get(name).IsArray())
    throw Napi::TypeError::New(object.Env(), std::string(name) + " must be an array");
  auto list = object.Get(name).As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    Napi::Value item = list.Get(i);
    if (!item.IsObject())
      throw Napi::TypeError::New(object.Env(), std::string(name) + " must hold objects");
    visit(item.As<Napi::Object>());
  }
}

Command chain_command(uint8_t family, const std::string& table, const Napi::Object& c) {
  nft::Chain chain;
  chain.table = table;
  chain.name = string_property(c, "chain");
  chain.type = string_property(c, "type", "");
  chain.hook = number(c, "hook", 0);
  chain.priority = static_cast<int32_t>(integer_property(c, "priority", 0));
  chain.policy = number(c, "policy", 1);
  return [=](nft::Batch& batch) { batch.add_chain(family, chain); };
}

Command rule_command(uint8_t family, const std::string& table, const Napi::Object& c) {
  auto rule = std::make_shared<nft::Rule>();
  each_object(c, "expressions", [&](const Napi::Object& e) { add_expression(*rule, e); });
  std::string chain = string_property(c, "chain");
  bool head = boolean_property(c, "head", false);
  return [=](nft::Batch& batch) { batch.add_rule(family, table, chain, *rule, head); };
}

Command set_command(uint8_t family, const std::string& table, const Napi::Object& c) {
  nft::Set set;
  set.table = table;
  set.name = string_property(c, "set");
  set.id = number(c, "id");
  set.flags = number(c, "flags", 0);
  set.key_type = number(c, "keyType");
  set.key_length = number(c, "keyLength");
  set.data_type = number(c, "dataType", 0);
  set.data_length = number(c, "dataLength", 0);
  return [=](nft::Batch& batch) { batch.add_set(family, set); };
}

Command element_command(bool add, uint8_t family, const std::string& table, const Napi::Object& c) {
  auto elements = std::make_shared<std::vector<nft::Element>>();
  each_object(c, "elements", [&](const Napi::Object& e) {
    elements->push_back({bytes_property(e, "key"),
                         add ? bytes_property(e, "data") : std::vector<uint8_t>{}, false});
  });
  std::string set = string_property(c, "set");
  return [=](nft::Batch& batch) {
    if (add) {
      batch.add_elements(family, table, set, *elements);
    } else {
      batch.delete_elements(family, table, set, *elements);
    }
  };
}

Command command_of(Napi::Env env, const Napi::Object& c) {
  std::string cmd = string_property(c, "cmd");
  uint8_t family = take(env, nft::parse_family(string_property(c, "family")));
  std::string table = string_property(c, "table");
  if (cmd == "add-table") return [=](nft::Batch& batch) { batch.add_table(family, table); };
  if (cmd == "delete-table") return [=](nft::Batch& batch) { batch.delete_table(family, table); };
  if (cmd == "add-chain") return chain_command(family, table, c);
  if (cmd == "add-rule") return rule_command(family, table, c);
  if (cmd == "add-set") return set_command(family, table, c);
  if (cmd == "add-elements") return element_command(true, family, table, c);
  if (cmd == "delete-elements") return element_command(false, family, table, c);
  std::string chain = string_property(c, "chain");
  if (cmd == "delete-chain")
    return [=](nft::Batch& batch) { batch.delete_chain(family, table, chain); };
  if (cmd == "flush-chain")
    return [=](nft::Batch& batch) { batch.flush_chain(family, table, chain); };
  if (cmd == "delete-rule") {
    auto handle = static_cast<uint64_t>(integer_property(c, "handle"));
    return [=](nft::Batch& batch) { batch.delete_rule(family, table, chain, handle); };
  }
  throw Napi::TypeError::New(env, "no such nftables command: " + cmd);
}

NetlinkStep batch_step(const Napi::Object& request) {
  auto commands = std::make_shared<std::vector<Command>>();
  each_object(request, "commands",
              [&](const Napi::Object& c) { commands->push_back(command_of(request.Env(), c)); });
  return [commands](net::Rtnl&) -> Result<Settle> {
    nft::Batch batch;
    for (const Command& add : *commands) add(batch);
    size_t failed = 0;
    auto done = batch.commit(-1, "change nftables", &failed);
    if (!done.ok()) {
      Failure failure = done.failure();
      failure.message += " in command " + std::to_string(failed);
      return failure;
    }
    return Settle();
  };
}

Napi::Value chain_to_js(Napi::Env env, const nft::ChainInfo& chain) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("family", std::string(nft::family_name(chain.family)));
  object.Set("table", chain.table);
  object.Set("chain", chain.name);
  object.Set("type", chain.type);
  if (chain.hook) object.Set("hook", *chain.hook);
  object.Set("priority", chain.priority);
  object.Set("policy", chain.policy);
  return object;
}

/// What the network room looks at in other people's rules: which expressions, compared with what,
/// ending how.
Napi::Value expression_to_js(Napi::Env env, const net::Attribute& element) {
  Napi::Object object = Napi::Object::New(env);
  auto parts = net::attributes(element.data);
  const net::Attribute* name = net::find(parts, NFTA_EXPR_NAME);
  std::string kind = name == nullptr ? "" : name->string();
  object.Set("kind", kind);
  const net::Attribute* data = net::find(parts, NFTA_EXPR_DATA);
  if (data == nullptr) return object;
  auto fields = net::attributes(data->data);
  if (const auto* key = kind == "meta" ? net::find(fields, NFTA_META_KEY) : nullptr)
    object.Set("key", key->be32());
  uint16_t where = kind == "cmp"         ? uint16_t{NFTA_CMP_DATA}
                   : kind == "immediate" ? uint16_t{NFTA_IMMEDIATE_DATA}
                                         : uint16_t{0};
  const net::Attribute* value = where == 0 ? nullptr : net::find(fields, where);
  if (value == nullptr) return object;
  auto inner = net::attributes(value->data);
  if (const auto* bytes = net::find(inner, NFTA_DATA_VALUE))
    object.Set("value", Napi::Buffer<uint8_t>::Copy(env, bytes->data.data(), bytes->data.size()));
  if (const auto* verdict = net::find(inner, NFTA_DATA_VERDICT)) {
    auto list = net::attributes(verdict->data);
    if (const auto* code = net::find(list, NFTA_VERDICT_CODE))
      object.Set("verdict", static_cast<int32_t>(code->be32()));
    if (const auto* chain = net::find(list, NFTA_VERDICT_CHAIN))
      object.Set("chain", chain->string());
  }
  return object;
}

Napi::Value rule_to_js(Napi::Env env, const nft::RuleInfo& rule) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("handle", static_cast<double>(rule.handle));
  auto elements = net::attributes(rule.expressions);
  Napi::Array list = Napi::Array::New(env, elements.size());
  for (uint32_t i = 0; i < elements.size(); ++i) list.Set(i, expression_to_js(env, elements[i]));
  object.Set("expressions", list);
  return object;
}

template <class T>
Settle list_settle(std::vector<T> list, Napi::Value (*convert)(Napi::Env, const T&)) {
  auto shared = std::make_shared<std::vector<T>>(std::move(list));
  return [shared, convert](Napi::Env env) -> Napi::Value {
    Napi::Array array = Napi::Array::New(env, shared->size());
    for (uint32_t i = 0; i < shared->size(); ++i) array.Set(i, convert(env, (*shared)[i]));
    return array;
  };
}

}  // namespace

NetlinkStep nft_step(const std::string& op, const Napi::Object& request) {
  if (op == "nft") return batch_step(request);
  if (op == "nft-list-chains")
    return [](net::Rtnl&) -> Result<Settle> {
      return list_settle(TRY(nft::list_chains(-1)), chain_to_js);
    };
  if (op == "nft-list-rules") {
    uint8_t family = take(request.Env(), nft::parse_family(string_property(request, "family")));
    std::string table = string_property(request, "table");
    std::string chain = string_property(request, "chain");
    return [=](net::Rtnl&) -> Result<Settle> {
      return list_settle(TRY(nft::list_rules(-1, family, table, chain)), rule_to_js);
    };
  }
  if (op == "conntrack-flush-udp") {
    auto port = static_cast<uint16_t>(integer_property(request, "port"));
    return [port](net::Rtnl&) -> Result<Settle> {
      TRY(nft::forget_udp(-1, std::span(&port, 1)));
      return Settle();
    };
  }
  return nullptr;
}

}  // namespace stack::addon
