import { createHash } from "node:crypto";
import { StackError } from "../core/index.ts";
import type { ContainerId } from "../core/index.ts";
import { bytesOf, contains, formatIp, formatPrefix, lastOf, overlaps, parseIp, parsePrefix, prefixOf, sizeOf } from "./ip.ts";
import type { Ip, Prefix } from "./ip.ts";
import type { Endpoint, EndpointRequest, NetworkRecord, NetworkRequest } from "./types.ts";

/** Where networks without a subnet of their own get one; Docker's defaults, so that people's firewalls know them. */
const pools: readonly { readonly base: Prefix; readonly length: number }[] = [
  ...Array.from({ length: 15 }, (_, i) => ({ base: known(`172.${17 + i}.0.0/16`), length: 16 })),
  { base: known("192.168.0.0/16"), length: 20 },
];

function known(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new StackError("internal", `not a prefix: ${text}`);
  return prefix;
}

/** The first default subnet that overlaps nothing in `taken`. */
export function freeSubnet4(taken: readonly Prefix[]): Prefix {
  for (const { base, length } of pools) {
    const step = 1n << BigInt(32 - length);
    for (let value = base.value; value <= lastOf(base); value += step) {
      const candidate: Prefix = { family: 4, value, length };
      if (!taken.some((other) => overlaps(candidate, other))) return candidate;
    }
  }
  throw new StackError("address-pool-exhausted", "No default address range is free: networks, routes of this host or VPNs cover 172.17.0.0–172.31.255.255 and 192.168.0.0/16", {
    hint: "Give the network a subnet of its own (networks.NAME.ipam.config), or remove networks that are not used: stack down.",
  });
}

/** RFC 4193: a /48 of our own by the data root, from which each network gets a /64. */
export function localPrefix6(root: string): Prefix {
  const hash = createHash("sha256").update(root).digest();
  return prefixOf({ family: 6, value: (0xfdn << 120n) | (BigInt(`0x${hash.toString("hex", 0, 5)}`) << 80n) }, 48);
}

export function freeSubnet6(root: string, taken: readonly Prefix[]): Prefix {
  const base = localPrefix6(root);
  // The last /64 is the uplink's.
  for (let number = 0n; number < 0xffffn; number += 1n) {
    const candidate: Prefix = { family: 6, value: base.value | (number << 64n), length: 64 };
    if (!taken.some((other) => overlaps(candidate, other))) return candidate;
  }
  throw new StackError("address-pool-exhausted", `No IPv6 subnet is free in ${formatPrefix(base)}`, { hint: "Give the network a subnet of its own." });
}

export interface Addressing {
  readonly subnet4?: string;
  readonly gateway4?: string;
  readonly range4?: string;
  readonly subnet6?: string;
  readonly gateway6?: string;
  readonly range6?: string;
  readonly reserved: readonly string[];
}

type Ipam = NetworkRequest["ipam"][number];

function invalid(request: NetworkRequest, what: string, hint?: string): StackError {
  return new StackError("model-invalid", `Network "${request.name}": ${what}`, hint === undefined ? {} : { hint });
}

function addressIn(request: NetworkRequest, subnet: Prefix, text: string, what: string): Ip {
  const ip = parseIp(text);
  if (ip === undefined) throw invalid(request, `${what} "${text}" is not an address`);
  if (!contains(subnet, ip)) throw invalid(request, `${what} ${text} is not in the subnet ${formatPrefix(subnet)}`);
  return ip;
}

/** The family that an ipam entry speaks of: by its subnet, else by whatever it names. */
function familyOf(entry: Ipam): 4 | 6 {
  const text = entry.subnet ?? entry.ipRange ?? entry.gateway ?? Object.values(entry.auxAddresses)[0] ?? "";
  return text.includes(":") ? 6 : 4;
}

