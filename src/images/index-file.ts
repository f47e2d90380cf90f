import { join } from "node:path";
import type { DataRoot, Digest } from "../core/index.ts";
import { paths, readIfThere, StackError, writeFileAtomic } from "../core/index.ts";
import type { ImagesBinding } from "./locks.ts";
import { waitForLock } from "./locks.ts";
import { isObject } from "./manifest.ts";

const INDEX_VERSION = 1;

/** `images/index.json`: what is here. Replaced as a whole, by rename, under `images/lock`. */
export interface ImageIndex {
  readonly version: typeof INDEX_VERSION;
  /** By image id. */
  readonly images: Readonly<Record<string, ImageRecord>>;
  /** By normalised reference. */
  readonly references: Readonly<Record<string, ReferenceRecord>>;
}

export interface ImageRecord {
  readonly id: Digest;
  /** The manifest of its platform, a blob; absent if it was loaded from a docker-archive. */
  readonly manifest?: Digest;
  /** Diff ids, lowest first. */
  readonly layers: readonly Digest[];
  /** Bytes unpacked. */
  readonly size: number;
  readonly pulledAt: number;
}

export interface ReferenceRecord {
  readonly id: Digest;
  /** What the registry answered for the reference: an index, where it has one. */
  readonly digest?: Digest;
}

const empty: ImageIndex = { version: INDEX_VERSION, images: {}, references: {} };

export async function readImageIndex(root: DataRoot): Promise<ImageIndex> {
  const path = join(paths.images(root), "index.json");
  const text = readIfThere(path);
  if (text === undefined) return empty;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new StackError("internal", `${path} is damaged`, { cause: error, hint: "Remove it; the images are then pulled again." });
  }
  if (!isObject(json) || typeof json["version"] !== "number" || !isObject(json["images"]) || !isObject(json["references"]))
    throw new StackError("internal", `${path} is damaged`, { hint: "Remove it; the images are then pulled again." });
  if (json["version"] > INDEX_VERSION)
    throw new StackError("state-version", `${path} was written by a newer version of stack`, { hint: "Use that version, or another data root (STACK_ROOT)." });
  return json as unknown as ImageIndex;
}

/** Reads, changes and replaces it under the store's lock. `change` returns undefined to leave it alone. */
export async function changeImageIndex<T>(
  root: DataRoot,
  native: ImagesBinding,
  signal: AbortSignal | undefined,
  change: (index: ImageIndex) => Promise<{ readonly index?: ImageIndex; readonly result: T }>,
): Promise<T> {
  const lock = await waitForLock(native, join(paths.images(root), "lock"), "exclusive", signal);
  try {
    const { index, result } = await change(await readImageIndex(root));
    if (index !== undefined) await writeFileAtomic(join(paths.images(root), "index.json"), `${JSON.stringify(index)}\n`, { durable: true });
    return result;
  } finally {
    lock.release();
  }
}
