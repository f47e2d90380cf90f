import type { NativeBinding, NetlinkReply, NetlinkRequest, NftFamily } from "../native/index.ts";
import { parsePrefix } from "./ip.ts";
import type { Prefix } from "./ip.ts";

/** What one network namespace has, as plain data. */
export interface Observed {
  readonly links: readonly Link[];
  readonly addresses: readonly { readonly index: number; readonly address: string }[];
  readonly routes: readonly Route[];
  readonly chains: readonly Chain[];
}

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly kind: string;
  /** Index of the bridge that it is a port of; 0: none. */
  readonly master: number;
  readonly mtu: number;
  readonly up: boolean;
}

export interface Route {
  /** `0.0.0.0/0` is the default route. */
  readonly destination: string;
  readonly gateway?: string;
  readonly index: number;
  readonly table: number;
  readonly unicast: boolean;
}

export interface Chain {
  readonly family: NftFamily | "";
  readonly table: string;
  readonly chain: string;
  readonly type: string;
  /** Number of the netfilter hook; absent: only jumped to. */
  readonly hook?: number;
  readonly priority: number;
  readonly policy: number;
}

export interface RuleExpression {
  readonly kind: string;
  /** Of `meta`: what it loads. */
  readonly key?: number;
  readonly value?: Uint8Array;
  readonly verdict?: number;
  readonly chain?: string;
}

export interface ListedRule {
  readonly handle: number;
  readonly expressions: readonly RuleExpression[];
}

/** The lists are made by native/addon/network_links.cc and network_nft.cc in exactly these shapes. */
const listed = (reply: NetlinkReply | undefined): readonly unknown[] => (Array.isArray(reply) ? reply : []);

/** One network namespace; "" is the current one. */
export class Kernel {
  readonly #native: NativeBinding;
  readonly netns: string;

  constructor(native: NativeBinding, netns: string) {
    this.#native = native;
    this.netns = netns;
  }

  async observe(): Promise<Observed> {
    const [links, addresses, routes, chains] = await this.run([{ op: "link-list" }, { op: "address-list" }, { op: "route-list" }, { op: "nft-list-chains" }]);
    return {
      links: listed(links) as Observed["links"],
      addresses: listed(addresses) as Observed["addresses"],
      routes: listed(routes) as Observed["routes"],
      chains: listed(chains) as Observed["chains"],
    };
  }

  async run(requests: readonly NetlinkRequest[]): Promise<readonly NetlinkReply[]> {
    return requests.length === 0 ? [] : this.#native.netlink(this.netns, requests);
  }

  async rules(family: NftFamily, table: string, chain: string): Promise<readonly ListedRule[]> {
    const [rules] = await this.run([{ op: "nft-list-rules", family, table, chain }]);
    return listed(rules) as readonly ListedRule[];
  }

  /** Undefined: this kernel has no such setting. */
  async sysctl(name: string): Promise<string | undefined> {
    const [reply] = await this.run([{ op: "sysctl-read", name, optional: true }]);
    const before = reply === null || reply === undefined || Array.isArray(reply) ? undefined : (reply as Readonly<Record<string, unknown>>)["before"];
    return typeof before === "string" ? before : undefined;
  }
}

export const nothing: Observed = { links: [], addresses: [], routes: [], chains: [] };

/** Routes so short that they cover everything are ways out (0.0.0.0/0, a VPN's 0.0.0.0/1 and 128.0.0.0/1), not occupied space. */
const WAY_OUT = 2;

/** What new subnets have to avoid: all that the host routes or has addresses in, but what belongs to `link`. */
export function takenPrefixes(observed: Observed, link: string | undefined): readonly Prefix[] {
  const own = observed.links.find((l) => l.name === link)?.index;
  const texts = [
    ...observed.routes.filter((r) => r.unicast && r.index !== own).map((r) => r.destination),
    ...observed.addresses.filter((a) => a.index !== own).map((a) => a.address),
  ];
  return texts.map((text) => parsePrefix(text)).filter((prefix): prefix is Prefix => prefix !== undefined && prefix.length > WAY_OUT);
}
