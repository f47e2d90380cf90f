import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { paths, shortId, StackError, sweepHalfWritten } from "../core/index.ts";
import type { ContainerId, DataRoot } from "../core/index.ts";
import { errnoIs, nativeStackError } from "../native/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { addressing, allocate } from "./allocate.ts";
import type { Addressing, Taken } from "./allocate.ts";
import { openDns } from "./dns/index.ts";
import { parsePrefix } from "./ip.ts";
import type { Prefix } from "./ip.ts";
import { takenPrefixes } from "./kernel.ts";
import type { Observed } from "./kernel.ts";
import { driverOptions } from "./options.ts";
import { Records } from "./records.ts";
import { pathMtu, Router } from "./router.ts";
import { INTERNAL_BRIDGE, keysOf, OPEN_BRIDGE } from "./rules.ts";
import type { Dns, Endpoint, EndpointRequest, LedPort, NetworkRecord, NetworkRequest, Networks } from "./types.ts";

export function openNetworks(root: DataRoot, native: NativeBinding): Networks {
  return new DataRootNetworks(root, native);
}

/** A container that is being made has an address before it has a directory; nobody takes that away meanwhile. */
const BEING_MADE_MS = 60_000;

/** How long after the first change of somebody's filters we look. */
const SETTLE_MS = 250;

interface Connected {
  readonly network: NetworkRecord;
  readonly endpoint: Endpoint;
}

interface Joining {
  readonly requests: readonly EndpointRequest[];
  readonly resolve: (connected: readonly Connected[]) => void;
  readonly reject: (error: unknown) => void;
}

class DataRootNetworks implements Networks {
  readonly #root: DataRoot;
  readonly #native: NativeBinding;
  readonly #records: Records;
  readonly #router: Router;
  #turn: Promise<unknown> = Promise.resolve();
  /** Who wants addresses, and who gives them back, in the next turn. */
  readonly #joining: Joining[] = [];
  readonly #leaving = new Set<ContainerId>();
  #left: Promise<void> | undefined;
  #warnings: readonly string[] = [];

  constructor(root: DataRoot, native: NativeBinding) {
    this.#root = root;
    this.#native = native;
    this.#records = new Records(root);
    this.#router = new Router(root, native);
  }

  async list(): Promise<readonly NetworkRecord[]> {
    return this.#records.all();
  }

  async find(nameOrId: string): Promise<NetworkRecord | undefined> {
    const all = this.#records.all();
    return all.find((r) => r.name === nameOrId) ?? all.find((r) => nameOrId.length >= 12 && r.id.startsWith(nameOrId));
  }

