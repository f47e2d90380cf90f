import type { NetlinkRequest } from "../native/index.ts";
import { macOf } from "./allocate.ts";
import { parseIp } from "./ip.ts";
import type { Observed } from "./kernel.ts";
import type { NetworkRecord } from "./types.ts";
import type { Uplink } from "./uplink.ts";

export interface Step {
  readonly what: string;
  readonly requests: readonly NetlinkRequest[];
}

const withLength = (gateway: string, subnet: string): string => `${gateway}/${subnet.slice(subnet.indexOf("/") + 1)}`;

/** A gateway's address on the bridge, with the subnet's length. */
function gateways(record: NetworkRecord): readonly string[] {
  const list: string[] = [];
  if (record.gateway4 !== undefined && record.subnet4 !== undefined) list.push(withLength(record.gateway4, record.subnet4));
  if (record.gateway6 !== undefined && record.subnet6 !== undefined) list.push(withLength(record.gateway6, record.subnet6));
  return list;
}

/** Bridges that the router lacks; gateways that a bridge lacks; containers whose bridge was deleted under them. */
export function missingBridges(router: Observed, records: readonly NetworkRecord[]): readonly Step[] {
  const steps: Step[] = [];
  for (const record of records) {
    const bridge = router.links.find((l) => l.name === record.bridge);
    const requests: NetlinkRequest[] = [];
    if (bridge === undefined) {
      const first = parseIp(record.gateway4 ?? record.gateway6 ?? "");
      // An address of its own keeps the bridge from changing it with every container that comes and goes.
      requests.push({ op: "link-add-bridge", name: record.bridge, mtu: record.mtu, ...(first === undefined ? {} : { mac: macOf(first) }) });
    } else if (!bridge.up) requests.push({ op: "link-set", name: record.bridge, up: true });
    for (const address of gateways(record))
      if (bridge === undefined || !router.addresses.some((a) => a.index === bridge.index && a.address === address)) requests.push({ op: "address-add", link: record.bridge, address });
    for (const endpoint of Object.values(record.endpoints)) {
      const peer = router.links.find((l) => l.name === endpoint.peer);
      if (peer !== undefined && (bridge === undefined || peer.master !== bridge.index)) requests.push({ op: "link-set", name: endpoint.peer, master: record.bridge, up: true });
    }
    if (requests.length > 0) steps.push({ what: `bridge of network ${record.name}`, requests });
  }
  return steps;
}

/** Left by a crash between a record's end and its bridge's. */
export function strayBridges(router: Observed, records: readonly NetworkRecord[]): readonly string[] {
  const known = new Set(records.map((r) => r.bridge));
  return router.links.filter((l) => l.kind === "bridge" && !known.has(l.name)).map((l) => l.name);
}

export interface RouteStep {
  readonly network: string;
  readonly request: NetlinkRequest & { readonly op: "route-add" };
}

/** The host's way to each network. */
export function missingRoutes(host: Observed, uplink: Uplink, records: readonly NetworkRecord[]): readonly RouteStep[] {
  const index = host.links.find((l) => l.name === uplink.link)?.index;
  const steps: RouteStep[] = [];
  for (const record of records) {
    for (const [destination, gateway] of [[record.subnet4, uplink.router4], [record.subnet6, uplink.router6]] as const) {
      if (destination === undefined || host.routes.some((r) => r.destination === destination && r.index === index)) continue;
      steps.push({ network: record.name, request: { op: "route-add", destination, gateway, link: uplink.link } });
    }
  }
  return steps;
}