function subnetFor(request: NetworkRequest, family: 4 | 6, entry: Ipam | undefined, root: string, ours: readonly Taken[], taken: readonly Prefix[]): Prefix {
  if (entry?.subnet === undefined) return family === 4 ? freeSubnet4([...taken, ...ours.map((o) => o.prefix)]) : freeSubnet6(root, [...taken, ...ours.map((o) => o.prefix)]);
  const subnet = parsePrefix(entry.subnet);
  if (subnet === undefined) throw invalid(request, `subnet "${entry.subnet}" is not a prefix like 10.20.0.0/24`);
  if (sizeOf(subnet) < 4n) throw invalid(request, `subnet ${entry.subnet} is too small: it needs four addresses at least`);
  const clash = ours.find((other) => overlaps(other.prefix, subnet));
  if (clash !== undefined)
    throw new StackError("address-taken", `Network "${request.name}": subnet ${entry.subnet} overlaps ${formatPrefix(clash.prefix)} of network "${clash.network}"`, {
      hint: `Choose another subnet, or remove network "${clash.network}".`,
    });
  return subnet;
}

export interface Taken {
  readonly prefix: Prefix;
  readonly network: string;
}

/**
 * Subnets, gateways and reserved addresses of a new network.
 * `taken`: what the host routes or has; `ours`: the subnets of the other networks of this data root.
 */
export function addressing(request: NetworkRequest, root: string, ours: readonly Taken[], taken: readonly Prefix[]): Addressing {
  const result: { -readonly [K in keyof Addressing]: Addressing[K] } = { reserved: [] };
  const reserved: string[] = [];
  for (const family of [4, 6] as const) {
    const wanted = request.ipam.filter((entry) => familyOf(entry) === family && (family === 6 || entry.subnet !== undefined || Object.keys(entry).length > 0));
    if (wanted.length > 1) throw new StackError("unsupported", `Network "${request.name}": more than one IPv${family} subnet`, { hint: "Give it one subnet of each family." });
    const enabled = family === 4 ? request.enableIpv4 : request.enableIpv6 || wanted[0]?.subnet !== undefined;
    if (!enabled) continue;
    const entry = wanted[0];
    const subnet = subnetFor(request, family, entry, root, ours, taken);
    const first: Ip = { family, value: subnet.value + 1n };
    const gateway = entry?.gateway === undefined ? first : addressIn(request, subnet, entry.gateway, "gateway");
    let range: Prefix | undefined;
    if (entry?.ipRange !== undefined) {
      range = parsePrefix(entry.ipRange);
      if (range === undefined || !contains(subnet, range)) throw invalid(request, `ip_range "${entry.ipRange}" is not a part of the subnet ${formatPrefix(subnet)}`);
    }
    for (const [name, text] of Object.entries(entry?.auxAddresses ?? {})) reserved.push(formatIp(addressIn(request, subnet, text, `aux_addresses.${name}`)));
    if (family === 4) Object.assign(result, { subnet4: formatPrefix(subnet), gateway4: formatIp(gateway), ...(range === undefined ? {} : { range4: formatPrefix(range) }) });
    else Object.assign(result, { subnet6: formatPrefix(subnet), gateway6: formatIp(gateway), ...(range === undefined ? {} : { range6: formatPrefix(range) }) });
  }
  if (result.subnet4 === undefined && result.subnet6 === undefined) throw invalid(request, "neither IPv4 nor IPv6 is enabled");
  return { ...result, reserved };
}

/** The pool that containers get addresses from, and what of it nobody may have. */
interface Pool {
  readonly subnet: Prefix;
  readonly range: Prefix;
  readonly blocked: ReadonlySet<bigint>;
}

function poolOf(network: NetworkRecord, family: 4 | 6): Pool | undefined {
  const text = family === 4 ? network.subnet4 : network.subnet6;
  const subnet = text === undefined ? undefined : parsePrefix(text);
  if (subnet === undefined) return undefined;
  const rangeText = family === 4 ? network.range4 : network.range6;
  const range = (rangeText === undefined ? undefined : parsePrefix(rangeText)) ?? subnet;
  const gateway = family === 4 ? network.gateway4 : network.gateway6;
  const blocked = new Set([subnet.value]);
  if (family === 4) blocked.add(lastOf(subnet)); // broadcast
  for (const text of [gateway, ...network.reserved]) {
    const ip = text === undefined ? undefined : parseIp(text);
    if (ip?.family === family) blocked.add(ip.value);
  }
  return { subnet, range, blocked };
}

