import { mkdir, readFile, rename, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Writable } from "node:stream";
import type { DataRoot, Digest, HostPath } from "../core/index.ts";
import { paths, readIfThere, StackError, writeFileAtomic } from "../core/index.ts";
import type { HeldLock, ImagesBinding } from "./locks.ts";
import { tryLock, waitForLock } from "./locks.ts";
import { isObject } from "./manifest.ts";
import type { Unpacked } from "./unpack.ts";
import { unpack, UnpackFailure } from "./unpack.ts";

const LAYER_VERSION = 1;
/** Never filled by a layer: others need the disk too. */
const reservedBytes = 64 << 20;

/** `layers/HEX/layer.json`: beside the tree in `diff`. Its being there says that the layer is whole. */
export interface LayerRecord {
  readonly version: typeof LAYER_VERSION;
  readonly diffId: Digest;
  /** Bytes of its files. */
  readonly bytes: number;
  readonly implicit: readonly string[];
  readonly opaque: readonly string[];
  /** Not yet synced: whole as long as the machine has not been restarted since. */
  readonly bootId?: string;
}

/** Where a layer's bytes come from. */
export interface LayerSource {
  /** For messages: `layer 1a2b3c4d5e6f of docker.io/library/redis:7`. */
  readonly what: string;
  /** Of the bytes as they come; absent where only the unpacked content has a digest (docker-archive). */
  readonly digest?: Digest;
  feed(input: Writable): Promise<void>;
}

export interface LayerStoreOptions {
  readonly root: DataRoot;
  readonly native: ImagesBinding;
  readonly runtime: () => string;
  /** Most bytes that one layer may have unpacked. */
  readonly maxLayerBytes: number;
}

/** A layer that nobody removes until its lock is released. */
export interface HeldLayer {
  readonly lock: HeldLock;
  readonly record: LayerRecord;
  /** It was not here before. */
  readonly made: boolean;
}

/**
 * Unpacked layers, named by the digest of their content, so that images share them. Two locks for each:
 * `layers/HEX.lock`, exclusive, by who unpacks it (in `tmp/layer-HEX`) or removes it; while it is held
 * nothing else is waited for. `layers/HEX.use`, shared, by who makes an image of it; exclusive by who
 * removes it, who never waits.
 */
export class LayerStore {
  readonly #options: LayerStoreOptions;
  /** Two pulls of this process take turns here, not in the kernel. */
  readonly #turns = new Map<Digest, Promise<unknown>>();
  readonly #known = new Map<Digest, { readonly text: string; readonly record: LayerRecord }>();

  constructor(options: LayerStoreOptions) {
    this.#options = options;
  }

  directory(diffId: Digest): HostPath {
    return join(paths.layers(this.#options.root), diffId.slice(7)) as HostPath;
  }

  #lockPath(diffId: Digest): string {
    return `${this.directory(diffId)}.lock`;
  }

  #usePath(diffId: Digest): string {
    return `${this.directory(diffId)}.use`;
  }

