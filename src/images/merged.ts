import { closeSync, constants, lstatSync, openSync, readlinkSync, readSync } from "node:fs";
import type { Stats } from "node:fs";
import { dirname, join } from "node:path";
import { readIfThere } from "../core/index.ts";
import type { HostPath } from "../core/index.ts";
import { isObject } from "./manifest.ts";

/** As many symbolic links as the kernel follows (MAXSYMLINKS). */
const maxSymlinks = 40;

/** A path of the merged tree: for a directory all that are merged, uppermost first; else the one that shows. */
export interface Node {
  readonly stats: Stats;
  /** Path inside the root, without a slash at either end; "" is the root. */
  readonly path: string;
  readonly layers: readonly HostPath[];
}

/** The content of a file as the overlay of `layers` (uppermost first) would show it, at most `maxBytes` of it. */
export async function readMerged(layers: readonly HostPath[], path: string, maxBytes: number): Promise<Uint8Array | undefined> {
  const node = await resolveMerged(layers, path);
  const [layer] = node?.layers ?? [];
  if (node === undefined || layer === undefined || !node.stats.isFile()) return undefined;
  const file = openSync(join(layer, node.path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const buffer = Buffer.alloc(Math.min(maxBytes, Math.max(node.stats.size, 0)));
    let size = 0;
    while (size < buffer.length) {
      const bytesRead = readSync(file, buffer, size, buffer.length - size, size);
      if (bytesRead === 0) break;
      size += bytesRead;
    }
    return buffer.subarray(0, size);
  } finally {
    closeSync(file);
  }
}

/** What the path is after following symbolic links; `symlink` only for one that leads nowhere. */
export async function statMerged(layers: readonly HostPath[], path: string): Promise<{ readonly kind: "file" | "directory" | "symlink" | "other" } | undefined> {
  const found = await walk(layers, path);
  if (found === undefined) return undefined;
  const { stats } = found.node;
  if (!found.whole) return { kind: "symlink" };
  return { kind: stats.isFile() ? "file" : stats.isDirectory() ? "directory" : "other" };
}

/** Where the path is after following symbolic links inside the root. */
export async function resolveMerged(layers: readonly HostPath[], path: string): Promise<Node | undefined> {
  const found = await walk(layers, path);
  return found?.whole === true ? found.node : undefined;
}

/** Component by component, inside the root. Not `whole`: the last component is a link to nothing. */
async function walk(layers: readonly HostPath[], path: string): Promise<{ readonly node: Node; readonly whole: boolean } | undefined> {
  const root = await rootNode(layers);
  if (root === undefined) return undefined;
  const trail: Node[] = [root];
  const todo = path.split("/").reverse();
  let links = 0;
  let lastLink: Node | undefined;
  while (todo.length > 0) {
    const name = todo.pop() ?? "";
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (trail.length > 1) trail.pop();
      continue;
    }
    const at = trail.at(-1) ?? root;
    const node = at.stats.isDirectory() ? await child(at, name) : undefined;
    if (node === undefined) return lastLink === undefined ? undefined : { node: lastLink, whole: false };
    if (!node.stats.isSymbolicLink()) {
      trail.push(node);
      continue;
    }
    const [layer] = node.layers;
    if (++links > maxSymlinks || layer === undefined) return undefined;
    if (todo.every((rest) => rest === "" || rest === ".")) lastLink ??= node;
    const target = readlinkSync(join(layer, node.path));
    if (target.startsWith("/")) trail.length = 1;
    todo.push(...target.split("/").reverse());
  }
  const node = trail.at(-1);
  return node === undefined ? undefined : { node, whole: true };
}

async function rootNode(layers: readonly HostPath[]): Promise<Node | undefined> {
  const [top] = layers;
  if (top === undefined) return undefined;
  return { stats: lstatSync(top), path: "", layers };
}

/** One name in a merged directory (overlayfs.rst, "Upper and Lower", "whiteouts and opaque directories"). */
async function child(parent: Node, name: string): Promise<Node | undefined> {
  const path = parent.path === "" ? name : `${parent.path}/${name}`;
  let stats: Stats | undefined;
  const merged: HostPath[] = [];
  for (const layer of parent.layers) {
    const here = statsOf(join(layer, path));
    if (here === undefined) continue;
    const whiteout = here.isCharacterDevice() && here.rdev === 0;
    if (whiteout || (stats !== undefined && !here.isDirectory())) break;
    stats ??= here;
    merged.push(layer);
    if (!here.isDirectory() || opaqueDirectories(layer).has(path)) break;
  }
  return stats === undefined ? undefined : { stats, path, layers: merged };
}

function statsOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG") return undefined;
    throw error;
  }
}

const opaque = new Map<HostPath, ReadonlySet<string>>();

/** From the layer's record (Node cannot read extended attributes). A directory that is no layer of ours has none. */
function opaqueDirectories(layer: HostPath): ReadonlySet<string> {
  let known = opaque.get(layer);
  if (known === undefined) {
    const text = readIfThere(join(dirname(layer), "layer.json"));
    const json: unknown = text === undefined ? undefined : JSON.parse(text);
    known = new Set(isObject(json) && Array.isArray(json["opaque"]) ? json["opaque"].filter((p): p is string => typeof p === "string") : []);
    opaque.set(layer, known);
  }
  return known;
}
