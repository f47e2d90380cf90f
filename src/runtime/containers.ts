import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { basename, join } from "node:path";
import { mountsBelow, namesIn, parseContainerId, paths, readIfThere, readMounts, replaceFile, StackError } from "../core/index.ts";
import type { ContainerId, DataRoot, HostPath, MountEntry } from "../core/index.ts";
import { errnoIs } from "../native/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { removeCgroups, removeProjectCgroups } from "./cgroup-leftovers.ts";
import type { ContainerRecord, ContainerState, ContainerStatus, MonitorSpec } from "./formats.ts";
import type { OciConfig, OciMount } from "./oci.ts";
import { serializeOciConfig } from "./oci-config.ts";
import { readRecord, readState, statusOf } from "./state.ts";

export interface StoredContainer {
  readonly record: ContainerRecord;
  readonly directory: HostPath;
  /** Absent: never started. */
  readonly state?: ContainerState;
  readonly status: ContainerStatus;
}

export interface ContainerFiles {
  readonly record: ContainerRecord;
  readonly config: OciConfig;
  readonly monitor: MonitorSpec;
}

/** A container that is being made: nobody sees it before `commit`; without it, disposing removes everything. */
export interface Creation extends AsyncDisposable {
  readonly id: ContainerId;
  readonly directory: HostPath;
  commit(files: ContainerFiles): Promise<void>;
}

/** What a look at the records alone tells. */
export interface Survey {
  readonly records: readonly ContainerRecord[];
  /** Directories without a record that other processes have made: their containers are about to be there. */
  readonly making: readonly ContainerId[];
}

/** The containers of one data root, on disk. */
export interface ContainerStore {
  /** Every container of every project, by name; with `wanted`, those whose record it takes. */
  list(wanted?: (record: ContainerRecord) => boolean): Promise<readonly StoredContainer[]>;
  survey(): Survey;
  /** By name, id or unique beginning of an id. */
  find(nameOrId: string): Promise<StoredContainer | undefined>;
  /** Reserves name and id. Two processes never get the same name. */
  reserve(name: string): Promise<Creation>;
  /** Everything of it: mounts, cgroups, files. The caller has stopped it. Idempotent. */
  remove(id: ContainerId): Promise<void>;
  /** As `remove`, but for the deletion of what nobody sees any more: its files, its project's cgroup. `deleted` waits for that. */
  discard(id: ContainerId): Promise<{ readonly deleted: Promise<void> }>;
  /** What processes that died left half made or half removed. */
  sweep(): Promise<void>;
}

type StoreNative = Pick<NativeBinding, "isLocked" | "lock" | "lockWait" | "close" | "unmount" | "removeTree">;

export function openContainers(root: DataRoot, native: StoreNative): ContainerStore {
  return new DirectoryStore(root, native);
}

/** While this file of a directory without `container.json` is locked, its maker lives. It holds the name. */
const reservation = "creating";

class DirectoryStore implements ContainerStore {
  readonly #root: DataRoot;
  readonly #native: StoreNative;
  /** Records never change. */
  readonly #records = new Map<ContainerId, ContainerRecord>();
  /** The names of those that we are making. */
  readonly #making = new Map<ContainerId, string>();

  constructor(root: DataRoot, native: StoreNative) {
    this.#root = root;
    this.#native = native;
  }

