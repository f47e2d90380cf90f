import { existsSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import { paths, readIfThere, replaceFile, StackError } from "../core/index.ts";
import type { DataRoot } from "../core/index.ts";
import { errnoIs } from "../native/index.ts";
import type { NativeBinding, NetlinkRequest } from "../native/index.ts";
import { closeForeignFilters, openForeignFilters } from "./foreign.ts";
import { missingBridges, missingRoutes, strayBridges } from "./bridges.ts";
import { Kernel, nothing, takenPrefixes } from "./kernel.ts";
import type { Observed } from "./kernel.ts";
import { MARK_CHAIN, hostRules, ROUTER_TABLE, ROUTER_UPLINK, routerRules } from "./rules.ts";
import { newForwarders, switchOn } from "./forwarding.ts";
import { pinsElsewhere } from "./pin.ts";
import type { NetworkRecord } from "./types.ts";
import { UPLINK_LENGTH, uplinkFitting, uplinkFor } from "./uplink.ts";
import type { Uplink } from "./uplink.ts";

const NSFS_MAGIC = 0x6e736673;

/**
 * Who forwards asks for neighbours from a link-local address, and not from a tentative one (RFC 4862): without
 * this one the first second of every uplink would be lost.
 */
const NEIGHBOUR_SOURCE = "fe80::1/64";

export interface Mended {
  readonly mended: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * The router's network namespace, its uplink and everything around them on the host. Level-triggered: looks at
 * what there is, and adds what the records want and the kernel lacks. All calls under the networks lock.
 */
export class Router {
  readonly #root: DataRoot;
  readonly #native: NativeBinding;
  readonly #host: Kernel;
  readonly #router: Kernel;

  constructor(root: DataRoot, native: NativeBinding) {
    this.#root = root;
    this.#native = native;
    this.#host = new Kernel(native, "");
    this.#router = new Kernel(native, paths.router(root));
  }

  get host(): Kernel {
    return this.#host;
  }

  /** Cheap: the pin is there and the uplink too. After a restart of the machine they are not. */
  stands(): boolean {
    const uplink = this.uplink();
    if (uplink === undefined || !hostHas(uplink.link)) return false;
    try {
      return statfsSync(paths.router(this.#root)).type === NSFS_MAGIC;
    } catch {
      return false;
    }
  }

  uplink(): Uplink | undefined {
    const text = readIfThere(this.#file);
    if (text === undefined) return undefined;
    try {
      const uplink = JSON.parse(text) as Uplink;
      return (uplink.version as number) === 1 ? uplink : undefined;
    } catch {
      return undefined; // it is made again; names come from the root alone
    }
  }

  get #file(): string {
    return join(dirname(paths.router(this.#root)), "router.json");
  }

  #write(uplink: Uplink): void {
    replaceFile(this.#file, `${JSON.stringify(uplink)}\n`);
  }

  /** Makes whatever of these networks is missing in the kernel. `seen`: the host, if somebody has just looked. */
  async ensure(records: readonly NetworkRecord[], seen?: Observed): Promise<Mended> {
    const host = seen ?? (await this.#host.observe());
    let uplink = this.#choose(host);
    const six = records.some((r) => r.subnet6 !== undefined);
    const fresh = await this.#native.createNetns(paths.router(this.#root), pinsElsewhere(this.#root));
    let router = fresh ? nothing : await this.#router.observe();
    const mended: string[] = [];
    if (!host.links.some((l) => l.name === uplink.link) || !router.links.some((l) => l.name === ROUTER_UPLINK)) {
      await this.#makeUplink(uplink, host, router);
      mended.push(`uplink ${uplink.link}`);
      router = await this.#router.observe();
    }
    uplink = await switchOn(this.#host, uplink, host, six, (changed) => this.#write(changed), mended);
    const now = await this.#host.observe();
    await Promise.all([this.#hostSide(uplink, now, records, six, mended), this.#routerSide(uplink, router, records, six, mended)]);
    const foreign = await openForeignFilters(this.#host, now, uplink.link, uplink.table);
    return { mended: [...mended, ...foreign.mended], warnings: foreign.warnings };
  }

  #choose(host: Observed): Uplink {
    const known = this.uplink();
    const bootId = currentBoot();
    const taken = takenPrefixes(host, uplinkFor(this.#root.root, bootId, 1500, []).link);
    if (known !== undefined && known.bootId === bootId && uplinkFitting(known, taken)) return known;
    const uplink = uplinkFor(this.#root.root, bootId, pathMtu(host), taken);
    this.#write(uplink);
    return uplink;
  }

  async #makeUplink(uplink: Uplink, host: Observed, router: Observed): Promise<void> {
    const half = (observed: Observed, name: string): NetlinkRequest[] => (observed.links.some((l) => l.name === name) ? [{ op: "link-delete", name }] : []);
    await this.#host.run(half(host, uplink.link));
    await this.#router.run(half(router, ROUTER_UPLINK)).catch((error: unknown) => {
      if (!errnoIs(error, "ENODEV")) throw error; // its other end was the one just deleted
    });
    await this.#host.run([
      { op: "link-add-veth", name: uplink.link, peer: ROUTER_UPLINK, peerNetns: paths.router(this.#root), mtu: uplink.mtu },
      { op: "sysctl", name: `net/ipv6/conf/${uplink.link}/accept_ra`, value: "0", optional: true },
      { op: "sysctl", name: `net/ipv6/conf/${uplink.link}/addr_gen_mode`, value: "1", optional: true },
      { op: "sysctl", name: `net/ipv4/conf/${uplink.link}/forwarding`, value: "1" },
    ]);
  }

  async #hostSide(uplink: Uplink, now: Observed, records: readonly NetworkRecord[], six: boolean, mended: string[]): Promise<void> {
    const addresses = missingAddresses(now, uplink.link, [`${uplink.host4}/${UPLINK_LENGTH[4]}`, ...(six ? [`${uplink.host6}/${UPLINK_LENGTH[6]}`, NEIGHBOUR_SOURCE] : [])]);
    const down = now.links.some((l) => l.name === uplink.link && !l.up);
    const requests: readonly NetlinkRequest[] = [...(down ? [{ op: "link-set", name: uplink.link, up: true } as const] : []), ...addresses];
    if (requests.length > 0) mended.push(`addresses of ${uplink.link}`);
    await this.#host.run(requests);
    const routes = missingRoutes(now, uplink, records);
    for (const route of routes) await this.#addRoute(route.request, route.network, now);
    if (routes.length > 0) mended.push(...routes.map((r) => `route to network ${r.network}`));
    // `nft flush table` leaves the chains, and nothing in them.
    if (!hasChain(now, uplink.table) || (await this.#host.rules("inet", uplink.table, MARK_CHAIN)).length === 0) {
      await this.#host.run([{ op: "nft", commands: hostRules(uplink, uplink.guard, hasTable(now, uplink.table)) }]);
      mended.push(`nftables table ${uplink.table}`);
    }
  }

  async #addRoute(request: NetlinkRequest & { readonly op: "route-add" }, network: string, now: Observed): Promise<void> {
    try {
      await this.#host.run([request]);
    } catch (error) {
      if (!errnoIs(error, "EEXIST")) throw error;
      const other = now.routes.find((r) => r.destination === request.destination);
      const via = now.links.find((l) => l.index === other?.index)?.name;
      throw new StackError("address-taken", `Network "${network}": this host routes ${request.destination} already${via === undefined ? "" : ` (by ${via})`}`, {
        hint: "Choose another subnet for the network.",
        cause: error,
      });
    }
  }

  async #routerSide(uplink: Uplink, router: Observed, records: readonly NetworkRecord[], six: boolean, mended: string[]): Promise<void> {
    const requests: NetlinkRequest[] = [];
    const ruled = hasChain(router, ROUTER_TABLE);
    if (!ruled) requests.push(...routerSettings, { op: "nft", commands: routerRules(uplink, hasTable(router, ROUTER_TABLE)) });
    if (!router.links.some((l) => l.name === ROUTER_UPLINK && l.up)) requests.push({ op: "link-set", name: ROUTER_UPLINK, up: true });
    requests.push(...missingAddresses(router, ROUTER_UPLINK, [`${uplink.router4}/${UPLINK_LENGTH[4]}`, ...(six ? [`${uplink.router6}/${UPLINK_LENGTH[6]}`] : [])]));
    const index = router.links.find((l) => l.name === ROUTER_UPLINK)?.index;
    for (const [destination, gateway] of [["0.0.0.0/0", uplink.host4], ["::/0", uplink.host6]] as const) {
      if (destination === "::/0" && !six) continue;
      if (router.routes.some((r) => r.destination === destination && r.gateway === gateway && r.index === index)) continue;
      requests.push({ op: "route-add", destination, gateway, link: ROUTER_UPLINK });
    }
    if (requests.length > 0) mended.push(ruled ? "the router's uplink" : "the router's rules");
    const bridges = missingBridges(router, records);
    requests.push(...bridges.flatMap((b) => b.requests));
    mended.push(...bridges.map((b) => b.what));
    await this.#router.run(requests);
    for (const name of strayBridges(router, records)) {
      await ignoring(this.#router.run([{ op: "link-delete", name }]), "ENODEV"); // whoever removes it may be quicker
      mended.push(`bridge ${name} of no network`);
    }
  }

  async removeRoutes(record: NetworkRecord): Promise<void> {
    const uplink = this.uplink();
    if (uplink === undefined) return;
    for (const destination of [record.subnet4, record.subnet6])
      if (destination !== undefined) await ignoring(this.#host.run([{ op: "route-delete", destination, link: uplink.link }]), "ESRCH", "ENODEV");
  }

  /** Takes some ten milliseconds (RCU), and needs no lock: `ensure` knows a bridge without a record. */
  async removeBridge(record: NetworkRecord): Promise<void> {
    await ignoring(this.#router.run([{ op: "link-delete", name: record.bridge }]), "ENODEV", "ENOENT", "EINVAL");
  }

  /** Everything goes; what we changed on the host goes back. Names come from the data root, so a lost file hinders nothing. */
  async teardown(): Promise<void> {
    const uplink = (this.uplink()) ?? uplinkFor(this.#root.root, "", 1500, []);
    if (!existsSync(this.#file) && !existsSync(paths.router(this.#root)) && !hostHas(uplink.link)) return;
    const host = await this.#host.observe();
    await closeForeignFilters(this.#host, host, uplink.link);
    // Each waits for the kernel (RCU); together they wait once. The bridges go with their namespace.
    const gone: Promise<void>[] = [];
    if (host.links.some((l) => l.name === uplink.link)) gone.push(ignoring(this.#host.run([{ op: "link-delete", name: uplink.link }]), "ENODEV"));
    if (hasTable(host, uplink.table)) gone.push(ignoring(this.#host.run([{ op: "nft", commands: [{ cmd: "delete-table", family: "inet", table: uplink.table }] }]), "ENOENT"));
    await Promise.all(gone);
    await this.#restore(uplink, host);
    await this.#native.removeNetns(paths.router(this.#root));
    rmSync(this.#file, { force: true });
  }

  async #restore(uplink: Uplink, host: Observed): Promise<void> {
    const bootId = currentBoot();
    // Somebody who came later may rely on forwarding by now.
    if (uplink.bootId !== bootId || newForwarders(host, uplink).length > 0) return;
    for (const [name, value] of Object.entries(uplink.changed)) await this.#host.run([{ op: "sysctl", name, value, optional: true }]);
  }
}

/** Settings of the router's namespace: it routes, by every way, and looks at no bridged packet. */
const routerSettings: readonly NetlinkRequest[] = [
  { op: "sysctl", name: "net/ipv4/ip_forward", value: "1" },
  { op: "sysctl", name: "net/ipv4/conf/all/rp_filter", value: "0" },
  { op: "sysctl", name: "net/ipv4/conf/default/rp_filter", value: "0" },
  { op: "sysctl", name: `net/ipv4/conf/${ROUTER_UPLINK}/rp_filter`, value: "0" },
  { op: "sysctl", name: "net/ipv4/conf/all/send_redirects", value: "0" },
  { op: "sysctl", name: "net/ipv4/conf/default/send_redirects", value: "0" },
  { op: "sysctl", name: "net/ipv6/conf/all/forwarding", value: "1", optional: true },
  { op: "sysctl", name: "net/ipv6/conf/default/accept_dad", value: "0", optional: true },
  { op: "sysctl", name: `net/ipv6/conf/${ROUTER_UPLINK}/accept_dad`, value: "0", optional: true },
  { op: "sysctl", name: "net/bridge/bridge-nf-call-iptables", value: "0", optional: true },
  { op: "sysctl", name: "net/bridge/bridge-nf-call-ip6tables", value: "0", optional: true },
  { op: "sysctl", name: "net/bridge/bridge-nf-call-arptables", value: "0", optional: true },
];

const hasTable = (observed: Observed, table: string): boolean => observed.chains.some((c) => c.family === "inet" && c.table === table);
const hasChain = (observed: Observed, table: string): boolean => observed.chains.some((c) => c.family === "inet" && c.table === table && c.chain === MARK_CHAIN);

function missingAddresses(observed: Observed, link: string, wanted: readonly string[]): readonly NetlinkRequest[] {
  const index = observed.links.find((l) => l.name === link)?.index;
  return wanted.filter((address) => !observed.addresses.some((a) => a.index === index && a.address === address)).map((address) => ({ op: "address-add", link, address }));
}

/** No larger than the way out: a tunnel's 1420 would else break what does not find out by itself. */
export function pathMtu(host: Observed): number {
  const way = host.routes.find((r) => r.unicast && r.destination === "0.0.0.0/0");
  const mtu = host.links.find((l) => l.index === way?.index)?.mtu ?? 1500;
  return Math.max(1280, Math.min(1500, mtu));
}

/** By procfs: it shows the network namespace of who reads it; /sys shows that of who mounted it (`nsenter --net` leaves the old one). */
const hostHas = (link: string): boolean => existsSync(`/proc/sys/net/ipv4/conf/${link}`);

const currentBoot = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();

async function ignoring(work: Promise<unknown>, ...names: readonly string[]): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!errnoIs(error, ...names)) throw error;
  }
}
