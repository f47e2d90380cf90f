import type { NetlinkRequest } from "../native/index.ts";
import type { Kernel, Observed } from "./kernel.ts";
import type { Uplink } from "./uplink.ts";

const FORWARD4 = "net/ipv4/ip_forward";
const FORWARD6 = "net/ipv6/conf/all/forwarding";

/**
 * Links that came after we switched forwarding on and only make sense with it: bridges with containers or
 * machines behind them, tunnels, other data roots.
 */
export function newForwarders(host: Observed, uplink: Uplink): readonly string[] {
  const kinds = new Set(["bridge", "tun", "wireguard", "veth", "vxlan", "ipip", "gre", "macvlan", "ipvlan"]);
  return host.links.filter((l) => kinds.has(l.kind) && l.name !== uplink.link && !uplink.guard.includes(l.name)).map((l) => l.name);
}

/**
 * Switches the host's forwarding on, and notes first what it was (`remember`), so that it can go back.
 * Where it was off, the links that were there must not become a router's: `guard` names them.
 */
export async function switchOn(
  kernel: Kernel,
  uplink: Uplink,
  host: Observed,
  six: boolean,
  remember: (uplink: Uplink) => void,
  mended: string[],
): Promise<Uplink> {
  const changed: Record<string, string> = {};
  const requests: NetlinkRequest[] = [];
  const names = host.links.filter((l) => l.name !== "lo" && l.name !== uplink.link).map((l) => l.name);
  for (const name of [FORWARD4, ...(six ? [FORWARD6] : [])]) {
    if ((await kernel.sysctl(name)) !== "0") continue;
    changed[name] = "0";
    // A host that forwards IPv6 no longer listens to its own router (accept_ra 1): 2 means it does all the same.
    if (name === FORWARD6) {
      for (const link of names) {
        const setting = `net/ipv6/conf/${link}/accept_ra`;
        if ((await kernel.sysctl(setting)) !== "1") continue;
        changed[setting] = "1";
        requests.push({ op: "sysctl", name: setting, value: "2", optional: true });
      }
    }
    requests.push({ op: "sysctl", name, value: "1" });
    mended.push(`${name} switched on`);
  }
  if (requests.length === 0) return uplink;
  const result: Uplink = {
    ...uplink,
    changed: { ...changed, ...uplink.changed },
    guard: uplink.guard.length > 0 ? uplink.guard : names,
  };
  remember(result);
  await kernel.run(requests);
  return result;
}
