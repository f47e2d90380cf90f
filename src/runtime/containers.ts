import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { mountsBelow, parseContainerId, paths, readMounts, StackError, writeFileAtomic } from "../core/index.ts";
import type { ContainerId, DataRoot, HostPath } from "../core/index.ts";
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

/** The containers of one data root, on disk. */
export interface ContainerStore {
  /** Every container of every project, by name. */
  list(): Promise<readonly StoredContainer[]>;
  /** By name, id or unique beginning of an id. */
  find(nameOrId: string): Promise<StoredContainer | undefined>;
  /** Reserves name and id. Two processes never get the same name. */
  reserve(name: string): Promise<Creation>;
  /** Everything of it: mounts, cgroups, files. The caller has stopped it. Idempotent. */
  remove(id: ContainerId): Promise<void>;
  /** What processes that died left half made or half removed. */
  sweep(): Promise<void>;
}

type StoreNative = Pick<NativeBinding, "isLocked" | "lock" | "lockWait" | "close" | "unmount">;

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

  constructor(root: DataRoot, native: StoreNative) {
    this.#root = root;
    this.#native = native;
  }

  async list(): Promise<readonly StoredContainer[]> {
    const ids = await this.#ids();
    for (const known of this.#records.keys()) if (!ids.has(known)) this.#records.delete(known);
    const found = await Promise.all([...ids].map((id) => this.#read(id)));
    return found.filter((container) => container !== undefined).sort((a, b) => (a.record.name < b.record.name ? -1 : 1));
  }

  async find(nameOrId: string): Promise<StoredContainer | undefined> {
    const id = parseContainerId(nameOrId);
    if (id !== undefined) return this.#read(id);
    const all = await this.list();
    const byName = all.find((container) => container.record.name === nameOrId);
    if (byName !== undefined || !/^[0-9a-f]+$/.test(nameOrId)) return byName;
    const byPrefix = all.filter((container) => container.record.id.startsWith(nameOrId));
    return byPrefix.length === 1 ? byPrefix[0] : undefined;
  }

  async reserve(name: string): Promise<Creation> {
    const containers = paths.containers(this.#root);
    await mkdir(containers, { recursive: true, mode: 0o700 });
    const names = await this.#native.lockWait(join(containers, ".lock"), "exclusive").promise;
    try {
      await this.#refuseTaken(name);
      const id = newId();
      const directory = paths.container(this.#root, id);
      await mkdir(join(directory, "log"), { recursive: true, mode: 0o700 });
      await writeFileAtomic(join(directory, reservation), name);
      const held = this.#native.lock(join(directory, reservation), "exclusive", false);
      return new PendingContainer(id, directory, held, this.#native, () => this.#discard(id));
    } finally {
      this.#native.close(names);
    }
  }

  async remove(id: ContainerId): Promise<void> {
    if (this.#native.isLocked(join(paths.container(this.#root, id), "lock")))
      throw new StackError("internal", `Container ${id.slice(0, 12)} cannot be removed: its monitor runs`, { hint: "Stop the container first." });
    const directory = paths.container(this.#root, id);
    const [path, record] = await Promise.all([cgroupPathOf(directory), readRecord(directory)]);
    this.#records.delete(id);
    await this.#discard(id);
    if (path !== undefined && record !== undefined) await this.#leaveProject(record.project, path);
  }

  /**
   * Removes the project's cgroup with its last container. Under the names' lock: a container that is only reserved now
   * is committed, and its monitor makes its directories, after the few system calls that this takes.
   */
  async #leaveProject(project: string, path: string): Promise<void> {
    const names = await this.#native.lockWait(join(paths.containers(this.#root), ".lock"), "exclusive").promise;
    try {
      const others = await this.#ids();
      for (const id of others) {
        const record = this.#records.get(id) ?? (await readRecord(paths.container(this.#root, id)));
        if (record?.project === project) return;
      }
      await removeProjectCgroups(path, others.size === 0);
    } finally {
      this.#native.close(names);
    }
  }

  async sweep(): Promise<void> {
    for (const id of await this.#ids()) {
      const directory = paths.container(this.#root, id);
      if (await this.#isMadeOrBeingMade(directory)) continue;
      // Under the lock of the names: between a directory and the lock on its reservation nobody else looks.
      const names = await this.#native.lockWait(join(paths.containers(this.#root), ".lock"), "exclusive").promise;
      try {
        if (await this.#isMadeOrBeingMade(directory)) continue;
      } finally {
        this.#native.close(names);
      }
      await this.#discard(id);
    }
    const temporary = paths.tmp(this.#root);
    for (const name of await readdir(temporary).catch(() => []))
      if (name.startsWith(trashPrefix)) await this.#delete(join(temporary, name));
  }

  /** In this order: the record is there before the reservation is given up. */
  async #isMadeOrBeingMade(directory: string): Promise<boolean> {
    return this.#native.isLocked(join(directory, reservation)) || (await exists(join(directory, "container.json")));
  }

  async #ids(): Promise<ReadonlySet<ContainerId>> {
    const names = await readdir(paths.containers(this.#root)).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    });
    return new Set(names.flatMap((name) => parseContainerId(name) ?? []));
  }

  async #read(id: ContainerId): Promise<StoredContainer | undefined> {
    const directory = paths.container(this.#root, id);
    const record = this.#records.get(id) ?? (await readRecord(directory));
    if (record === undefined) return undefined;
    this.#records.set(id, record);
    const state = await readState(directory);
    if (state === undefined && !(await exists(join(directory, "container.json")))) return undefined; // removed meanwhile
    return { record, directory, status: statusOf(this.#native, directory, state), ...(state === undefined ? {} : { state }) };
  }

  /** Under the names' lock. */
  async #refuseTaken(name: string): Promise<void> {
    for (const id of await this.#ids()) {
      const directory = paths.container(this.#root, id);
      const record = this.#records.get(id) ?? (await readRecord(directory));
      const taken =
        record !== undefined
          ? record.name === name
          : this.#native.isLocked(join(directory, reservation)) && (await readFile(join(directory, reservation), "utf8").catch(() => "")) === name;
      if (!taken || (record !== undefined && !(await exists(join(directory, "container.json"))))) continue;
      const owner = record === undefined || record.project === "" ? "" : ` of project "${record.project}"`;
      throw new StackError("usage", `The container name "${name}" is already in use by container ${id.slice(0, 12)}${owner}`, {
        hint: "Remove that container, or choose another container_name.",
        details: { name, container: id },
      });
    }
  }

  /** Renames first, so that nobody sees a half-removed container; then deletes. */
  async #discard(id: ContainerId): Promise<void> {
    const directory = paths.container(this.#root, id);
    if (!(await exists(directory))) return;
    const path = await cgroupPathOf(directory);
    if (path !== undefined) await removeCgroups(path);
    const trash = join(paths.tmp(this.#root), `${trashPrefix}${id}.${randomBytes(4).toString("hex")}`);
    await this.#unmountAll(directory);
    await mkdir(paths.tmp(this.#root), { recursive: true, mode: 0o700 });
    try {
      await rename(directory, trash);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return; // another process was quicker
      throw error;
    }
    await this.#delete(trash);
  }

  /** Never across a mount: what is mounted there is not ours to delete. */
  async #delete(directory: string): Promise<void> {
    await this.#unmountAll(directory);
    await rm(directory, { recursive: true, force: true });
  }

  async #unmountAll(directory: string): Promise<void> {
    for (const point of mountsBelow(await readMounts(), directory)) this.#native.unmount(point);
    const left = mountsBelow(await readMounts(), directory);
    if (left.length > 0) throw new StackError("internal", `${left.join(", ")} could not be unmounted; ${basename(directory)} is kept`);
  }
}

const trashPrefix = "trash.";

class PendingContainer implements Creation {
  readonly id: ContainerId;
  readonly directory: HostPath;
  readonly #held: number;
  readonly #native: Pick<NativeBinding, "close">;
  readonly #discard: () => Promise<void>;
  #done = false;

  constructor(id: ContainerId, directory: HostPath, held: number, native: Pick<NativeBinding, "close">, discard: () => Promise<void>) {
    this.id = id;
    this.directory = directory;
    this.#held = held;
    this.#native = native;
    this.#discard = discard;
  }

  /** `container.json` comes last: with it the container exists. */
  async commit({ record, config, monitor }: ContainerFiles): Promise<void> {
    await writeFileAtomic(join(this.directory, "config.json"), serializeOciConfig(closeOverlays(config, monitor)));
    await writeFileAtomic(join(this.directory, "monitor.json"), JSON.stringify(monitor));
    await writeFileAtomic(join(this.directory, "container.json"), JSON.stringify(record));
    await rm(join(this.directory, reservation), { force: true });
    this.#native.close(this.#held);
    this.#done = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    await this.#discard();
    this.#native.close(this.#held);
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

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function cgroupPathOf(directory: string): Promise<string | undefined> {
  try {
    const config = JSON.parse(await readFile(join(directory, "config.json"), "utf8")) as OciConfig;
    return config.linux.cgroupsPath;
  } catch {
    return undefined; // creation did not come so far
  }
}
