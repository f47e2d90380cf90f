/**
 * A machine made of network namespaces: the host (with a data root), an outside that is connected to it, and
 * containers as a monitor would connect them. Nothing in it can reach the real machine's network.
 */
import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { findAddon } from "../../../src/native/load.ts";
import type { Endpoint, EndpointRequest, NetworkRecord, NetworkRequest } from "../../../src/network/index.ts";

const repository = fileURLToPath(new URL("../../..", import.meta.url));
const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

export class RoomError extends Error {
  readonly code: string | undefined;
  readonly hint: string | undefined;

  constructor(reply: { readonly error?: string; readonly code?: string; readonly hint?: string }) {
    super(reply.error ?? "");
    this.code = reply.code;
    this.hint = reply.hint;
  }
}

/** The network room, running inside the host's namespace. */
class Driver {
  readonly process: ChildProcess;
  readonly #open = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #next = 1;

  constructor(command: readonly string[]) {
    const [file = "", ...args] = command;
    this.process = spawn(file, args, { stdio: ["ignore", "inherit", "inherit", "ipc"], env: { PATH } });
    this.process.on("message", (reply: { readonly id: number; readonly value?: unknown; readonly error?: string }) => {
      const call = this.#open.get(reply.id);
      this.#open.delete(reply.id);
      if (reply.error === undefined) call?.resolve(reply.value);
      else call?.reject(new RoomError(reply));
    });
    this.process.on("exit", () => {
      for (const call of this.#open.values()) call.reject(new Error("the driver has ended"));
      this.#open.clear();
    });
  }

  ready(): Promise<unknown> {
    return new Promise((resolve, reject) => this.#open.set(0, { resolve, reject }));
  }

  /** The driver listens from now on. */
  watching(): Promise<unknown> {
    return new Promise((resolve, reject) => this.#open.set(-1, { resolve, reject }));
  }

  call<T>(root: string, method: string, ...args: readonly unknown[]): Promise<T> {
    const id = this.#next++;
    return new Promise<T>((resolve, reject) => {
      this.#open.set(id, { resolve: (value) => resolve(value as T), reject });
      this.process.send({ id, root, method, args });
    });
  }
}

/** A place where programs run: a network namespace. */
export class Place {
  readonly netns: string;
  readonly #served: ChildProcess[] = [];

  constructor(netns: string) {
    this.netns = netns;
  }

  run(...command: readonly string[]): string {
    return execFileSync("nsenter", [`--net=${this.netns}`, "--", ...command], { encoding: "utf8", env: { PATH }, stdio: ["ignore", "pipe", "pipe"] });
  }

  sh(script: string): string {
    return this.run("sh", "-ec", script);
  }

  /** A server that answers every connection (or datagram) with the peer's address, then `name`. */
  async serve(name: string, port: number, options: { readonly udp?: boolean; readonly address?: string } = {}): Promise<void> {
    const child = spawn("nsenter", [`--net=${this.netns}`, "--", "python3", "-c", server, name, String(port), options.udp === true ? "udp" : "tcp", options.address ?? ""], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#served.push(child);
    await once(child.stdout, "data");
  }

  /** `ADDRESS NAME` as the server at the other end says, or what stood in the way. */
  ask(address: string, port: number, protocol: "tcp" | "udp" = "tcp"): string {
    return this.run("python3", "-c", client, address, String(port), protocol).trim();
  }

  async close(): Promise<void> {
    for (const child of this.#served.splice(0)) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
  }
}

const server = `
import socket, sys
name, port, kind, address = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
six = ":" in address or address == ""
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if six: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind((address or "::", port))
if kind == "tcp": s.listen()
print("ready", flush=True)
def said(peer): return (peer[0].replace("::ffff:", "") + " " + name).encode()
while True:
    if kind == "udp":
        data, peer = s.recvfrom(2000)
        s.sendto(said(peer), peer)
    else:
        c, peer = s.accept()
        try: c.sendall(said(peer))
        except OSError: pass
        c.close()
`;

const client = `
import socket, sys
address, port, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
s.settimeout(1)
try:
    s.connect((address, port))
    if kind == "udp": s.send(b"hello")
    print(s.recv(2000).decode())
except ConnectionRefusedError: print("refused")
except (TimeoutError, socket.timeout): print("silence")
except OSError as e: print(e.strerror)
`;

export interface Container {
  readonly place: Place;
  readonly id: string;
  readonly ip: string;
  readonly endpoint: Endpoint;
}

let containers = 0;

export class World {
  readonly scratch: string;
  readonly root: string;
  readonly host: Place;
  readonly outside: Place;
  /** Another neighbour of the host, 198.51.100.2: what comes from outside must not get there. */
  readonly lan: Place;
  readonly #driver: Driver;
  readonly #places: Place[] = [];
  readonly #probe: string;

  private constructor(scratch: string, driver: Driver, probe: string) {
    this.scratch = scratch;
    this.root = join(scratch, "root");
    this.#driver = driver;
    this.#probe = probe;
    this.host = this.#place(`/proc/${driver.process.pid ?? 0}/ns/net`);
    this.outside = this.#place(join(scratch, "outside"));
    this.lan = this.#place(join(scratch, "lan"));
  }

  /** 203.0.113.1 is the host, 203.0.113.2 the outside; 2001:db8::1 and ::2. */
  static async open(): Promise<World> {
    const scratch = mkdtempSync("/var/tmp/stack-net-");
    const addon = findAddon(repository);
    if (addon === undefined) throw new Error("the addon is not built");
    const bundle = join(scratch, "driver.mjs");
    buildSync({ entryPoints: [fileURLToPath(new URL("driver.ts", import.meta.url))], bundle: true, platform: "node", format: "esm", outfile: bundle });
    const driver = new Driver(["unshare", "--net", process.execPath, bundle, addon]);
    await driver.ready().catch((error: unknown) => {
      rmSync(scratch, { recursive: true });
      throw error;
    });
    const world = new World(scratch, driver, buildProbe(scratch));
    mkdirSync(world.root);
    world.host.sh("ip link set lo up");
    for (const [name, place] of [["eth0", world.outside], ["lan0", world.lan]] as const) {
      await world.call("createNetns", place.netns);
      await world.call("netlink", "", [{ op: "link-add-veth", name, peer: "eth0", peerNetns: place.netns, mtu: 1500 }]);
    }
    world.host.sh("ip addr add 198.51.100.1/24 dev lan0");
    world.lan.sh("ip addr add 198.51.100.2/24 dev eth0; ip link set eth0 up; ip route add default via 198.51.100.1");
    world.host.sh("sysctl -qw net.ipv4.ip_forward=0; ip addr add 203.0.113.1/24 dev eth0; ip -6 addr add 2001:db8::1/64 dev eth0 nodad; ip route add default via 203.0.113.2; ip -6 route add default via 2001:db8::2");
    world.outside.sh("ip addr add 203.0.113.2/24 dev eth0; ip -6 addr add 2001:db8::2/64 dev eth0 nodad; ip link set eth0 up");
    return world;
  }

  /** What the room mends by itself after `damage`. */
  async mendedAfter(damage: () => void): Promise<readonly string[]> {
    const watching = this.#driver.watching();
    const mended = this.call<readonly string[]>("mendedByWatching");
    await watching;
    damage();
    return mended;
  }

  /** Does this in a process that is killed before its n-th change of the kernel. True: it came to its end before that. */
  async killedAt(n: number, method: string, ...args: readonly unknown[]): Promise<boolean> {
    const driver = new Driver(["nsenter", `--net=${this.host.netns}`, "--", process.execPath, join(this.scratch, "driver.mjs"), findAddon(repository) ?? "", String(n)]);
    await driver.ready();
    const ended = once(driver.process, "exit");
    const finished = await driver.call(this.root, method, ...args).then(
      () => true,
      (error: unknown) => {
        if (error instanceof RoomError) throw error;
        return false;
      },
    );
    if (finished) driver.process.disconnect();
    await ended;
    return finished;
  }

  #place(netns: string): Place {
    const place = new Place(netns);
    this.#places.push(place);
    return place;
  }

  call<T>(method: string, ...args: readonly unknown[]): Promise<T> {
    return this.#driver.call<T>(this.root, method, ...args);
  }

  in<T>(root: string, method: string, ...args: readonly unknown[]): Promise<T> {
    mkdirSync(root, { recursive: true });
    return this.#driver.call<T>(root, method, ...args);
  }

  request(name: string): NetworkRequest {
    return { name, project: null, key: null, configHash: "", labels: {}, driverOptions: {}, internal: false, enableIpv4: true, enableIpv6: false, ipam: [] };
  }

  network(name: string, more: Partial<NetworkRequest> = {}, root = this.root): Promise<NetworkRecord> {
    return this.in<NetworkRecord>(root, "create", { ...this.request(name), ...more });
  }

  connect(...requests: readonly EndpointRequest[]): Promise<readonly { readonly network: NetworkRecord; readonly endpoint: Endpoint }[]> {
    return this.call("connect", requests);
  }

  /** A container on one network, with everything that its monitor would do. */
  async container(network: NetworkRecord, root = this.root): Promise<Container> {
    const id = (containers += 1).toString(16).padStart(64, "0");
    const [connected] = await this.in<readonly { readonly network: NetworkRecord; readonly endpoint: Endpoint }[]>(root, "connect", [{ network: network.id, container: id }]);
    if (connected === undefined) throw new Error("not connected");
    const { endpoint } = connected;
    mkdirSync(join(root, "containers", id), { recursive: true });
    const place = this.#place(join(this.scratch, `c-${id.slice(-6)}`));
    await this.call("createNetns", place.netns);
    const withLength = (ip: string | undefined, subnet: string | undefined): readonly string[] => (ip === undefined || subnet === undefined ? [] : [`${ip}/${subnet.split("/")[1] ?? ""}`]);
    const addresses = [...withLength(endpoint.ipv4, network.subnet4), ...withLength(endpoint.ipv6, network.subnet6)].join(",");
    this.probe("attach", place.netns, join(root, "netns/router"), network.bridge, endpoint.peer, "eth0", endpoint.mac, addresses, ...(network.internal ? [] : [network.gateway4 ?? "", ...(network.gateway6 === undefined ? [] : [network.gateway6])]));
    return { place, id, ip: endpoint.ipv4 ?? endpoint.ipv6 ?? "", endpoint };
  }

  async stop(container: Container, root = this.root): Promise<void> {
    await container.place.close();
    await this.call("removeNetns", container.place.netns);
    rmSync(join(root, "containers", container.id), { recursive: true });
    await this.in(root, "disconnect", container.id);
  }

  probe(...args: readonly string[]): string {
    return this.host.run(this.#probe, ...args);
  }

  /** What of ours is on the host: links, routes, rules, mounts, files. Empty when everything has gone. */
  remains(): readonly string[] {
    const links = (JSON.parse(this.host.run("ip", "-j", "link")) as readonly { readonly ifname: string }[]).map((l) => l.ifname).filter((n) => !["lo", "eth0", "lan0"].includes(n));
    const routes = this.host.sh("ip route; ip -6 route").split("\n").filter((r) => r !== "" && !r.includes("eth0") && !r.includes("lan0") && !r.includes("dev lo"));
    const rules = this.host.run("nft", "list", "ruleset").split("\n").filter((l) => /stk|stack/.test(l));
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter((l) => l.includes(`${this.scratch}/`) && l.includes("netns/router"));
    const files = execFileSync("find", [this.scratch, "-path", "*/netns/*", "-o", "-path", "*/networks/*"], { encoding: "utf8" }).split("\n").filter((f) => f !== "");
    return [...links, ...routes, ...rules, ...mounts, ...files];
  }

  async close(): Promise<void> {
    for (const place of this.#places) await place.close();
    for (const path of [...this.#places.map((p) => p.netns), join(this.root, "netns/router")]) if (!path.startsWith("/proc")) await this.call("removeNetns", path);
    const ended = once(this.#driver.process, "exit");
    this.#driver.process.disconnect();
    await ended;
    for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
      const target = line.split(" ")[4] ?? "";
      if (target.startsWith(`${this.scratch}/`)) execFileSync("umount", ["-l", target]);
    }
    rmSync(this.scratch, { recursive: true });
  }
}

function buildProbe(scratch: string): string {
  const lib = join(repository, "native/lib");
  const output = join(scratch, "network_probe");
  const sources = ["netlink", "netlink_address", "rtnl", "nft", "nft_rule", "nft_container", "xtables", "fd", "result"].map((n) => join(lib, `${n}.cc`));
  execFileSync("g++", ["-std=c++20", "-O0", "-I", lib, join(repository, "native/test/network_probe.cc"), ...sources, "-o", output], { stdio: ["ignore", "inherit", "inherit"] });
  return output;
}
