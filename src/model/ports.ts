import { ipVersion } from "./addresses.ts";

/** One port out of the short form `[IP:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]`. */
export interface ShortPort {
  readonly host_ip?: string;
  readonly target: number;
  readonly published?: string;
  readonly protocol: "tcp" | "udp" | "sctp";
}

export type PortResult = { readonly ports: readonly ShortPort[] } | { readonly problem: string };

interface Range {
  readonly first: number;
  readonly last: number;
}

/**
 * Expands a short form: one entry for each container port, in the order of `PORT/PROTOCOL` as text, which is
 * what Docker Compose has always printed. A host range with a single container port stays a range: any free one.
 */
export function parsePort(text: string): PortResult {
  const parts = text.split(":");
  const last = parts.at(-1) ?? "";
  const host = parts.length > 1 ? (parts.at(-2) ?? "") : "";
  const [containerText, protocolText] = splitProtocol(last);
  const address = addressOf(parts.slice(0, -2).join(":"));
  if (address === undefined) {
    const written = parts.slice(0, -2).join(":");
    return { problem: ipVersion(written) === 6 ? `the IPv6 address has to stand in brackets: [${written}]` : `"${written}" is no IP address` };
  }
  if (containerText === "") return { problem: "no container port" };
  const container = parseRange(containerText);
  if (container === undefined || container.first === 0) return { problem: `"${containerText}" is no port (1 to 65535) or range of ports` };
  const published = host === "" ? undefined : parseRange(host);
  if (host !== "" && published === undefined) return { problem: `"${host}" is no port (1 to 65535) or range of ports` };
  const protocol = protocolText.toLowerCase();
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp")
    return { problem: `"${protocolText}" is no protocol; it is tcp, udp or sctp` };
  const size = container.last - container.first;
  if (published !== undefined && size !== 0 && published.last - published.first !== size)
    return { problem: `the ranges ${host} and ${containerText} have different lengths` };
  const ports: ShortPort[] = [];
  for (let i = 0; i <= size; i++) {
    const target = container.first + i;
    const base = { ...(address === "" ? {} : { host_ip: address }), target, protocol } as const;
    ports.push(published === undefined ? base : { ...base, published: publishedAt(published, i, size) });
  }
  return { ports: ports.sort((a, b) => compare(`${a.target}/${a.protocol}`, `${b.target}/${b.protocol}`)) };
}

/** A long form's `published`: `8080` or `8000-8010`. */
export function isPublished(text: string): boolean {
  return parseRange(text) !== undefined;
}

function publishedAt(published: Range, index: number, size: number): string {
  const first = String(published.first + index);
  return size === 0 && published.first !== published.last ? `${first}-${published.last}` : first;
}

function splitProtocol(text: string): readonly [string, string] {
  const [port = "", protocol = ""] = text.split("/");
  if (port === "") return ["", ""];
  return [port, protocol === "" ? "tcp" : protocol];
}

/** Empty: none. Brackets of an IPv6 address go. */
function addressOf(text: string): string | undefined {
  if (text === "") return "";
  const bracketed = /^\[(.*)\]$/.exec(text)?.[1];
  const address = bracketed ?? text;
  if (bracketed === "") return "";
  // Without brackets nobody can tell where an IPv6 address ends.
  return ipVersion(address) === 0 || (ipVersion(address) === 6 && bracketed === undefined) ? undefined : address;
}

function parseRange(text: string): Range | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return first > 65535 || last > 65535 || last < first ? undefined : { first, last };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