  #staging(diffId: Digest): string {
    return join(paths.tmp(this.#options.root), `layer-${diffId.slice(7)}`);
  }

  /** Undefined if it is not here. */
  async read(diffId: Digest): Promise<LayerRecord | undefined> {
    const path = join(this.directory(diffId), "layer.json");
    const text = readIfThere(path);
    const known = this.#known.get(diffId);
    if (text !== undefined && known?.text === text) return known.record;
    this.#known.delete(diffId);
    if (text === undefined) return undefined;
    const record = parseLayerRecord(text, path);
    // The power may have failed before its files were on the disk.
    if (record.bootId !== undefined && record.bootId !== (await bootId())) return undefined;
    this.#known.set(diffId, { text, record });
    return record;
  }

  /** Makes sure that the layer is here, and holds it. `onWait`: another process is at it. */
  async ensure(diffId: Digest, source: LayerSource, signal: AbortSignal, onWait: () => void): Promise<HeldLayer> {
    const before = this.#turns.get(diffId) ?? Promise.resolve();
    const turn = before.then(() => this.#ensure(diffId, source, signal, onWait));
    const settled = turn.catch(() => undefined);
    this.#turns.set(diffId, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(diffId) === settled) this.#turns.delete(diffId);
    }
  }

  async #ensure(diffId: Digest, source: LayerSource, signal: AbortSignal, onWait: () => void): Promise<HeldLayer> {
    const there = await this.#hold(diffId);
    if (there !== undefined) return { ...there, made: false };
    using maker = await waitForLock(this.#options.native, this.#lockPath(diffId), "exclusive", signal, onWait);
    // While we waited for it, another process may have done the work.
    const made = (await this.read(diffId)) === undefined;
    if (made)
      try {
        await this.#make(diffId, source, maker, signal);
      } catch (error) {
        await rm(this.#lockPath(diffId), { force: true }); // of a layer that is not here: who waits for it makes another (`isCurrent`)
        throw error;
      }
    const layer = await this.#hold(diffId);
    if (layer === undefined) throw new StackError("internal", `layer ${diffId} vanished under its lock`);
    return { ...layer, made };
  }

  /** Never waits: undefined if it is not here, or being removed. */
  async #hold(diffId: Digest): Promise<Omit<HeldLayer, "made"> | undefined> {
    if ((await this.read(diffId)) === undefined) return undefined; // taking a lock makes its file
    const lock = tryLock(this.#options.native, this.#usePath(diffId), "shared");
    if (lock === undefined) return undefined;
    try {
      const record = await this.read(diffId);
      if (record !== undefined) return { lock, record };
    } catch (error) {
      lock.release();
      throw error;
    }
    lock.release();
    return undefined;
  }

  async #make(diffId: Digest, source: LayerSource, lock: HeldLock, signal: AbortSignal): Promise<void> {
    const staging = this.#staging(diffId);
    await rm(staging, { recursive: true, force: true });
    // A directory without its record is what a crash during removal left.
    await rm(this.directory(diffId), { recursive: true, force: true });
    try {
      const into = join(staging, "diff");
      await mkdir(into, { recursive: true, mode: 0o700 });
      const free = await this.#freeBytes();
      const maxBytes = Math.min(this.#options.maxLayerBytes, Math.max(free - reservedBytes, 0));
      const unpacked = await unpack({ runtime: this.#options.runtime(), into, maxBytes, lockFd: lock.fd, signal }, (input) => source.feed(input)).catch((error: unknown) => {
        throw layerFailure(error, source, maxBytes, maxBytes < this.#options.maxLayerBytes);
      });
      verify(unpacked, diffId, source);
      const record: LayerRecord = { version: LAYER_VERSION, diffId, bytes: unpacked.bytes, implicit: unpacked.implicit, opaque: unpacked.opaque, bootId: await bootId() };
      await writeFileAtomic(join(staging, "layer.json"), `${JSON.stringify(record)}\n`);
      await rename(staging, this.directory(diffId));
    } catch (error) {
      await rm(staging, { recursive: true, force: true });
      throw error;
    }
  }

  async #freeBytes(): Promise<number> {
    const fs = await statfs(paths.tmp(this.#options.root));
    return fs.bavail * fs.bsize;
  }

  /** Makes sure that the layers are on the disk: one sync for all that are new. They must be held. */
  async settle(layers: readonly { readonly record: LayerRecord }[]): Promise<void> {
    const fresh = layers.filter(({ record }) => record.bootId !== undefined);
    if (fresh.length === 0) return;
    await this.#options.native.syncfs(paths.layers(this.#options.root));
    for (const { record } of fresh) {
      const settled = Object.fromEntries(Object.entries(record).filter(([key]) => key !== "bootId"));
      await writeFileAtomic(join(this.directory(record.diffId), "layer.json"), `${JSON.stringify(settled)}\n`);
    }
  }

  /** Takes an unused layer out of the store: the directory to delete. Undefined if somebody needs it now. */
  async retire(diffId: Digest, trash: string): Promise<string | undefined> {
    using maker = tryLock(this.#options.native, this.#lockPath(diffId), "exclusive");
    if (maker === undefined) return undefined;
    using user = tryLock(this.#options.native, this.#usePath(diffId), "exclusive");
    if (user === undefined) return undefined;
    this.#known.delete(diffId);
    await rename(this.directory(diffId), trash).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    });
    await rm(this.#usePath(diffId), { force: true });
    await rm(this.#lockPath(diffId), { force: true });
    return trash;
  }

  /** Removes what a crash left of unpacking that layer, if nobody is at it. */
  async sweep(diffId: Digest): Promise<void> {
    using lock = tryLock(this.#options.native, this.#lockPath(diffId), "exclusive");
    if (lock !== undefined) await rm(this.#staging(diffId), { recursive: true, force: true });
  }
}

let currentBoot: Promise<string> | undefined;

function bootId(): Promise<string> {
  return (currentBoot ??= readFile("/proc/sys/kernel/random/boot_id", "utf8").then((text) => text.trim()));
}

function parseLayerRecord(text: string, path: string): LayerRecord {
  const json: unknown = JSON.parse(text);
  if (!isObject(json) || typeof json["version"] !== "number") throw new StackError("internal", `${path} is damaged`);
  if (json["version"] > LAYER_VERSION)
    throw new StackError("state-version", `${path} was written by a newer version of stack`, { hint: "Use that version, or another data root (STACK_ROOT)." });
  return json as unknown as LayerRecord;
}

/** Nothing is kept whose digests are not exactly those that were asked for. */
function verify(unpacked: Unpacked, diffId: Digest, source: LayerSource): void {
  if (source.digest !== undefined && unpacked.digest !== source.digest) throw digestMismatch(source.what, source.digest, unpacked.digest);
  if (unpacked.diffId !== diffId) throw digestMismatch(`The content of ${source.what}`, diffId, unpacked.diffId);
}

export function digestMismatch(what: string, expected: string, actual: string): StackError {
  return new StackError("digest-mismatch", `${capitalise(what)} has the digest ${actual}, expected ${expected}: it was damaged or tampered with`, {
    hint: "Try again; if it stays so, the registry's (or a proxy's) copy is bad.",
    details: { expected, actual },
  });
}

export function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const ENOSPC = 28;
const EDQUOT = 122;
const ENAMETOOLONG = 36;

/** The unpacker's failure, in the user's words. */
function layerFailure(error: unknown, source: LayerSource, maxBytes: number, limitedByDisk: boolean): unknown {
  if (!(error instanceof UnpackFailure)) return error;
  if (error.digest !== undefined && source.digest !== undefined && error.digest !== source.digest) return digestMismatch(source.what, source.digest, error.digest);
  const where = error.path === "" ? "" : ` (${error.path})`;
  if (error.errno === ENOSPC || error.errno === EDQUOT || (error.stage === "limit" && limitedByDisk))
    return new StackError("no-space", `No space left to unpack ${source.what}${where}`, {
      hint: "Free some space, or move the data root with STACK_ROOT.",
      cause: error,
    });
  if (error.stage === "limit")
    return new StackError("image-invalid", `${capitalise(source.what)} is larger than the ${maxBytes} bytes that a layer may have`, {
      hint: "If that is right, raise the limit with STACK_MAX_LAYER_BYTES.",
      cause: error,
    });
  if (error.call === "" || error.errno === ENAMETOOLONG) return new StackError("image-invalid", `${capitalise(source.what)} cannot be unpacked: ${error.message}${where}`, { cause: error });
  return new StackError("native", `Cannot unpack ${source.what}: ${error.message}`, { cause: error, details: { stage: error.stage, errno: error.errno, path: error.path } });
}
