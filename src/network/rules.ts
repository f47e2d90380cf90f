import { bytesOf, parseIp } from "./ip.ts";
import { accept, dnatByMap, dnatTo, drop, established, HOOK, iifname, inSet, masquerade, notOifname, oifname, POLICY, source, Table, toLocal, translated } from "./nft.ts";
import type { NftCommand } from "../native/index.ts";
import type { LedPort } from "./types.ts";
import type { Uplink } from "./uplink.ts";

/** Names of bridges begin so: the rules know by the name what a network may do, and never change with it. */
export const OPEN_BRIDGE = "br-";
export const INTERNAL_BRIDGE = "int-";
/** The uplink's end in the router. */
export const ROUTER_UPLINK = "uplink";
export const ROUTER_TABLE = "stack";

/** The chain whose presence says that our table is whole: it is made last, in the same transaction. */
export const MARK_CHAIN = "forward";

const raw = (address: string): Uint8Array => {
  const ip = parseIp(address);
  return ip === undefined ? new Uint8Array() : bytesOf(ip);
};

/**
 * Inside the router: who may talk to whom.
 *  - networks do not see each other; an open one reaches the outside, and is reached from it (the host has
 *    looked already); an internal one is reached from the host's own processes alone;
 *  - what containers send to their gateway reaches the host, as it does where the bridge is the host's;
 *  - what the host itself sends shows the gateway's address, so that an answer needs no route.
 */
export function routerRules(uplink: Uplink, replace: boolean): readonly NftCommand[] {
  const table = new Table("inet", ROUTER_TABLE, replace);
  const families = [[4, raw(uplink.host4)], [6, raw(uplink.host6)]] as const;
  table.chain("prerouting", "nat", HOOK.prerouting, -100);
  for (const [family, host] of families) table.rule("prerouting", ...iifname(`${OPEN_BRIDGE}*`), ...toLocal, ...dnatTo(family, host));
  table.chain("postrouting", "nat", HOOK.postrouting, 100);
  for (const [family, host] of families) table.rule("postrouting", ...notOifname(ROUTER_UPLINK), ...source(family, host), masquerade);
  table.chain(MARK_CHAIN, "filter", HOOK.forward, 0, POLICY.drop);
  table.rule("forward", ...established, accept);
  table.rule("forward", ...iifname(`${OPEN_BRIDGE}*`), ...oifname(ROUTER_UPLINK), accept);
  table.rule("forward", ...iifname(ROUTER_UPLINK), ...oifname(`${OPEN_BRIDGE}*`), accept);
  for (const [family, host] of families) table.rule("forward", ...iifname(ROUTER_UPLINK), ...oifname(`${INTERNAL_BRIDGE}*`), ...source(family, host), accept);
  return table.commands;
}

/**
 * On the host: the way out, published ports, and nothing else in.
 * `guard`: links between which the host did not forward before we switched forwarding on, and still does not.
 * `replace`: there is such a table, but not as it has to be.
 */
export function hostRules(uplink: Uplink, guard: readonly string[], replace: boolean): readonly NftCommand[] {
  const table = new Table("inet", uplink.table, replace);
  for (const family of [4, 6] as const) {
    table.portMap(`addr${family}`, family, true);
    table.portMap(`any${family}`, family, false);
  }
  table.chain("prerouting", "nat", HOOK.prerouting, -100);
  for (const family of [4, 6] as const) {
    table.rule("prerouting", ...toLocal, ...dnatByMap(family, `addr${family}`, true));
    table.rule("prerouting", ...toLocal, ...dnatByMap(family, `any${family}`, false));
  }
  table.chain("postrouting", "nat", HOOK.postrouting, 100);
  // Both the way out and the way back to a published port of our own: the answer has to come by here again.
  table.rule("postrouting", ...iifname(uplink.link), masquerade);
  if (guard.length > 0) table.linkSet("guard", guard);
  table.chain(MARK_CHAIN, "filter", HOOK.forward, 0);
  table.rule("forward", ...oifname(uplink.link), ...established, accept);
  table.rule("forward", ...oifname(uplink.link), ...translated, accept);
  table.rule("forward", ...oifname(uplink.link), drop);
  if (guard.length > 0) table.rule("forward", ...inSet("iifname", "guard"), ...inSet("oifname", "guard"), drop);
  return table.commands;
}

/** Where the maps of published ports have a port; native/lib/nft_container.cc puts it there. Each part fills whole registers. */
export function keysOf({ hostIp, hostPort, protocol }: LedPort): readonly { readonly set: string; readonly key: Uint8Array }[] {
  const port = [protocol === "tcp" ? 6 : 17, 0, 0, 0, hostPort >> 8, hostPort & 255, 0, 0];
  const address = parseIp(hostIp);
  const bytes = address === undefined ? [] : [...bytesOf(address)];
  if (bytes.every((byte) => byte === 0)) return ["any4", "any6"].map((set) => ({ set, key: Uint8Array.from(port) }));
  return [{ set: bytes.length === 4 ? "addr4" : "addr6", key: Uint8Array.from([...bytes, ...port]) }];
}
