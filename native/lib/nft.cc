#include "nft.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <iterator>

namespace stack::nft {

namespace {

constexpr std::pair<std::string_view, uint8_t> kFamilies[] = {{"inet", NFPROTO_INET},
                                                              {"ip", NFPROTO_IPV4},
                                                              {"ip6", NFPROTO_IPV6},
                                                              {"bridge", NFPROTO_BRIDGE}};

constexpr uint16_t command(uint16_t type) {
  return static_cast<uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | type);
}

net::Message framed(uint16_t type, uint16_t flags, uint8_t family, uint16_t resource) {
  net::Message message(type, flags);
  nfgenmsg header{family, NFNETLINK_V0, htons(resource)};
  message.append(&header, sizeof header);
  return message;
}

}  // namespace

Result<uint8_t> parse_family(std::string_view name) {
  for (const auto& [known, number] : kFamilies)
    if (known == name) return number;
  return fail("nftables", "no such family: \"" + std::string(name) + "\"", EINVAL,
              std::string(name));
}

std::string_view family_name(uint8_t family) {
  for (const auto& [name, known] : kFamilies)
    if (known == family) return name;
  return "";
}

// ---- the batch -------------------------------------------------------------------------------

net::Message Batch::message(uint16_t type, uint16_t flags, uint8_t family) {
  return framed(command(type), static_cast<uint16_t>(NLM_F_REQUEST | flags), family, 0);
}

void Batch::push(net::Message message) { messages_.push_back(std::move(message)); }

void Batch::add_table(uint8_t family, std::string_view table) {
  auto m = message(NFT_MSG_NEWTABLE, NLM_F_CREATE, family);
  m.put_string(NFTA_TABLE_NAME, table);
  push(std::move(m));
}

void Batch::delete_table(uint8_t family, std::string_view table) {
  auto m = message(NFT_MSG_DELTABLE, 0, family);
  m.put_string(NFTA_TABLE_NAME, table);
  push(std::move(m));
}

void Batch::add_chain(uint8_t family, const Chain& chain) {
  auto m = message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, family);
  m.put_string(NFTA_CHAIN_TABLE, chain.table);
  m.put_string(NFTA_CHAIN_NAME, chain.name);
  if (!chain.type.empty()) {
    size_t hook = m.begin(NFTA_CHAIN_HOOK);
    m.put_be32(NFTA_HOOK_HOOKNUM, chain.hook);
    m.put_be32(NFTA_HOOK_PRIORITY, static_cast<uint32_t>(chain.priority));
    m.end(hook);
    m.put_string(NFTA_CHAIN_TYPE, chain.type);
    m.put_be32(NFTA_CHAIN_POLICY, chain.policy);
  }
  push(std::move(m));
}

void Batch::delete_chain(uint8_t family, std::string_view table, std::string_view chain) {
  auto m = message(NFT_MSG_DELCHAIN, 0, family);
  m.put_string(NFTA_CHAIN_TABLE, table);
  m.put_string(NFTA_CHAIN_NAME, chain);
  push(std::move(m));
}

void Batch::add_rule(uint8_t family, std::string_view table, std::string_view chain,
                     const Rule& rule, bool head, std::span<const uint8_t> userdata) {
  auto m = message(NFT_MSG_NEWRULE, static_cast<uint16_t>(NLM_F_CREATE | (head ? 0 : NLM_F_APPEND)),
                   family);
  m.put_string(NFTA_RULE_TABLE, table);
  m.put_string(NFTA_RULE_CHAIN, chain);
  m.put(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, rule.bytes().data(), rule.bytes().size());
  if (!userdata.empty()) m.put(NFTA_RULE_USERDATA, userdata.data(), userdata.size());
  push(std::move(m));
}

void Batch::delete_rule(uint8_t family, std::string_view table, std::string_view chain,
                        uint64_t handle) {
  auto m = message(NFT_MSG_DELRULE, 0, family);
  m.put_string(NFTA_RULE_TABLE, table);
  m.put_string(NFTA_RULE_CHAIN, chain);
  m.put_be64(NFTA_RULE_HANDLE, handle);
  push(std::move(m));
}

void Batch::flush_chain(uint8_t family, std::string_view table, std::string_view chain) {
  auto m = message(NFT_MSG_DELRULE, 0, family);
  m.put_string(NFTA_RULE_TABLE, table);
  m.put_string(NFTA_RULE_CHAIN, chain);
  push(std::move(m));
}

void Batch::add_set(uint8_t family, const Set& set) {
  auto m = message(NFT_MSG_NEWSET, NLM_F_CREATE, family);
  m.put_string(NFTA_SET_TABLE, set.table);
  m.put_string(NFTA_SET_NAME, set.name);
  m.put_be32(NFTA_SET_ID, set.id);
  m.put_be32(NFTA_SET_FLAGS, set.flags | (set.data_length != 0 ? uint32_t{NFT_SET_MAP} : 0));
  m.put_be32(NFTA_SET_KEY_TYPE, set.key_type);
  m.put_be32(NFTA_SET_KEY_LEN, set.key_length);
  if (set.data_length != 0) {
    m.put_be32(NFTA_SET_DATA_TYPE, set.data_type);
    m.put_be32(NFTA_SET_DATA_LEN, set.data_length);
  }
  push(std::move(m));
}

