/** IP addresses and prefixes as numbers. Pure; text in, text out (RFC 5952 for IPv6). */
export interface Ip {
  readonly family: 4 | 6;
  readonly value: bigint;
}

export interface Prefix {
  readonly family: 4 | 6;
  /** The first address, host bits zero. */
  readonly value: bigint;
  readonly length: number;
}

export const bitsOf = (family: 4 | 6): number => (family === 4 ? 32 : 128);

function parse4(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function parse6(text: string): bigint | undefined {
  const dotted = /^(.*:)([0-9.]+)$/.exec(text);
  let rest = text;
  if (dotted?.[1] !== undefined && dotted[2] !== undefined && dotted[2].includes(".")) {
    const tail = parse4(dotted[2]);
    if (tail === undefined) return undefined;
    rest = `${dotted[1]}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  }
  const halves = rest.split("::");
  if (halves.length > 2) return undefined;
  const groups = (half: string | undefined): string[] => (half === undefined || half === "" ? [] : half.split(":"));
  const head = groups(halves[0]);
  const tail = groups(halves[1]);
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  let value = 0n;
  for (const group of [...head, ...Array<string>(missing).fill("0"), ...tail]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return value;
}

export function parseIp(text: string): Ip | undefined {
  const family = text.includes(":") ? 6 : 4;
  const value = family === 6 ? parse6(text) : parse4(text);
  return value === undefined ? undefined : { family, value };
}

/** `10.1.2.3/16` gives 10.1.0.0/16: host bits are dropped. */
export function parsePrefix(text: string): Prefix | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const ip = match?.[1] === undefined ? undefined : parseIp(match[1]);
  if (ip === undefined) return undefined;
  const length = Number(match?.[2]);
  return length > bitsOf(ip.family) ? undefined : prefixOf(ip, length);
}

export function prefixOf(ip: Ip, length: number): Prefix {
  const hostBits = BigInt(bitsOf(ip.family) - length);
  return { family: ip.family, value: (ip.value >> hostBits) << hostBits, length };
}

function format6(value: bigint): string {
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((value >> shift) & 0xffffn));
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at += 1) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length += 1;
    if (length > best.length) best = { at, length };
  }
  const hex = (list: readonly number[]): string => list.map((g) => g.toString(16)).join(":");
  if (best.at < 0) return hex(groups);
  return `${hex(groups.slice(0, best.at))}::${hex(groups.slice(best.at + best.length))}`;
}

export function formatIp(ip: Ip): string {
  if (ip.family === 6) return format6(ip.value);
  return [24n, 16n, 8n, 0n].map((shift) => ((ip.value >> shift) & 0xffn).toString()).join(".");
}

export const formatPrefix = (prefix: Prefix): string => `${formatIp(prefix)}/${prefix.length}`;

/** Number of addresses. */
export const sizeOf = (prefix: Prefix): bigint => 1n << BigInt(bitsOf(prefix.family) - prefix.length);

export const lastOf = (prefix: Prefix): bigint => prefix.value + sizeOf(prefix) - 1n;

export function contains(prefix: Prefix, ip: Ip | Prefix): boolean {
  if (prefix.family !== ip.family || ip.value < prefix.value) return false;
  return ("length" in ip ? lastOf(ip) : ip.value) <= lastOf(prefix);
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return a.family === b.family && a.value <= lastOf(b) && b.value <= lastOf(a);
}

/** Network byte order. */
export function bytesOf(ip: Ip): Uint8Array {
  const bytes = new Uint8Array(bitsOf(ip.family) / 8);
  for (let at = bytes.length - 1, value = ip.value; at >= 0; at -= 1, value >>= 8n) bytes[at] = Number(value & 0xffn);
  return bytes;
}