  create(request: NetworkRequest, signal: AbortSignal): Promise<NetworkRecord> {
    const options = driverOptions(request);
    return this.#locked(`create network "${request.name}"`, async () => {
      const all = this.#records.all();
      const existing = all.find((r) => r.name === request.name);
      if (existing !== undefined) {
        await this.#ensure(all);
        return existing;
      }
      const refused: Prefix[] = [];
      for (;;) {
        signal.throwIfAborted();
        const host = await this.#router.host.observe();
        const record = this.#newRecord(request, options.mtu, all, refused, host);
        this.#records.write(record);
        try {
          await this.#ensure([...all, record], options.warnings, host);
          return record;
        } catch (error) {
          await this.#undo(record, all);
          // Somebody else (another data root) took that subnet since we looked: the next one then.
          const subnet = parsePrefix(record.subnet4 ?? "");
          const chosen = !request.ipam.some((entry) => entry.subnet !== undefined);
          if (!(error instanceof StackError && error.code === "address-taken") || !chosen || subnet === undefined || refused.length > 8) throw error;
          refused.push(subnet);
        }
      }
    });
  }

  #newRecord(request: NetworkRequest, mtu: number | undefined, all: readonly NetworkRecord[], refused: readonly Prefix[], host: Observed): NetworkRecord {
    const uplink = this.#router.uplink();
    const ours = all.flatMap((r): Taken[] => [r.subnet4, r.subnet6].flatMap((text) => (text === undefined ? [] : (parsePrefix(text) ?? []))).map((prefix) => ({ prefix, network: r.name })));
    const place: Addressing = addressing(request, this.#root.root, ours, [...takenPrefixes(host, uplink?.link), ...refused]);
    const id = randomBytes(32).toString("hex");
    return {
      version: 1,
      id,
      name: request.name,
      project: request.project,
      key: request.key,
      configHash: request.configHash,
      labels: request.labels,
      driver: request.driver ?? "bridge",
      internal: request.internal,
      bridge: `${request.internal ? INTERNAL_BRIDGE : OPEN_BRIDGE}${id}`.slice(0, 15),
      mtu: mtu ?? pathMtu(host),
      ...place,
      createdAt: new Date().toISOString(),
      endpoints: {},
    };
  }

  async #undo(record: NetworkRecord, others: readonly NetworkRecord[]): Promise<void> {
    await this.#router.removeRoutes(record);
    if (others.length === 0) await this.#router.teardown();
    else await this.#router.removeBridge(record);
    this.#records.remove(record.id);
  }

  async #ensure(records: readonly NetworkRecord[], more: readonly string[] = [], host?: Observed): Promise<readonly string[]> {
    const { mended, warnings } = await this.#router.ensure(records, host);
    this.#warnings = [...new Set([...more, ...warnings])];
    return mended;
  }

  async remove(id: string): Promise<void> {
    const left = await this.#locked(`remove network ${id.slice(0, 12)}`, async () => {
      const record = this.#records.read(id);
      if (record !== undefined) {
        const holders = (Object.keys(record.endpoints) as ContainerId[]).filter((c) => existsSync(paths.container(this.#root, c)));
        if (holders.length > 0)
          throw new StackError("network-in-use", `Network "${record.name}" is used by ${holders.map((c) => this.#records.containerName(c)).join(", ")}`, {
            hint: "Remove these containers first.",
            details: { network: record.name, containers: holders.map((c) => shortId(c)) },
          });
      }
      const last = this.#records.all().every((other) => other.id === id);
      // The record goes last: as long as there is one, whoever comes after a crash knows that there is something to take down.
      if (last) await this.#router.teardown();
      else if (record !== undefined) await this.#router.removeRoutes(record);
      this.#records.remove(id);
      return last ? undefined : record;
    });
    if (left === undefined) return;
    // Removing a link holds the kernel's lock on all of them for tens of milliseconds. Where more is going on
    // (a whole stack goes down), the last one may take everything with it at once.
    let turn: Promise<unknown>;
    do {
      turn = this.#turn;
      await turn;
    } while (turn !== this.#turn);
    if (this.#router.stands()) await this.#router.removeBridge(left);
  }

  repair(signal: AbortSignal): Promise<readonly string[]> {
    return this.#locked("repair networks", async () => {
      signal.throwIfAborted();
      const all = this.#records.all();
      if (all.length > 0) return this.#ensure(all);
      await this.#router.teardown();
      return [];
    });
  }

  watch(signal: AbortSignal, looked: (mended: readonly string[], error?: unknown) => void): void {
    let timer: NodeJS.Timeout | undefined;
    const look = (): void => {
      timer = undefined;
      if (signal.aborted || this.#records.all().length === 0) return;
      this.repair(signal).then(
        (mended) => {
          if (!signal.aborted) looked(mended);
        },
        (error: unknown) => {
          if (!signal.aborted) looked([], error);
        },
      );
    };
    // A reload is a burst of changes; looking between two of them would find half a filter.
    const watching = this.#native.watchFilters(() => {
      timer ??= setTimeout(look, SETTLE_MS).unref();
    });
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        watching.close();
      },
      { once: true },
    );
    if (signal.aborted) watching.close();
  }

  /** Whoever asks while others wait is served in their turn: one lock, one reading and one writing for many containers. */
  connect(requests: readonly EndpointRequest[]): Promise<readonly Connected[]> {
    return new Promise((resolve, reject) => {
      this.#joining.push({ requests, resolve, reject });
      if (this.#joining.length > 1) return;
      this.#locked("connect to networks", () => this.#connectAll()).catch((error: unknown) => {
        for (const waiting of this.#joining.splice(0)) waiting.reject(error);
      });
    });
  }

  async #connectAll(): Promise<void> {
    if (!this.#router.stands()) await this.#ensure(this.#records.all());
    const known = new Map<string, NetworkRecord>();
    const served: (() => void)[] = [];
    const joining = this.#joining.splice(0);
    try {
      for (const { requests, resolve, reject } of joining) {
        try {
          const connected = this.#allocate(requests, known);
          // All are decided before the first is written: a conflict leaves nothing behind.
          for (const { network } of connected) known.set(network.id, network);
          served.push(() => resolve(connected));
        } catch (error) {
          reject(error);
        }
      }
      for (const network of known.values()) this.#records.write(network);
    } catch (error) {
      for (const { reject } of joining) reject(nativeStackError(error, "Cannot connect to networks"));
      return;
    }
    for (const tell of served) tell();
  }

  #allocate(requests: readonly EndpointRequest[], known: ReadonlyMap<string, NetworkRecord>): readonly Connected[] {
    const connected: Connected[] = [];
    for (const request of requests) {
      const before = connected.find((c) => c.network.id === request.network)?.network ?? known.get(request.network) ?? this.#records.read(request.network);
      if (before === undefined)
        throw new StackError("no-such-network", `Network ${request.network.slice(0, 12)} does not exist`, { hint: "Run `stack up`, which makes it." });
      const endpoint: Endpoint = { allocatedAt: new Date().toISOString(), ...allocate(before, request, (c) => this.#records.containerName(c)) };
      connected.push({ network: { ...before, endpoints: { ...before.endpoints, [request.container]: endpoint } }, endpoint });
    }
    return connected;
  }

  disconnect(container: ContainerId): Promise<void> {
    this.#leaving.add(container);
    if (this.#left !== undefined) return this.#left;
    const turn = this.#locked("disconnect containers", async () => {
      const leaving = new Set(this.#leaving);
      this.#leaving.clear();
      this.#left = undefined;
      this.#drop((id) => leaving.has(id));
    });
    turn.catch(() => {
      if (this.#left === turn) this.#left = undefined;
    });
    return (this.#left = turn);
  }

  sweep(existing: ReadonlySet<ContainerId>): Promise<void> {
    const young = Date.now() - BEING_MADE_MS;
    return this.#locked("give addresses back", async () => {
      for (const directory of [paths.networks(this.#root), dirname(paths.router(this.#root))]) sweepHalfWritten(directory);
      this.#drop((id, endpoint) => {
        if (existing.has(id) || existsSync(paths.container(this.#root, id))) return false;
        return endpoint.allocatedAt === undefined || Date.parse(endpoint.allocatedAt) < young;
      });
    });
  }

  /** Under the lock. */
  #drop(gone: (id: ContainerId, endpoint: Endpoint) => boolean): void {
    for (const record of this.#records.all()) {
      const entries = Object.entries(record.endpoints) as [ContainerId, Endpoint][];
      const left = entries.filter(([id, endpoint]) => !gone(id, endpoint));
      if (left.length < entries.length) this.#records.write({ ...record, endpoints: Object.fromEntries(left) });
    }
  }

  dns(signal: AbortSignal): Promise<Dns> {
    return Promise.resolve(openDns({ signal }));
  }

  async hostAddress(): Promise<string | undefined> {
    return this.#router.uplink()?.host4;
  }

  warnings(): readonly string[] {
    return this.#warnings;
  }

  async withdraw(ports: readonly LedPort[]): Promise<void> {
    const table = this.#router.uplink()?.table;
    if (table === undefined) return;
    for (const { set, key } of ports.flatMap(keysOf)) {
      const commands = [{ cmd: "delete-elements", family: "inet", table, set, elements: [{ key }] }];
      await this.#native.netlink("", [{ op: "nft", commands }]).catch(() => undefined); // it is gone already
    }
  }

  async natTable(): Promise<string | undefined> {
    return this.#router.uplink()?.table;
  }

  /** One at a time in this process, and under a kernel lock among processes. */
  #locked<T>(doing: string, work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(async () => {
      const lock = await this.#lock();
      try {
        return await work();
      } catch (error) {
        if (error instanceof StackError || (error instanceof Error && error.name === "AbortError")) throw error;
        throw nativeStackError(error, `Cannot ${doing}`);
      } finally {
        this.#native.close(lock);
      }
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #lock(): Promise<number> {
    const path = join(this.#root.root, "locks", "networks.lock");
    let fd: number;
    try {
      fd = this.#native.lock(path, "exclusive", false);
    } catch (error) {
      if (!errnoIs(error, "ENOENT")) throw nativeStackError(error, "Cannot lock the networks");
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      fd = this.#native.lock(path, "exclusive", false);
    }
    return fd >= 0 ? fd : this.#native.lockWait(path, "exclusive").promise;
  }
}
