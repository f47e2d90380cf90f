import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock, DataRoot, Digest } from "../core/index.ts";
import { parseDigest, paths, StackError, systemClock, writeFileAtomic } from "../core/index.ts";
import { installProgram } from "../native/index.ts";
import { Authorizer } from "./auth.ts";
import { parseImageDocument } from "./config.ts";
import { findCredentials } from "./credentials.ts";
import { HttpClient } from "./http.ts";
import type { ImageIndex, ImageRecord } from "./index-file.ts";
import { changeImageIndex, readImageIndex } from "./index-file.ts";
import { LayerStore } from "./layers.ts";
import { loadImages } from "./load.ts";
import type { ImagesBinding } from "./locks.ts";
import { tryLock } from "./locks.ts";
import { readMerged, resolveMerged, statMerged } from "./merged.ts";
import { pullImage } from "./pull.ts";
import { familiarReference, formatReference, parseReference } from "./reference.ts";
import { Registry } from "./registry.ts";
import { Slots } from "./slots.ts";
import type { Image, Images } from "./types.ts";

/** Docker downloads three layers at a time; unpacking while downloading makes good use of one more. */
const parallelLayers = 4;
const defaultMaxLayerBytes = 128 * 2 ** 30;

export interface ImagesOptions {
  /**
   * STACK_INSECURE_REGISTRIES (hosts, comma-separated: plain http, or certificates that nobody signed),
   * STACK_MAX_LAYER_BYTES, DOCKER_CONFIG, HTTP(S)_PROXY, NO_PROXY, SSL_CERT_FILE, NODE_EXTRA_CA_CERTS.
   */
  readonly env?: NodeJS.ProcessEnv;
  readonly clock?: Clock;
  /** The runtime binary; absent: the copy in the data root. */
  readonly runtime?: string;
}

/** Opens the image store of a data root. Does nothing until it is used. */
export function openImages(root: DataRoot, native: ImagesBinding, options: ImagesOptions = {}): Images {
  return new ImageStore(root, native, options);
}

/** What an image is made of, when its layers are here. */
export interface NewImage {
  readonly id: Digest;
  readonly config: Uint8Array;
  readonly manifest?: { readonly digest: Digest; readonly bytes: Uint8Array };
  readonly layers: readonly Digest[];
  readonly size: number;
  /** Normalised, with what the registry answered for it. */
  readonly reference?: { readonly name: string; readonly digest?: Digest };
}

export class ImageStore implements Images {
  readonly root: DataRoot;
  readonly native: ImagesBinding;
  readonly layers: LayerStore;
  readonly slots = new Slots(parallelLayers);
  readonly runtime: () => string;
  readonly maxLayerBytes: number;
  readonly #env: NodeJS.ProcessEnv;
  readonly #clock: Clock;
  #client: HttpClient | undefined;
  readonly #insecure: readonly string[];
  readonly #registries = new Map<string, Registry>();
  #prepared: Promise<void> | undefined;