function holders(network: NetworkRecord, family: 4 | 6): Map<bigint, ContainerId> {
  const map = new Map<bigint, ContainerId>();
  for (const [container, endpoint] of Object.entries(network.endpoints) as [ContainerId, Endpoint][]) {
    const text = family === 4 ? endpoint.ipv4 : endpoint.ipv6;
    const ip = text === undefined ? undefined : parseIp(text);
    if (ip !== undefined) map.set(ip.value, container);
  }
  return map;
}

function fixedAddress(network: NetworkRecord, pool: Pool, held: Map<bigint, ContainerId>, text: string, nameOf: (id: ContainerId) => string): Ip {
  const ip = parseIp(text);
  if (ip === undefined || !contains(pool.subnet, ip))
    throw new StackError("model-invalid", `Address ${text} is not in the subnet ${formatPrefix(pool.subnet)} of network "${network.name}"`);
  const holder = held.get(ip.value);
  if (holder !== undefined)
    throw new StackError("address-taken", `Address ${text} on network "${network.name}" is taken by container ${nameOf(holder)}`, {
      hint: "Choose another address, or remove that container.",
      details: { address: text, network: network.name, holder },
    });
  if (pool.blocked.has(ip.value))
    throw new StackError("address-taken", `Address ${text} on network "${network.name}" is reserved (gateway, network, broadcast or aux_addresses)`, {
      hint: "Choose another address.",
      details: { address: text, network: network.name },
    });
  return ip;
}

function lowestFree(network: NetworkRecord, pool: Pool, held: ReadonlyMap<bigint, ContainerId>): Ip {
  const { range } = pool;
  for (let value = range.value; value <= lastOf(range); value += 1n)
    if (!pool.blocked.has(value) && !held.has(value)) return { family: range.family, value };
  throw new StackError("address-pool-exhausted", `Network "${network.name}" has no free address left in ${formatPrefix(range)}`, {
    hint: "Give the network a larger subnet or ip_range.",
  });
}

/** Locally administered, from the address: the same address has the same MAC, so that ARP caches stay right. */
export function macOf(ip: Ip): string {
  const bytes = [...bytesOf(ip)].slice(-4);
  return ["02", "42", ...bytes.map((b) => b.toString(16).padStart(2, "0"))].join(":");
}

/** The end in the router: the same for the same container and network, so that a leftover is recognised. */
function peerName(container: ContainerId, network: string): string {
  return `v-${createHash("sha256").update(`${container} ${network}`).digest("hex").slice(0, 12)}`;
}

/** The container's place on a network. Deterministic: the lowest free address; what it has already stays its own. */
export function allocate(network: NetworkRecord, request: EndpointRequest, nameOf: (id: ContainerId) => string): Endpoint {
  const own = network.endpoints[request.container];
  if (own !== undefined && (request.ipv4 ?? own.ipv4) === own.ipv4 && (request.ipv6 ?? own.ipv6) === own.ipv6 && (request.mac ?? own.mac) === own.mac) return own;
  const found: Ip[] = [];
  for (const family of [4, 6] as const) {
    const fixed = family === 4 ? request.ipv4 : request.ipv6;
    const pool = poolOf(network, family);
    if (pool === undefined) {
      if (fixed !== undefined) throw new StackError("model-invalid", `Address ${fixed}: network "${network.name}" has no IPv${family} subnet`, { hint: `Give it one, or enable_ipv${family}.` });
      continue;
    }
    const held = holders(network, family);
    for (const [value, container] of held) if (container === request.container) held.delete(value);
    found.push(fixed === undefined ? lowestFree(network, pool, held) : fixedAddress(network, pool, held, fixed, nameOf));
  }
  const [v4, v6] = [found.find((ip) => ip.family === 4), found.find((ip) => ip.family === 6)];
  const first = v4 ?? v6;
  if (first === undefined) throw new StackError("internal", `network "${network.name}" has no subnet`);
  return {
    mac: request.mac ?? macOf(first),
    ...(v4 === undefined ? {} : { ipv4: formatIp(v4) }),
    ...(v6 === undefined ? {} : { ipv6: formatIp(v6) }),
    peer: peerName(request.container, network.id),
  };
}
