import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { readdir } from "node:fs/promises";
import { parseContainerId, paths } from "../core/index.ts";
import type { ContainerId, DataRoot } from "../core/index.ts";
import type { DnsEntry, DnsView } from "../network/index.ts";
import type { ContainerRecord, ContainerStatus } from "../runtime/index.ts";

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

/**
 * Containers of other projects that share one of our networks. The kernel tells when a container directory
 * comes, goes or changes its state; nothing is polled.
 */
export class ForeignContainers {
  readonly #root: DataRoot;
  readonly #project: string;
  readonly #read: () => Promise<readonly NamedContainer[]>;
  readonly #shares: (network: string) => boolean;
  #containers: readonly NamedContainer[] = [];
  #watchers = new Map<ContainerId | "", FSWatcher>();
  #reading: Promise<void> | undefined;
  #again = false;

  constructor(root: DataRoot, project: string, read: () => Promise<readonly NamedContainer[]>, shares: (network: string) => boolean) {
    this.#root = root;
    this.#project = project;
    this.#read = read;
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
    this.#watch("", paths.containers(this.#root));
    const directories = (await readdir(paths.containers(this.#root)).catch(() => [])).flatMap((name) => parseContainerId(name) ?? []);
    let all = await this.#read();
    // A container's directory is there before its record, and only who watches the directory sees that come.
    const made = new Set(all.map((c) => c.record.id));
    const making = directories.filter((id) => !made.has(id));
    if (making.map((id) => this.#watch(id, paths.container(this.#root, id))).includes(true)) all = await this.#read();
    this.#containers = all.filter(
      ({ record }) => record.project !== this.#project && record.networks.some((a) => this.#shares(a.network)),
    );
    const wanted = new Set<ContainerId | "">(["", ...making, ...this.#containers.map((c) => c.record.id)]);
    for (const [id, watcher] of this.#watchers) {
      if (wanted.has(id)) continue;
      watcher.close();
      this.#watchers.delete(id);
    }
    for (const { record } of this.#containers) this.#watch(record.id, paths.container(this.#root, record.id));
  }

  /** True where it was not watched before. */
  #watch(id: ContainerId | "", path: string): boolean {
    if (this.#watchers.has(id)) return false;
    try {
      const watcher = watch(path, { persistent: false }, (_event, file) => {
        if (id === "" || file === "container.json" || file === "state.json") void this.refresh();
      });
      watcher.on("error", () => {
        watcher.close();
        this.#watchers.delete(id);
      });
      this.#watchers.set(id, watcher);
      return true;
    } catch {
      return false; // It went while we looked; the parent's watcher tells.
    }
  }
}