  constructor(root: DataRoot, native: ImagesBinding, options: ImagesOptions) {
    this.root = root;
    this.native = native;
    this.#env = options.env ?? process.env;
    this.#clock = options.clock ?? systemClock;
    this.#insecure = (this.#env["STACK_INSECURE_REGISTRIES"] ?? "").split(",").map((h) => h.trim().toLowerCase()).filter((h) => h !== "");
    this.maxLayerBytes = layerLimit(this.#env["STACK_MAX_LAYER_BYTES"]);
    const { runtime } = options;
    this.runtime = () => runtime ?? installProgram(root).binary;
    this.layers = new LayerStore({ root, native, runtime: this.runtime, maxLayerBytes: this.maxLayerBytes });
  }

  /** Node's client takes its time to load; who pulls nothing does not wait for it. */
  get #http(): HttpClient {
    return (this.#client ??= new HttpClient(this.#env, { isInsecure: (host) => this.#isInsecure(host) }));
  }

  async find(text: string): Promise<Image | undefined> {
    const index = await readImageIndex(this.root);
    const found = lookUp(index, text);
    return found === undefined ? undefined : this.image(index, found.id, found.digest);
  }

  async pull(reference: string, options: Parameters<Images["pull"]>[1]): Promise<Image> {
    await this.prepare();
    return pullImage(this, reference, options);
  }

  async load(from: Parameters<Images["load"]>[0], options: Parameters<Images["load"]>[1]): ReturnType<Images["load"]> {
    await this.prepare();
    return loadImages(this, from, options);
  }

  async list(): Promise<readonly Image[]> {
    const index = await readImageIndex(this.root);
    const all = await Promise.all(Object.values(index.images).map((record) => this.image(index, record.id)));
    return all.filter((image) => image !== undefined);
  }

  async remove(text: string): Promise<void> {
    await this.prepare();
    await changeImageIndex(this.root, this.native, undefined, async (index) => {
      const found = lookUp(index, text);
      if (found === undefined) throw new StackError("no-such-image", `There is no image ${text} here`, { hint: suggestion(index, text) });
      const { id } = found;
      const names = found.name === undefined ? Object.keys(index.references).filter((name) => index.references[name]?.id === id) : [found.name];
      const references = Object.fromEntries(Object.entries(index.references).filter(([name]) => !names.includes(name)));
      const images = Object.fromEntries(Object.entries(index.images).filter(([key]) => found.name !== undefined || key !== id));
      return { index: { ...index, images, references }, result: undefined };
    });
  }

  async collect(inUse: readonly string[]): Promise<number> {
    await this.prepare();
    const { trash, freed } = await changeImageIndex(this.root, this.native, undefined, async (index) => {
      const marked = new Set([...Object.values(index.references).map((r): string => r.id), ...inUse]);
      const images = Object.fromEntries(Object.entries(index.images).filter(([id]) => marked.has(id)));
      const kept = Object.values(images);
      const retired = await this.#retire(new Set(kept.flatMap((image) => image.layers)));
      await this.#removeBlobs(new Set(kept.flatMap((image) => [image.id, ...(image.manifest === undefined ? [] : [image.manifest])])));
      return { index: { ...index, images }, result: retired };
    });
    // The layers are out of the store; deleting them needs no lock but the one on each directory's name.
    for (const { directory, lock } of trash) {
      await rm(directory, { recursive: true, force: true });
      await rm(`${directory}.lock`, { force: true });
      lock.release();
    }
    return freed;
  }

  readFile(...args: Parameters<Images["readFile"]>): ReturnType<Images["readFile"]> {
    return readMerged(...args);
  }

  stat(...args: Parameters<Images["stat"]>): ReturnType<Images["stat"]> {
    return statMerged(...args);
  }

  async resolve(...[layers, path]: Parameters<Images["resolve"]>): Promise<string | undefined> {
    return (await resolveMerged(layers, path))?.path;
  }

  /** The image as it is here; undefined if a part of it is missing (somebody deleted it: pull again). */
  async image(index: ImageIndex, id: Digest, digest?: Digest): Promise<Image | undefined> {
    const record = index.images[id];
    if (record === undefined) return undefined;
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.blobPath(id));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    const document = parseImageDocument(bytes, `image ${id}`);
    const layers = [];
    for (const diffId of [...record.layers].reverse()) {
      const layer = await this.layers.read(diffId);
      if (layer === undefined) return undefined;
      layers.push({ diffId, layer });
    }
    // A layer that empties the root hides everything below it; overlayfs would not.
    const top = layers.findIndex(({ layer }) => layer.opaque.includes(""));
    const visible = top < 0 ? layers : layers.slice(0, top + 1);
    const names = Object.entries(index.references).filter(([, reference]) => reference.id === id);
    const manifest = digest ?? names.find(([, reference]) => reference.digest !== undefined)?.[1].digest ?? record.manifest;
    return {
      id,
      ...(manifest === undefined ? {} : { digest: manifest }),
      references: names.map(([name]) => name),
      platform: document.platform,
      config: document.config,
      // A layer may be in an image twice; overlayfs wants each directory once.
      layers: [...new Set(visible.map(({ diffId }) => join(this.layers.directory(diffId), "diff")))] as Image["layers"][number][],
      size: record.size,
      created: document.created,
      pulledAt: record.pulledAt,
    };
  }

