import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { paths } from "../core/index.ts";
import type { ContainerId, DataRoot } from "../core/index.ts";
import type { DnsEntry, DnsView } from "../network/index.ts";
import type { ContainerRecord, ContainerStatus, StoredContainer, Survey } from "../runtime/index.ts";

export interface NamedContainer {
  readonly record: ContainerRecord;
  readonly status: ContainerStatus;
}

/** Which containers DNS may answer with: those that have an address right now. */
const answers = (status: ContainerStatus): boolean => status === "running" || status === "paused" || status === "restarting";

/**
 * The names that each container may see: those of the containers on its networks, of other projects too.
 * Pure but for its input.
 */
export function dnsView(
  own: ContainerRecord,
  all: Iterable<NamedContainer>,
  internal: (network: string) => boolean,
  upstreams: readonly string[],
): DnsView {
  const mine = new Set(own.networks.map((attachment) => attachment.network));
  const entries: DnsEntry[] = [];
  for (const { record, status } of all) {
    if (!answers(status)) continue;
    for (const attachment of record.networks) {
      if (!mine.has(attachment.network)) continue;
      const linked = (own.links ?? []).filter((link) =>
        link.service === undefined ? link.container === record.name : link.service === record.service && record.project === own.project && !record.oneoff,
      );
      for (const name of [...attachment.aliases, ...linked.map((link) => link.alias)]) {
        entries.push({
          name,
          ...(attachment.ipv4 === undefined ? {} : { ipv4: attachment.ipv4 }),
          ...(attachment.ipv6 === undefined ? {} : { ipv6: attachment.ipv6 }),
        });
      }
    }
  }
  return { entries, upstreams, internal: own.networks.length > 0 && own.networks.every((a) => internal(a.network)) };
}

/** Where `ForeignContainers` looks: the store of containers. */
export interface ForeignSource {
  survey(): Survey;
  list(wanted: (record: ContainerRecord) => boolean): Promise<readonly StoredContainer[]>;
}

/**
 * Containers of other projects that share one of our networks. The kernel tells when a container directory
 * comes, goes or changes its state; nothing is polled.
 */
export class ForeignContainers {
  readonly #root: DataRoot;
  readonly #project: string;
  readonly #source: ForeignSource;
  readonly #shares: (network: string) => boolean;
  #containers: readonly StoredContainer[] = [];
  #watchers = new Map<ContainerId | "", FSWatcher>();
  #reading: Promise<void> | undefined;
  #again = false;

  constructor(root: DataRoot, project: string, source: ForeignSource, shares: (network: string) => boolean) {
    this.#root = root;
    this.#project = project;
    this.#source = source;
    this.#shares = shares;
  }

  get all(): readonly NamedContainer[] {
    return this.#containers;
  }

  /** Begins to look; call again when the set of our networks has changed. */
  refresh(): Promise<void> {
    if (this.#reading !== undefined) {
      this.#again = true;
      return this.#reading;
    }
    this.#reading = this.#look().finally(() => {
      this.#reading = undefined;
      if (this.#again) {
        this.#again = false;
        void this.refresh();
      }
    });
    return this.#reading;
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  async #look(): Promise<void> {
    // Many changes at once are one look.
    await new Promise((resolve) => setImmediate(resolve));
    this.#watch("", paths.containers(this.#root));
    // A container's directory is there before its record, and only who watches the directory sees that come.
    const { making } = this.#source.survey();
    for (const id of making) this.#watch(id, paths.container(this.#root, id));
    this.#containers = await this.#source.list((record) => record.project !== this.#project && record.networks.some((a) => this.#shares(a.network)));
    const wanted = new Set<ContainerId | "">(["", ...making, ...this.#containers.map((c) => c.record.id)]);
    for (const [id, watcher] of this.#watchers) {
      if (wanted.has(id)) continue;
      watcher.close();
      this.#watchers.delete(id);
    }
    for (const { record } of this.#containers) this.#watch(record.id, paths.container(this.#root, record.id));
  }

  #watch(id: ContainerId | "", path: string): void {
    if (this.#watchers.has(id)) return;
    try {
      const watcher = watch(path, { persistent: false }, (_event, file) => {
        if (id === "" || file === "container.json" || file === "state.json") void this.refresh();
      });
      watcher.on("error", () => {
        watcher.close();
        this.#watchers.delete(id);
      });
      this.#watchers.set(id, watcher);
    } catch {
      // It went while we looked; the parent's watcher tells.
    }
  }
}