namespace {

void put_elements(net::Message& m, std::string_view table, std::string_view set,
                  std::span<const Element> elements) {
  m.put_string(NFTA_SET_ELEM_LIST_TABLE, table);
  m.put_string(NFTA_SET_ELEM_LIST_SET, set);
  size_t list = m.begin(NFTA_SET_ELEM_LIST_ELEMENTS);
  for (const Element& element : elements) {
    size_t one = m.begin(NFTA_LIST_ELEM);
    if (element.interval_end) m.put_be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
    size_t key = m.begin(NFTA_SET_ELEM_KEY);
    m.put(NFTA_DATA_VALUE, element.key.data(), element.key.size());
    m.end(key);
    if (!element.data.empty()) {
      size_t data = m.begin(NFTA_SET_ELEM_DATA);
      m.put(NFTA_DATA_VALUE, element.data.data(), element.data.size());
      m.end(data);
    }
    m.end(one);
  }
  m.end(list);
}

}  // namespace

void Batch::add_elements(uint8_t family, std::string_view table, std::string_view set,
                         std::span<const Element> elements, bool exclusive) {
  auto m = message(NFT_MSG_NEWSETELEM,
                   static_cast<uint16_t>(NLM_F_CREATE | (exclusive ? NLM_F_EXCL : 0)), family);
  put_elements(m, table, set, elements);
  push(std::move(m));
}

void Batch::delete_elements(uint8_t family, std::string_view table, std::string_view set,
                            std::span<const Element> elements) {
  auto m = message(NFT_MSG_DELSETELEM, 0, family);
  put_elements(m, table, set, elements);
  push(std::move(m));
}

Result<void> Batch::commit(int netns_fd, std::string_view stage, size_t* failed_index) {
  if (messages_.empty()) return ok();
  auto socket = TRY(net::NetlinkSocket::open(netns_fd, NETLINK_NETFILTER));
  std::vector<uint8_t> bytes;
  auto append = [&](net::Message& message, uint32_t sequence) {
    message.set_sequence(sequence);
    auto span = message.finish();
    bytes.insert(bytes.end(), span.begin(), span.end());
  };
  uint32_t sequence = 1;
  auto first = framed(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  append(first, sequence++);
  for (net::Message& message : messages_) {
    // Failures are told in any case; one acknowledgement is enough to know that the kernel has seen
    // it all.
    if (&message == &messages_.back()) message.add_flags(NLM_F_ACK);
    append(message, sequence++);
  }
  auto last = framed(NFNL_MSG_BATCH_END, NLM_F_REQUEST, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  append(last, sequence);
  return socket.batch(bytes, 2, stage, failed_index);
}

// ---- looking ---------------------------------------------------------------------------------

namespace {

Result<std::vector<net::Received>> dump(int netns_fd, net::Message message,
                                        std::string_view stage) {
  auto socket = TRY(net::NetlinkSocket::open(netns_fd, NETLINK_NETFILTER));
  return socket.query(message, stage);
}

struct Body {
  uint8_t family = 0;
  std::vector<net::Attribute> list;
};

Body body_of(const net::Received& answer) {
  if (answer.payload.size() < sizeof(nfgenmsg)) return {};
  return {answer.payload[0], net::attributes(std::span(answer.payload).subspan(sizeof(nfgenmsg)))};
}

std::string text_of(const Body& body, uint16_t type) {
  const net::Attribute* attribute = net::find(body.list, type);
  return attribute == nullptr ? "" : attribute->string();
}

}  // namespace

Result<std::vector<ChainInfo>> list_chains(int netns_fd) {
  std::vector<ChainInfo> chains;
  auto message = framed(command(NFT_MSG_GETCHAIN), NLM_F_REQUEST | NLM_F_DUMP, NFPROTO_UNSPEC, 0);
  for (const net::Received& answer :
       TRY(dump(netns_fd, std::move(message), "list nftables chains"))) {
    if (answer.type != command(NFT_MSG_NEWCHAIN)) continue;
    Body body = body_of(answer);
    ChainInfo chain;
    chain.family = body.family;
    chain.table = text_of(body, NFTA_CHAIN_TABLE);
    chain.name = text_of(body, NFTA_CHAIN_NAME);
    chain.type = text_of(body, NFTA_CHAIN_TYPE);
    if (const auto* hook = net::find(body.list, NFTA_CHAIN_HOOK)) {
      auto nested = net::attributes(hook->data);
      if (const auto* number = net::find(nested, NFTA_HOOK_HOOKNUM)) chain.hook = number->be32();
      if (const auto* priority = net::find(nested, NFTA_HOOK_PRIORITY))
        chain.priority = static_cast<int32_t>(priority->be32());
    }
    if (const auto* policy = net::find(body.list, NFTA_CHAIN_POLICY)) chain.policy = policy->be32();
    chains.push_back(std::move(chain));
  }
  return chains;
}

Result<std::vector<RuleInfo>> list_rules(int netns_fd, uint8_t family, std::string_view table,
                                         std::string_view chain) {
  std::vector<RuleInfo> rules;
  auto message = framed(command(NFT_MSG_GETRULE), NLM_F_REQUEST | NLM_F_DUMP, family, 0);
  message.put_string(NFTA_RULE_TABLE, table);
  message.put_string(NFTA_RULE_CHAIN, chain);
  for (const net::Received& answer :
       TRY(dump(netns_fd, std::move(message), "list nftables rules"))) {
    if (answer.type != command(NFT_MSG_NEWRULE)) continue;
    Body body = body_of(answer);
    RuleInfo rule;
    rule.family = body.family;
    rule.table = text_of(body, NFTA_RULE_TABLE);
    rule.chain = text_of(body, NFTA_RULE_CHAIN);
    // Kernels before 3.19 and odd dumps may ignore the filter: look again.
    if (rule.table != table || rule.chain != chain || rule.family != family) continue;
    if (const auto* handle = net::find(body.list, NFTA_RULE_HANDLE)) rule.handle = handle->be64();
    if (const auto* list = net::find(body.list, NFTA_RULE_EXPRESSIONS))
      rule.expressions.assign(list->data.begin(), list->data.end());
    rules.push_back(std::move(rule));
  }
  return rules;
}

}  // namespace stack::nft