  /** Makes the image known. Its layers must be held. */
  async commit(image: NewImage, signal: AbortSignal): Promise<Image> {
    return changeImageIndex(this.root, this.native, signal, async (before) => {
      await this.#writeBlob(image.id, image.config);
      if (image.manifest !== undefined) await this.#writeBlob(image.manifest.digest, image.manifest.bytes);
      const record: ImageRecord = {
        id: image.id,
        ...(image.manifest === undefined ? {} : { manifest: image.manifest.digest }),
        layers: image.layers,
        size: image.size,
        pulledAt: this.#clock.now(),
      };
      const { reference } = image;
      const references = reference === undefined ? before.references : { ...before.references, [reference.name]: { id: image.id, ...(reference.digest === undefined ? {} : { digest: reference.digest }) } };
      const index: ImageIndex = { ...before, images: { ...before.images, [image.id]: record }, references };
      const result = await this.image(index, image.id, reference?.digest);
      if (result === undefined) throw new StackError("internal", `image ${image.id} is not whole`);
      return { index, result };
    });
  }

  registry(host: string): Registry {
    const known = this.#registries.get(host);
    if (known !== undefined) return known;
    const authorizer = new Authorizer({ host, http: this.#http, now: () => this.#clock.now(), credentials: (signal) => findCredentials(host, this.#env, signal) });
    const registry = new Registry({ host, http: this.#http, authorizer, clock: this.#clock, insecure: this.#isInsecure(host) });
    this.#registries.set(host, registry);
    return registry;
  }

  blobPath(digest: Digest): string {
    return join(paths.blobs(this.root), digest.slice(7));
  }

  /** A new directory below `tmp`, and the lock that says that it is in use. */
  async temporary(kind: string): Promise<AsyncDisposable & { readonly directory: string; readonly lockFd: number }> {
    const directory = join(paths.tmp(this.root), `${kind}-${randomBytes(8).toString("hex")}`);
    const lock = tryLock(this.native, `${directory}.lock`, "exclusive");
    if (lock === undefined) throw new StackError("internal", `${directory}.lock is taken`);
    await mkdir(directory, { mode: 0o700 });
    return {
      directory,
      lockFd: lock.fd,
      [Symbol.asyncDispose]: async () => {
        await rm(directory, { recursive: true, force: true });
        await rm(`${directory}.lock`, { force: true });
        lock.release();
      },
    };
  }

  /** Once for each process: makes the directories, and sweeps what crashed ones left. */
  prepare(): Promise<void> {
    return (this.#prepared ??= this.#prepare().catch((error: unknown) => {
      this.#prepared = undefined;
      throw error;
    }));
  }

  async #prepare(): Promise<void> {
    for (const directory of [paths.blobs(this.root), paths.layers(this.root), paths.images(this.root), paths.tmp(this.root)]) await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(paths.tmp(this.root))) {
      const layer = /^layer-([0-9a-f]{64})$/.exec(name)?.[1];
      const diffId = layer === undefined ? undefined : parseDigest(`sha256:${layer}`);
      if (diffId !== undefined) await this.layers.sweep(diffId);
      if (/^(?:load|trash)-[0-9a-f]{16}(?:\.lock)?$/.test(name)) await this.#sweepTemporary(name.replace(/\.lock$/, ""));
    }
  }