  async list(wanted: (record: ContainerRecord) => boolean = () => true): Promise<readonly StoredContainer[]> {
    const found = this.survey().records.flatMap((record) => (wanted(record) ? (this.#read(record.id) ?? []) : []));
    return found.sort((a, b) => (a.record.name < b.record.name ? -1 : 1));
  }

  survey(): Survey {
    const ids = this.#ids();
    for (const known of this.#records.keys()) if (!ids.has(known)) this.#records.delete(known);
    const records: ContainerRecord[] = [];
    const making: ContainerId[] = [];
    for (const id of ids) {
      const record = this.#record(id);
      if (record !== undefined) records.push(record);
      else if (!this.#making.has(id)) making.push(id);
    }
    return { records, making };
  }

  async find(nameOrId: string): Promise<StoredContainer | undefined> {
    const id = parseContainerId(nameOrId);
    if (id !== undefined) return this.#read(id);
    const { records } = this.survey();
    const byName = records.find((record) => record.name === nameOrId);
    if (byName !== undefined) return this.#read(byName.id);
    if (!/^[0-9a-f]+$/.test(nameOrId)) return undefined;
    const byPrefix = records.filter((record) => record.id.startsWith(nameOrId));
    return byPrefix.length === 1 && byPrefix[0] !== undefined ? this.#read(byPrefix[0].id) : undefined;
  }

  async reserve(name: string): Promise<Creation> {
    if (!existsSync(paths.containers(this.#root))) mkdirSync(paths.containers(this.#root), { recursive: true, mode: 0o700 });
    return this.#underNamesLock(() => {
      this.#refuseTaken(name);
      const id = newId();
      const directory = paths.container(this.#root, id);
      const held = this.#hold(directory, name);
      this.#making.set(id, name);
      return new PendingContainer(id, directory, {
        committed: (record) => {
          this.#records.set(id, record);
          this.#making.delete(id);
          this.#native.close(held);
        },
        discard: async () => {
          await this.#remove(id);
          this.#making.delete(id);
          this.#native.close(held);
        },
      });
    });
  }

  /** Makes the directory with its reservation, or nothing. */
  #hold(directory: HostPath, name: string): number {
    let held = -1;
    try {
      mkdirSync(directory, { mode: 0o700 });
      mkdirSync(join(directory, "log"), { mode: 0o700 });
      held = this.#native.lock(join(directory, reservation), "exclusive", false);
      writeSync(held, name);
      return held;
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      if (held >= 0) this.#native.close(held);
      throw error;
    }
  }

  async remove(id: ContainerId): Promise<void> {
    await (await this.discard(id)).deleted;
  }

  async discard(id: ContainerId): Promise<{ readonly deleted: Promise<void> }> {
    const directory = paths.container(this.#root, id);
    const path = cgroupPathOf(directory);
    const record = this.#record(id);
    const lock = this.#monitorsLock(id, directory);
    let trash: string | undefined;
    try {
      trash = await this.#setAside(id);
    } finally {
      if (lock !== undefined) this.#native.close(lock);
    }
    const left = path === undefined || record === undefined ? undefined : this.#leaveProject(record.project, path);
    const deleted = Promise.all([left, trash === undefined ? undefined : this.#native.removeTree(trash)]).then(() => undefined);
    deleted.catch(() => undefined); // whoever waits for it is told
    return { deleted };
  }

  /** Held, so that no monitor that somebody is just starting, to take it over, begins to work in a directory that goes. */
  #monitorsLock(id: ContainerId, directory: HostPath): number | undefined {
    let lock: number;
    try {
      lock = this.#native.lock(join(directory, "lock"), "exclusive", false);
    } catch (error) {
      if (errnoIs(error, "ENOENT")) return undefined; // another process was quicker
      // Never started, and no room for a file now: removing is what makes room.
      if (errnoIs(error, "ENOSPC", "EDQUOT")) return undefined;
      throw error;
    }
    if (lock >= 0) return lock;
    throw new StackError("internal", `Container ${id.slice(0, 12)} cannot be removed: its monitor runs`, { hint: "Stop the container first." });
  }

  /**
   * Removes the project's cgroup with its last container. Under the names' lock: a container that is only reserved now
   * is committed, and its monitor makes its directories, after the few system calls that this takes.
   */
  async #leaveProject(project: string, path: string): Promise<void> {
    const last = (): { readonly others: boolean } | undefined => {
      const { records, making } = this.survey();
      if (records.some((record) => record.project === project)) return undefined;
      return { others: records.length + making.length + this.#making.size > 0 };
    };
    if (last() === undefined) return;
    await this.#underNamesLock(async () => {
      const left = last();
      if (left !== undefined) await removeProjectCgroups(path, !left.others);
    });
  }

  async sweep(): Promise<void> {
    const { records, making } = this.survey();
    // Who was killed right after the record was there, before the reservation was given up.
    for (const { id } of records) rmSync(join(paths.container(this.#root, id), reservation), { force: true });
    for (const id of making) {
      const directory = paths.container(this.#root, id);
      // Under the lock: between the making of a directory and its reservation nobody looks. In this order: the record is
      // there before the reservation is given up.
      const trash = await this.#underNamesLock(() =>
        this.#native.isLocked(join(directory, reservation)) || existsSync(join(directory, "container.json")) ? undefined : this.#setAside(id),
      );
      if (trash !== undefined) await this.#native.removeTree(trash);
    }
    const temporary = paths.tmp(this.#root);
    for (const name of namesIn(temporary)) {
      if (!name.startsWith(trashPrefix)) continue;
      await this.#unmountAll(join(temporary, name));
      await this.#native.removeTree(join(temporary, name));
    }
  }

  #ids(): ReadonlySet<ContainerId> {
    return new Set(namesIn(paths.containers(this.#root)).flatMap((name) => parseContainerId(name) ?? []));
  }

  #record(id: ContainerId): ContainerRecord | undefined {
    const known = this.#records.get(id);
    if (known !== undefined) return known;
    const record = this.#making.has(id) ? undefined : readRecord(paths.container(this.#root, id));
    if (record !== undefined) this.#records.set(id, record);
    return record;
  }

  #read(id: ContainerId): StoredContainer | undefined {
    const directory = paths.container(this.#root, id);
    const record = this.#record(id);
    if (record === undefined) return undefined;
    const state = readState(directory);
    if (state === undefined && !existsSync(join(directory, "container.json"))) return undefined; // removed meanwhile
    return { record, directory, status: statusOf(this.#native, directory, state), ...(state === undefined ? {} : { state }) };
  }

  /** Under the names' lock. */
  #refuseTaken(name: string): void {
    for (const id of this.#ids()) {
      const directory = paths.container(this.#root, id);
      const record = this.#record(id);
      const taken = record !== undefined ? record.name === name && existsSync(join(directory, "container.json")) : this.#beingMade(id, directory) === name;
      if (!taken) continue;
      const owner = record === undefined || record.project === "" ? "" : ` of project "${record.project}"`;
      throw new StackError("usage", `The container name "${name}" is already in use by container ${id.slice(0, 12)}${owner}`, {
        hint: "Remove that container, or choose another container_name.",
        details: { name, container: id },
      });
    }
  }

  #beingMade(id: ContainerId, directory: HostPath): string | undefined {
    const own = this.#making.get(id);
    if (own !== undefined) return own;
    return this.#native.isLocked(join(directory, reservation)) ? readIfThere(join(directory, reservation)) : undefined;
  }

  /** What does not wait inside is done at once where nobody else holds the lock: the other containers of a stack need not queue. */
  async #underNamesLock<T>(work: () => T | Promise<T>): Promise<T> {
    const path = join(paths.containers(this.#root), ".lock");
    const free = this.#native.lock(path, "exclusive", false);
    const names = free >= 0 ? free : await this.#native.lockWait(path, "exclusive").promise;
    let waits = false;
    try {
      const result = work();
      if (!(result instanceof Promise)) return result;
      waits = true;
      return await result.finally(() => {
        this.#native.close(names);
      });
    } finally {
      if (!waits) this.#native.close(names);
    }
  }

  async #remove(id: ContainerId): Promise<void> {
    const trash = await this.#setAside(id);
    if (trash !== undefined) await this.#native.removeTree(trash);
  }

  /** Mounts and cgroups go; then a rename, so that nobody sees a half-removed container. What is left is to be deleted. */
  async #setAside(id: ContainerId): Promise<string | undefined> {
    const directory = paths.container(this.#root, id);
    this.#records.delete(id);
    if (!existsSync(directory)) return undefined;
    const mounts = await this.#unmountAll(directory);
    const path = cgroupPathOf(directory);
    if (path !== undefined) await removeCgroups(path, mounts);
    const trash = join(paths.tmp(this.#root), `${trashPrefix}${id}.${randomBytes(4).toString("hex")}`);
    mkdirSync(paths.tmp(this.#root), { recursive: true, mode: 0o700 });
    try {
      renameSync(directory, trash);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined; // another process was quicker
      throw error;
    }
    return trash;
  }

  /** Never deletes across a mount: what is mounted there is not ours. Returns the mounts that this process sees. */
  async #unmountAll(directory: string): Promise<readonly MountEntry[]> {
    const mounts = await readMounts();
    const below = mountsBelow(mounts, directory);
    if (below.length === 0) return mounts;
    for (const point of below) this.#native.unmount(point);
    const left = mountsBelow(await readMounts(), directory);
    if (left.length > 0) throw new StackError("internal", `${left.join(", ")} could not be unmounted; ${basename(directory)} is kept`);
    return mounts;
  }
}

const trashPrefix = "trash.";

interface Reserved {
  committed(record: ContainerRecord): void;
  discard(): Promise<void>;
}

class PendingContainer implements Creation {
  readonly id: ContainerId;
  readonly directory: HostPath;
  readonly #reserved: Reserved;
  #done = false;

  constructor(id: ContainerId, directory: HostPath, reserved: Reserved) {
    this.id = id;
    this.directory = directory;
    this.#reserved = reserved;
  }

  /** `container.json` comes last, by rename: with it the container exists. */
  async commit({ record, config, monitor }: ContainerFiles): Promise<void> {
    const at = (name: string): string => join(this.directory, name);
    writeFileSync(at("config.json"), serializeOciConfig(closeOverlays(config, monitor)), { mode: 0o600 });
    writeFileSync(at("monitor.json"), JSON.stringify(monitor), { mode: 0o600 });
    replaceFile(at("container.json"), JSON.stringify(record));
    this.#done = true;
    try {
      rmSync(at(reservation), { force: true });
    } catch {
      // With its record it is there. Whoever sweeps takes this file away.
    }
    this.#reserved.committed(record);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    await this.#reserved.discard();
  }
}

/**
 * `root.readonly` speaks of one mount. Where the root is made of several (`rootfs: /`), the others are closed by a
 * remount each, after everything that the user mounts in them has got its place there.
 */
function closeOverlays(config: OciConfig, { rootfs }: MonitorSpec): OciConfig {
  if (!config.root.readonly || rootfs.kind !== "overlay" || rootfs.overlays.length === 0) return config;
  const remounts = rootfs.overlays.map(({ target }): OciMount => ({ destination: target, type: "none", source: "none", options: ["remount", "bind", "ro"] }));
  return { ...config, mounts: [...config.mounts, ...remounts] };
}

function newId(): ContainerId {
  const id = parseContainerId(randomBytes(32).toString("hex"));
  if (id === undefined) throw new StackError("internal", "random bytes did not make an id");
  return id;
}

function cgroupPathOf(directory: string): string | undefined {
  try {
    const config = JSON.parse(readIfThere(join(directory, "config.json")) ?? "") as OciConfig;
    return config.linux.cgroupsPath;
  } catch {
    return undefined; // creation did not come so far
  }
}
