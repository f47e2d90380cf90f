import { createHash } from "node:crypto";
import type { Stats } from "node:fs";
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../core/index.ts";
import type { HeldLayer, LayerRecord, LayerStore } from "./layers.ts";
import { resolveMerged } from "./merged.ts";
import { writeChunk } from "./unpack.ts";

interface Repair {
  readonly path: string;
  readonly stats: Stats;
}

/**
 * A layer may have an entry `tmp/x` and none for `tmp`: unpacked alone, its `tmp` is root's with 0755, and
 * overlayfs would show that instead of what a layer below says (1777). Where this matters, one more layer
 * of nothing but such directories goes on top; it is a tar as any other, with a digest of its own.
 */
export async function repairLayer(store: LayerStore, layers: readonly LayerRecord[], signal: AbortSignal): Promise<HeldLayer | undefined> {
  const paths = [...new Set(layers.flatMap((layer) => layer.implicit))].sort();
  if (paths.length === 0) return undefined;
  const directories = [...new Set([...layers].reverse().map((layer) => join(store.directory(layer.diffId), "diff") as Parameters<typeof resolveMerged>[0][number]))];
  const implicit = new Map(layers.map((layer) => [join(store.directory(layer.diffId), "diff"), new Set(layer.implicit)]));
  const repairs: Repair[] = [];
  for (const path of paths) {
    const node = await resolveMerged(directories, path);
    if (node?.path !== path || !node.stats.isDirectory()) continue;
    const source = node.layers.find((layer) => implicit.get(layer)?.has(path) !== true);
    if (source === undefined || source === node.layers[0]) continue;
    const stats = await lstat(join(source, path));
    if (stats.mode !== node.stats.mode || stats.uid !== node.stats.uid || stats.gid !== node.stats.gid) repairs.push({ path, stats });
  }
  if (repairs.length === 0) return undefined;
  // Directories on the way are made without an entry again: they need theirs too.
  const archive = Buffer.concat([...(await withParents(directories, repairs)).map(tarDirectory), Buffer.alloc(1024)]);
  const diffId = `sha256:${createHash("sha256").update(archive).digest("hex")}` as Digest;
  const source = {
    what: "the layer of directories without entries",
    digest: diffId,
    feed: async (input: Parameters<typeof writeChunk>[0]): Promise<void> => {
      await writeChunk(input, archive);
    },
  };
  return store.ensure(diffId, source, signal, () => undefined);
}

async function withParents(directories: Parameters<typeof resolveMerged>[0], repairs: readonly Repair[]): Promise<Repair[]> {
  const all = new Map(repairs.map((repair) => [repair.path, repair]));
  for (const { path } of repairs) {
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
      const parent = path.slice(0, at);
      const node = all.has(parent) ? undefined : await resolveMerged(directories, parent);
      if (node !== undefined) all.set(parent, { path: parent, stats: node.stats });
    }
  }
  return [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** A directory's entry (POSIX.1-2017, pax), name, owner and time as records, which have no limits. */
function tarDirectory({ path, stats }: Repair): Buffer {
  const records = Buffer.from([`path=${path}`, `uid=${stats.uid}`, `gid=${stats.gid}`, `mtime=${Math.floor(stats.mtimeMs / 1000)}`].map(paxRecord).join(""));
  const padding = Buffer.alloc((512 - (records.length % 512)) % 512);
  return Buffer.concat([tarHeader("x", records.length, 0o644), records, padding, tarHeader("5", 0, stats.mode & 0o7777)]);
}

/** The length counts itself. */
function paxRecord(text: string): string {
  const rest = Buffer.byteLength(text) + 2;
  let length = rest + 1;
  while (rest + String(length).length !== length) length++;
  return `${length} ${text}\n`;
}

function tarHeader(type: string, size: number, mode: number): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, at: number, digits: number): void => void header.write(`${value.toString(8).padStart(digits, "0")}\0`, at, "latin1");
  header.write("directory", 0, "latin1");
  octal(mode, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(size, 124, 11);
  octal(0, 136, 11);
  header.write(type, 156, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  header.fill(" ", 148, 156);
  const sum = header.reduce((a, b) => a + b, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}