  async #sweepTemporary(name: string): Promise<void> {
    const directory = join(paths.tmp(this.root), name);
    using lock = tryLock(this.native, `${directory}.lock`, "exclusive");
    if (lock === undefined) return;
    await rm(directory, { recursive: true, force: true });
    await rm(`${directory}.lock`, { force: true });
  }

  async #retire(keep: ReadonlySet<Digest>): Promise<{ readonly trash: { readonly directory: string; readonly lock: { release(): void } }[]; readonly freed: number }> {
    const trash = [];
    let freed = 0;
    // Also where only a lock file is left, of a layer that never came to be.
    const names = new Set((await readdir(paths.layers(this.root))).map((name) => name.replace(/\.(?:lock|use)$/, "")));
    for (const name of names) {
      const diffId = parseDigest(`sha256:${name}`);
      if (diffId === undefined || keep.has(diffId)) continue;
      const directory = join(paths.tmp(this.root), `trash-${randomBytes(8).toString("hex")}`);
      const lock = tryLock(this.native, `${directory}.lock`, "exclusive");
      if (lock === undefined) continue;
      const record = await this.layers.read(diffId);
      if ((await this.layers.retire(diffId, directory)) === undefined) {
        await rm(`${directory}.lock`, { force: true });
        lock.release();
        continue;
      }
      freed += record?.bytes ?? 0;
      trash.push({ directory, lock });
    }
    return { trash, freed };
  }

  async #removeBlobs(keep: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(paths.blobs(this.root))) {
      if (!keep.has(`sha256:${name}`)) await rm(join(paths.blobs(this.root), name), { force: true });
    }
  }

  async #writeBlob(digest: Digest, bytes: Uint8Array): Promise<void> {
    const path = this.blobPath(digest);
    const there = await stat(path).catch(() => undefined);
    if (there?.size !== bytes.length) await writeFileAtomic(path, bytes, { durable: true });
  }

  #isInsecure(host: string): boolean {
    const name = host.toLowerCase().replace(/:\d+$/, "");
    if (name === "localhost" || name === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(name)) return true;
    return this.#insecure.includes(host.toLowerCase()) || this.#insecure.includes(name);
  }
}

function layerLimit(text: string | undefined): number {
  if (text === undefined || text === "") return defaultMaxLayerBytes;
  const bytes = Number(text);
  if (!Number.isSafeInteger(bytes) || bytes <= 0) throw new StackError("usage", `STACK_MAX_LAYER_BYTES must be a number of bytes, not "${text}"`);
  return bytes;
}

interface Found {
  readonly id: Digest;
  /** Absent if it was found by its id. */
  readonly name?: string;
  readonly digest?: Digest;
}

/** By reference, by digest of what its repository was pulled as, by id or its unique beginning. */
export function lookUp(index: ImageIndex, text: string): Found | undefined {
  const hex = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(text)?.[1];
  if (hex?.length !== 64) {
    const reference = text.startsWith("sha256:") ? undefined : parseReference(text);
    const name = reference === undefined ? "" : formatReference(reference);
    const exact = index.references[name];
    if (exact !== undefined) return { ...exact, name };
    if (reference?.digest !== undefined) {
      const prefix = `${reference.host}/${reference.repository}`;
      const same = Object.entries(index.references).find(
        ([key, record]) => /^(?:[:@]|$)/.test(key.slice(prefix.length)) && key.startsWith(prefix) && (record.digest === reference.digest || index.images[record.id]?.manifest === reference.digest),
      );
      if (same !== undefined) return { ...same[1], name: same[0] };
    }
  }
  if (hex === undefined) return undefined;
  const ids = Object.values(index.images).filter((image) => image.id.startsWith(`sha256:${hex}`));
  return ids.length === 1 && ids[0] !== undefined ? { id: ids[0].id } : undefined;
}

/** Tags of the same repository, or what is nearly called the same. */
export function suggestion(index: ImageIndex, text: string): string {
  const base = text.replace(/[:@][^/]*$/, "");
  const all = Object.keys(index.references).map(familiarReference);
  const near = all.filter((name) => name.replace(/[:@][^/]*$/, "") === base || name.split("/").at(-1)?.startsWith(base.split("/").at(-1) ?? base) === true);
  return near.length === 0 ? "`stack images` lists what is here." : `Here are: ${near.slice(0, 5).join(", ")}.`;
}
