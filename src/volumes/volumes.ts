import { randomBytes } from "node:crypto";
import { closeSync, fchmodSync, fchownSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { mountsBelow, namesIn, parseHostPath, paths, readIfThere, readMounts, StackError, writeFileAtomic } from "../core/index.ts";
import type { ContainerId, DataRoot, HostPath } from "../core/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { checkOptions, dataDirectory, hasMountOptions, mountLocal } from "./local.ts";
import type { VolumeRecord, VolumeRequest, Volumes } from "./types.ts";

type VolumeNative = Pick<NativeBinding, "mount" | "unmount" | "renameNoReplace" | "lock" | "close">;

export function openVolumes(root: DataRoot, native: VolumeNative): Volumes {
  return new DirectoryVolumes(root, native);
}

const validName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;

/** A volume that is being made, in `tmp`; while its `.lock` is locked, its maker lives. */
const stagingName = /^(volume\.[0-9a-f]{16})(?:\.lock)?$/;

class DirectoryVolumes implements Volumes {
  readonly #root: DataRoot;
  readonly #native: VolumeNative;

  constructor(root: DataRoot, native: VolumeNative) {
    this.#root = root;
    this.#native = native;
  }

  async list(): Promise<readonly VolumeRecord[]> {
    const names = namesIn(paths.volumes(this.#root));
    const found = await Promise.all(names.filter((name) => validName.test(name)).map((name) => this.find(name)));
    return found.filter((record) => record !== undefined).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async find(name: string): Promise<VolumeRecord | undefined> {
    if (!validName.test(name)) return undefined;
    const path = join(this.#directory(name), "volume.json");
    const text = readIfThere(path);
    if (text === undefined) return undefined;
    const record = JSON.parse(text) as VolumeRecord;
    // `version` is 1 by type; a newer program may have written another.
    if ((record.version as number) > 1)
      throw new StackError("state-version", `${path} was written by a newer version of stack`, { hint: "Use that version, or a newer one." });
    return record;
  }

  /** Made aside and renamed into place: a volume is there completely or not at all, also for two at once. */
  async create(request: VolumeRequest): Promise<VolumeRecord> {
    const existing = await this.find(request.name);
    if (existing !== undefined) return existing;
    if (!validName.test(request.name))
      throw new StackError("usage", `"${request.name}" is not a volume's name`, { hint: "Letters, digits, _ . and -, beginning with a letter or digit." });
    checkOptions(request.name, request.driver, request.driverOptions);
    const record: VolumeRecord = { version: 1, ...request, driver: request.driver === "" ? "local" : request.driver, createdAt: new Date().toISOString() };
    const staging = join(paths.tmp(this.#root), `volume.${randomBytes(8).toString("hex")}`);
    await mkdir(paths.volumes(this.#root), { recursive: true, mode: 0o700 });
    await mkdir(paths.tmp(this.#root), { recursive: true, mode: 0o700 });
    const held = this.#native.lock(`${staging}.lock`, "exclusive", false);
    try {
      await mkdir(join(staging, "_data"), { recursive: true, mode: 0o700 });
      await chmod(join(staging, "_data"), 0o755);
      await writeFileAtomic(join(staging, "volume.json"), JSON.stringify(record), { durable: true });
      if (this.#native.renameNoReplace(staging, this.#directory(request.name))) return record;
    } finally {
      await rm(staging, { recursive: true, force: true });
      await rm(`${staging}.lock`, { force: true });
      this.#native.close(held);
    }
    const other = await this.find(request.name);
    if (other === undefined) throw new StackError("internal", `${this.#directory(request.name)} is in the way of volume "${request.name}"`);
    return other;
  }

  async remove(name: string): Promise<void> {
    if ((await this.find(name)) === undefined) return;
    const directory = this.#directory(name);
    await this.release(name);
    const trash = join(paths.tmp(this.#root), `trash.volume.${randomBytes(8).toString("hex")}`);
    await mkdir(paths.tmp(this.#root), { recursive: true, mode: 0o700 });
    try {
      await rename(directory, trash);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return; // another process was quicker
      throw error;
    }
    // What is mounted in there is not ours to delete: NFS, a bound directory of the host.
    const left = mountsBelow(await readMounts(), trash);
    if (left.length > 0) throw new StackError("volume-in-use", `Volume "${name}": ${left.join(", ")} could not be unmounted; its content is kept`);
    await rm(trash, { recursive: true, force: true });
  }

  async sweep(): Promise<void> {
    const temporary = paths.tmp(this.#root);
    const names = namesIn(temporary);
    for (const name of new Set(names.flatMap((found) => stagingName.exec(found)?.[1] ?? []))) {
      const staging = join(temporary, name);
      const held = this.#native.lock(`${staging}.lock`, "exclusive", false);
      if (held < 0) continue; // its maker lives
      await rm(staging, { recursive: true, force: true });
      await rm(`${staging}.lock`, { force: true });
      this.#native.close(held);
    }
  }

  async path(record: VolumeRecord): Promise<HostPath> {
    const target = dataDirectory(this.#directory(record.name));
    if (hasMountOptions(record.driverOptions)) await mountLocal(this.#native, record, target);
    return target;
  }

  async release(name: string): Promise<void> {
    if (!validName.test(name)) return;
    for (const point of mountsBelow(await readMounts(), this.#directory(name))) this.#native.unmount(point);
  }

  async writeFile(
    container: ContainerId,
    name: string,
    content: string | Uint8Array,
    owner: { readonly uid: number; readonly gid: number; readonly mode: number },
  ): Promise<HostPath> {
    const files = join(paths.container(this.#root, container), "files");
    const path = parseHostPath(join(files, name.replace(/[/\0]/g, "_").replace(/^\.+/, "_")));
    if (path === undefined) throw new StackError("internal", `${files} is not an absolute path`);
    try {
      writeOwned(path, content, owner);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      mkdirSync(files, { recursive: true, mode: 0o700 });
      writeOwned(path, content, owner);
    }
    return path;
  }

  #directory(name: string): HostPath {
    return parseHostPath(join(paths.volumes(this.#root), name)) ?? paths.volumes(this.#root);
  }
}

/**
 * Under its name at once where there is none yet: only a container that is being made has it, and one that was half made
 * goes as a whole. What is there is replaced, so that nobody reads a part.
 */
function writeOwned(path: string, content: string | Uint8Array, owner: { readonly uid: number; readonly gid: number; readonly mode: number }): void {
  let name = path;
  let fd: number;
  try {
    fd = openSync(name, "wx", 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    name = `${path}.${randomBytes(6).toString("hex")}`;
    fd = openSync(name, "wx", 0o600);
  }
  try {
    try {
      writeFileSync(fd, content);
      if (owner.uid !== 0 || owner.gid !== 0 || process.getuid?.() !== 0) fchownSync(fd, owner.uid, owner.gid);
      fchmodSync(fd, owner.mode);
    } finally {
      closeSync(fd);
    }
    if (name !== path) renameSync(name, path);
  } catch (error) {
    rmSync(name, { force: true });
    throw error;
  }
}
