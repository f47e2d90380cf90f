import type { NftCommand, NftFamily } from "../native/index.ts";

/**
 * nftables expressions as data; native/addon/network_nft.cc turns them into netlink attributes.
 * The numbers are the kernel's (include/uapi/linux/netfilter/nf_tables.h); what a rule means is in nft(8).
 */
export type Expression = Readonly<Record<string, unknown>> & { readonly kind: string };

/** 32-bit registers; a value of more than four bytes takes several in a row. */
const REG = 8;

const META = { iifname: 6, oifname: 7, nfproto: 15, l4proto: 16 } as const;
const CT = { state: 0, status: 2 } as const;
const NETWORK_HEADER = 1;
const TRANSPORT_HEADER = 2;
const NF_DROP = 0;
const NF_ACCEPT = 1;
const NFT_NAT_DNAT = 1;
const FIB_ADDRESS_TYPE = 3;
const FIB_DESTINATION = 2;
const RTN_LOCAL = 2;
const NFPROTO = { 4: 2, 6: 10 } as const;

export const HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
export const POLICY = { drop: NF_DROP, accept: NF_ACCEPT } as const;

const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);
const equal = (value: Uint8Array, sreg = REG): Expression => ({ kind: "cmp", operator: 0, sreg, value });
const notEqual = (value: Uint8Array, sreg = REG): Expression => ({ kind: "cmp", operator: 1, sreg, value });
const meta = (key: number, dreg = REG): Expression => ({ kind: "meta", key, dreg });

/** A name, with its end for an exact match; without it, every name that begins so. Like iptables-nft, which then can list it. */
const nameBytes = (name: string): Uint8Array => new TextEncoder().encode(name.endsWith("*") ? name.slice(0, -1) : `${name}\0`);

export const iifname = (name: string): readonly Expression[] => [meta(META.iifname), equal(nameBytes(name))];
export const oifname = (name: string): readonly Expression[] => [meta(META.oifname), equal(nameBytes(name))];
export const notOifname = (name: string): readonly Expression[] => [meta(META.oifname), notEqual(nameBytes(name))];
export const isFamily = (family: 4 | 6): readonly Expression[] => [meta(META.nfproto), equal(new Uint8Array([NFPROTO[family]]))];

/** Any of these bits set. */
const bits = (load: Expression, mask: number): readonly Expression[] => [
  load,
  { kind: "bitwise", sreg: REG, dreg: REG, mask: u32(mask), xor: u32(0) },
  notEqual(u32(0)),
];
const ESTABLISHED = 2;
const RELATED = 4;
const IPS_DST_NAT = 32;

export const established: readonly Expression[] = bits({ kind: "ct", key: CT.state, dreg: REG }, ESTABLISHED | RELATED);
export const translated: readonly Expression[] = bits({ kind: "ct", key: CT.status, dreg: REG }, IPS_DST_NAT);

const addressBytes = (family: 4 | 6): number => (family === 4 ? 4 : 16);
const offset = { source: { 4: 12, 6: 8 }, destination: { 4: 16, 6: 24 } } as const;

export function source(family: 4 | 6, address: Uint8Array): readonly Expression[] {
  return [
    ...isFamily(family),
    { kind: "payload", base: NETWORK_HEADER, offset: offset.source[family], length: addressBytes(family), dreg: REG },
    equal(address),
  ];
}

/** The destination is one of this namespace's own addresses. */
export const toLocal: readonly Expression[] = [
  { kind: "fib", result: FIB_ADDRESS_TYPE, flags: FIB_DESTINATION, dreg: REG },
  equal(u32(RTN_LOCAL)),
];

export const accept: Expression = { kind: "verdict", code: NF_ACCEPT };
export const drop: Expression = { kind: "verdict", code: NF_DROP };
export const masquerade: Expression = { kind: "masquerade" };
export const counter: Expression = { kind: "counter" };

export function dnatTo(family: 4 | 6, address: Uint8Array): readonly Expression[] {
  return [
    ...isFamily(family),
    { kind: "immediate", dreg: REG, value: address },
    { kind: "nat", type: NFT_NAT_DNAT, family: NFPROTO[family], addressReg: REG },
  ];
}

/** `dnat to [daddr .] l4proto . dport map @NAME`; see native/lib/nft_container.cc, which fills the maps. */
export function dnatByMap(family: 4 | 6, name: string, byAddress: boolean): readonly Expression[] {
  const words = addressBytes(family) / 4;
  const protocol = REG + (byAddress ? words : 0);
  const result = protocol + 2;
  return [
    ...isFamily(family),
    ...(byAddress ? [{ kind: "payload", base: NETWORK_HEADER, offset: offset.destination[family], length: addressBytes(family), dreg: REG }] : []),
    meta(META.l4proto, protocol),
    { kind: "payload", base: TRANSPORT_HEADER, offset: 2, length: 2, dreg: protocol + 1 },
    { kind: "lookup", set: name, sreg: REG, dreg: result },
    { kind: "nat", type: NFT_NAT_DNAT, family: NFPROTO[family], addressReg: result, portReg: result + words },
  ];
}

export const inSet = (key: "iifname" | "oifname", set: string): readonly Expression[] => [meta(META[key]), { kind: "lookup", set, sreg: REG }];

/** nft's own numbers of data types, six bits each in a concatenation, so that `nft list ruleset` prints them. */
const TYPE = { ipv4: 7, ipv6: 8, protocol: 12, port: 13, ifname: 41 } as const;
const concatenated = (...types: readonly number[]): number => types.reduce((all, type) => (all << 6) | type, 0);

export class Table {
  readonly commands: NftCommand[] = [];
  readonly #family: NftFamily;
  readonly #table: string;
  #sets = 0;

  /** `replace`: there is one of that name, which goes in the same transaction (that costs an RCU grace period). */
  constructor(family: NftFamily, table: string, replace: boolean) {
    this.#family = family;
    this.#table = table;
    if (replace) this.#push("delete-table");
    this.#push("add-table");
  }

  #push(cmd: string, more: Readonly<Record<string, unknown>> = {}): void {
    this.commands.push({ cmd, family: this.#family, table: this.#table, ...more });
  }

  chain(chain: string, type: "filter" | "nat", hook: number, priority: number, policy: number = POLICY.accept): void {
    this.#push("add-chain", { chain, type, hook, priority, policy });
  }

  rule(chain: string, ...expressions: readonly Expression[]): void {
    this.#push("add-rule", { chain, expressions });
  }

  /** `[address .] protocol . port` to `address . port`. */
  portMap(set: string, family: 4 | 6, byAddress: boolean): void {
    const address = family === 4 ? TYPE.ipv4 : TYPE.ipv6;
    const bytes = addressBytes(family);
    this.#push("add-set", {
      set,
      id: (this.#sets += 1),
      keyType: byAddress ? concatenated(address, TYPE.protocol, TYPE.port) : concatenated(TYPE.protocol, TYPE.port),
      keyLength: (byAddress ? bytes : 0) + 8,
      dataType: concatenated(address, TYPE.port),
      dataLength: bytes + 4,
    });
  }

  linkSet(set: string, names: readonly string[]): void {
    this.#push("add-set", { set, id: (this.#sets += 1), keyType: TYPE.ifname, keyLength: 16 });
    const key = (name: string): Uint8Array => {
      const bytes = new Uint8Array(16);
      new TextEncoder().encodeInto(name, bytes);
      return bytes;
    };
    if (names.length > 0) this.#push("add-elements", { set, elements: names.map((name) => ({ key: key(name) })) });
  }
}
