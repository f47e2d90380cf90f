import { existsSync, readFileSync, watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { join } from "node:path";
import { containerCgroups, paths, readMounts } from "../core/index.ts";
import type { ContainerId, DataRoot } from "../core/index.ts";

/** Files of a control group that hold a limit (and not a counter, or the list of its processes). */
const limitFile = /^(memory|cpu|cpuset|pids|blkio|io|hugetlb)\./;

/**
 * Notices what changes behind our back, from the kernel's news alone: nothing here looks again and again.
 *
 * Watched are the directories of containers, networks and volumes, for what disappears, and the control groups of
 * running containers that have limits, for what is written there. Links, addresses and rules are watched by `networks`.
 */
export class DriftWatch {
  readonly #root: DataRoot;
  readonly #onDrift: (container?: ContainerId) => void;
  readonly #stores: FSWatcher[] = [];
  readonly #limits = new Map<ContainerId, readonly FSWatcher[]>();
  /** What the limit files held when they were right. */
  readonly #right = new Map<string, string>();
  readonly #written = new Map<ContainerId, Set<string>>();

  /** `onDrift` is called with the container whose limits were written, or without where something may have disappeared. */
  constructor(root: DataRoot, onDrift: (container?: ContainerId) => void) {
    this.#root = root;
    this.#onDrift = onDrift;
  }

  /** From now on. Idempotent. `interests`: does a name below a store concern the project? */
  open(interests: (store: "containers" | "networks" | "volumes", name: string) => boolean): void {
    if (this.#stores.length > 0) return;
    for (const store of ["containers", "networks", "volumes"] as const) {
      const directory = paths[store](this.#root);
      const watcher = watchQuietly(directory, (name) => {
        if (interests(store, name) && !existsSync(join(directory, name))) this.#onDrift();
      });
      if (watcher !== undefined) this.#stores.push(watcher);
    }
  }

  /** The limits of a container that runs as `pid`. */
  async follow(id: ContainerId, pid: number): Promise<void> {
    if (this.#limits.has(id)) return;
    this.#limits.set(id, []);
    const groups = await containerCgroups(id, pid, await readMounts());
    if (!this.#limits.has(id)) return; // it ended meanwhile
    this.#limits.set(
      id,
      groups.flatMap(({ directory }) => watchQuietly(directory, (name) => {
          this.#note(id, join(directory, name), name);
        }) ?? []),
    );
  }

  unfollow(id: ContainerId): void {
    for (const watcher of this.#limits.get(id) ?? []) watcher.close();
    this.#limits.delete(id);
    this.#written.delete(id);
    for (const path of this.#right.keys()) if (path.includes(id)) this.#right.delete(path);
  }

  /** Has somebody written a limit of it since it was settled? */
  isWritten(id: ContainerId): boolean {
    return this.#written.has(id);
  }

  /** Its limits were looked at or set again: they are right as they are now. */
  settled(id: ContainerId): void {
    for (const path of this.#written.get(id) ?? []) this.#right.set(path, content(path));
    this.#written.delete(id);
  }

  #note(id: ContainerId, path: string, name: string): void {
    // Setting it right is a write too: the same value again is no news.
    if (!limitFile.test(name) || this.#right.get(path) === content(path)) return;
    this.#written.set(id, (this.#written.get(id) ?? new Set()).add(path));
    this.#onDrift(id);
  }

  close(): void {
    for (const watcher of this.#stores) watcher.close();
    for (const id of [...this.#limits.keys()]) this.unfollow(id);
  }
}

function watchQuietly(directory: string, tell: (name: string) => void): FSWatcher | undefined {
  try {
    const watcher = watch(directory, { persistent: false }, (_, name) => {
      if (name !== null) tell(name);
    });
    watcher.on("error", () => {
      watcher.close();
    });
    return watcher;
  } catch {
    return undefined; // not there, or no watches left: what it would have told is found by the next look
  }
}

function content(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
