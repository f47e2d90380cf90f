#include <linux/netfilter/nf_tables.h>

#include "nft.h"

namespace stack::nft {

Rule::Open Rule::begin(std::string_view name) {
  Open open{};
  open.element = list_.begin(NFTA_LIST_ELEM);
  list_.put_string(NFTA_EXPR_NAME, name);
  open.data = list_.begin(NFTA_EXPR_DATA);
  return open;
}

Rule& Rule::end(Open open) {
  list_.end(open.data);
  list_.end(open.element);
  return *this;
}

namespace {

void put_value(net::Message& message, uint16_t type, std::span<const uint8_t> value) {
  size_t at = message.begin(type);
  message.put(NFTA_DATA_VALUE, value.data(), value.size());
  message.end(at);
}

}  // namespace

Rule& Rule::meta(uint32_t key, uint32_t dreg) {
  Open open = begin("meta");
  list_.put_be32(NFTA_META_KEY, key);
  list_.put_be32(NFTA_META_DREG, dreg);
  return end(open);
}

Rule& Rule::ct(uint32_t key, uint32_t dreg) {
  Open open = begin("ct");
  list_.put_be32(NFTA_CT_KEY, key);
  list_.put_be32(NFTA_CT_DREG, dreg);
  return end(open);
}

Rule& Rule::payload(uint32_t base, uint32_t offset, uint32_t length, uint32_t dreg) {
  Open open = begin("payload");
  list_.put_be32(NFTA_PAYLOAD_DREG, dreg);
  list_.put_be32(NFTA_PAYLOAD_BASE, base);
  list_.put_be32(NFTA_PAYLOAD_OFFSET, offset);
  list_.put_be32(NFTA_PAYLOAD_LEN, length);
  return end(open);
}

Rule& Rule::payload_set(uint32_t base, uint32_t offset, uint32_t length, uint32_t sreg,
                        int checksum_offset) {
  Open open = begin("payload");
  list_.put_be32(NFTA_PAYLOAD_SREG, sreg);
  list_.put_be32(NFTA_PAYLOAD_BASE, base);
  list_.put_be32(NFTA_PAYLOAD_OFFSET, offset);
  list_.put_be32(NFTA_PAYLOAD_LEN, length);
  if (checksum_offset >= 0) {
    list_.put_be32(NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
    list_.put_be32(NFTA_PAYLOAD_CSUM_OFFSET, static_cast<uint32_t>(checksum_offset));
  }
  return end(open);
}

Rule& Rule::cmp(uint32_t op, uint32_t sreg, std::span<const uint8_t> value) {
  Open open = begin("cmp");
  list_.put_be32(NFTA_CMP_SREG, sreg);
  list_.put_be32(NFTA_CMP_OP, op);
  put_value(list_, NFTA_CMP_DATA, value);
  return end(open);
}

Rule& Rule::bitwise(uint32_t sreg, uint32_t dreg, std::span<const uint8_t> mask,
                    std::span<const uint8_t> xor_value) {
  Open open = begin("bitwise");
  list_.put_be32(NFTA_BITWISE_SREG, sreg);
  list_.put_be32(NFTA_BITWISE_DREG, dreg);
  list_.put_be32(NFTA_BITWISE_LEN, static_cast<uint32_t>(mask.size()));
  put_value(list_, NFTA_BITWISE_MASK, mask);
  put_value(list_, NFTA_BITWISE_XOR, xor_value);
  return end(open);
}

Rule& Rule::immediate(uint32_t dreg, std::span<const uint8_t> value) {
  Open open = begin("immediate");
  list_.put_be32(NFTA_IMMEDIATE_DREG, dreg);
  put_value(list_, NFTA_IMMEDIATE_DATA, value);
  return end(open);
}

Rule& Rule::verdict(int32_t code, std::string_view chain) {
  Open open = begin("immediate");
  list_.put_be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
  size_t data = list_.begin(NFTA_IMMEDIATE_DATA);
  size_t verdict = list_.begin(NFTA_DATA_VERDICT);
  list_.put_be32(NFTA_VERDICT_CODE, static_cast<uint32_t>(code));
  if (!chain.empty()) list_.put_string(NFTA_VERDICT_CHAIN, chain);
  list_.end(verdict);
  list_.end(data);
  return end(open);
}

Rule& Rule::lookup(std::string_view set, uint32_t sreg, std::optional<uint32_t> dreg,
                   bool inverted) {
  Open open = begin("lookup");
  list_.put_string(NFTA_LOOKUP_SET, set);
  list_.put_be32(NFTA_LOOKUP_SREG, sreg);
  if (dreg) list_.put_be32(NFTA_LOOKUP_DREG, *dreg);
  if (inverted) list_.put_be32(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
  return end(open);
}

Rule& Rule::fib(uint32_t result, uint32_t flags, uint32_t dreg) {
  Open open = begin("fib");
  list_.put_be32(NFTA_FIB_DREG, dreg);
  list_.put_be32(NFTA_FIB_RESULT, result);
  list_.put_be32(NFTA_FIB_FLAGS, flags);
  return end(open);
}

Rule& Rule::nat(uint32_t type, uint32_t family, uint32_t address_reg, uint32_t port_reg) {
  Open open = begin("nat");
  list_.put_be32(NFTA_NAT_TYPE, type);
  list_.put_be32(NFTA_NAT_FAMILY, family);
  list_.put_be32(NFTA_NAT_REG_ADDR_MIN, address_reg);
  if (port_reg != 0) list_.put_be32(NFTA_NAT_REG_PROTO_MIN, port_reg);
  return end(open);
}

Rule& Rule::masquerade() { return end(begin("masq")); }
Rule& Rule::counter() { return end(begin("counter")); }

}  // namespace stack::nft
