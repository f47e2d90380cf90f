import { bytesOf, formatIp, parseIp } from "../ip.ts";
import type { Ip } from "../ip.ts";
import type { DnsEntry, DnsView } from "../types.ts";
import { CLASS_IN, RCODE, TYPE } from "./codec.ts";
import type { Answer, Question, RecordData } from "./codec.ts";

/** Containers come and go; nobody shall remember where one was. */
const TTL = 1;

export type Decision = { readonly kind: "answer"; readonly answer: Answer } | { readonly kind: "forward" };

const own = (records: readonly RecordData[]): Decision => ({ kind: "answer", answer: { rcode: RCODE.NOERROR, records, ttl: TTL, authoritative: true } });
const refuse = (rcode: number): Decision => ({ kind: "answer", answer: { rcode, records: [], ttl: 0, authoritative: false } });

/** `1.0.18.172.in-addr.arpa`, and nibbles below `ip6.arpa`. */
export function reverseAddress(name: string): Ip | undefined {
  const lower = name.toLowerCase();
  if (lower.endsWith(".in-addr.arpa")) return parseIp(lower.slice(0, -".in-addr.arpa".length).split(".").reverse().join("."));
  if (!lower.endsWith(".ip6.arpa")) return undefined;
  const nibbles = lower.slice(0, -".ip6.arpa".length).split(".").reverse();
  if (nibbles.length !== 32 || nibbles.some((n) => !/^[0-9a-f]$/.test(n))) return undefined;
  return parseIp(nibbles.join("").replace(/(.{4})(?=.)/g, "$1:"));
}

function addresses(entries: readonly DnsEntry[], family: 4 | 6): readonly Uint8Array[] {
  const texts = new Set(entries.flatMap((e) => (family === 4 ? (e.ipv4 ?? []) : (e.ipv6 ?? []))));
  return [...texts].flatMap((text) => {
    const ip = parseIp(text);
    return ip === undefined ? [] : [bytesOf(ip)];
  });
}

const rotated = <T>(list: readonly T[], by: number): readonly T[] => {
  const at = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
};

function named(entries: readonly DnsEntry[], type: number, turn: number): Decision {
  const types = type === TYPE.ANY ? ([TYPE.A, TYPE.AAAA] as const) : type === TYPE.A || type === TYPE.AAAA ? ([type] as const) : [];
  // The name exists: other types are "no data", never "no such name", which resolvers take for all types.
  return own(types.flatMap((t) => rotated(addresses(entries, t === TYPE.A ? 4 : 6), turn).map((address) => ({ type: t, address }))));
}

const LOOPBACK: readonly DnsEntry[] = [{ name: "localhost", ipv4: "127.0.0.1", ipv6: "::1" }];

/** What this container is told. Pure but for `nextTurn`, which counts the questions for a name of ours: replicas are named in turn. */
export function decide(view: DnsView, question: Question, nextTurn: () => number): Decision {
  if (question.class !== CLASS_IN || question.type === TYPE.AXFR || question.type === TYPE.IXFR) return refuse(RCODE.REFUSED);
  const name = question.name.toLowerCase();
  const entries = view.entries.filter((entry) => entry.name.toLowerCase() === name);
  if (entries.length > 0) return named(entries, question.type, nextTurn());
  // RFC 6761, 6.3: never asked outside.
  if (name === "localhost" || name.endsWith(".localhost")) return named(LOOPBACK, question.type, 0);
  const reverse = reverseAddress(name);
  if (reverse !== undefined) {
    const text = formatIp(reverse);
    const entry = view.entries.find((e) => e.ipv4 === text || e.ipv6 === text);
    if (entry !== undefined) return own(question.type === TYPE.PTR || question.type === TYPE.ANY ? [{ type: TYPE.PTR, target: entry.name }] : []);
  }
  if (view.internal) return refuse(RCODE.NXDOMAIN);
  return { kind: "forward" };
}
