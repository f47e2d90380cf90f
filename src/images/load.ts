import { createReadStream } from "node:fs";
import type { Digest, HostPath } from "../core/index.ts";
import { parseDigest, StackError } from "../core/index.ts";
import type { ArchiveFiles } from "./archive.ts";
import { archiveStats, copy, directoryFiles, readDocument, unpackArchive } from "./archive.ts";
import { parseImageDocument } from "./config.ts";
import type { WantedLayer } from "./fetch.ts";
import { withLayers } from "./fetch.ts";
import type { ImageStore } from "./images.ts";
import { capitalise, digestMismatch } from "./layers.ts";
import { throwIfAborted } from "./locks.ts";
import type { Descriptor } from "./manifest.ts";
import { isObject, maxDocumentBytes, parseManifest } from "./manifest.ts";
import type { Platform } from "./platform.ts";
import { choosePlatform, formatPlatform, hostPlatform, parsePlatform } from "./platform.ts";
import { formatReference, parseReference } from "./reference.ts";
import { sha256 } from "./registry.ts";
import type { Image, PullOptions } from "./types.ts";

type Loaded = { readonly reference: string | null; readonly image: Image };

/** One image of the archive, read and checked, its layers not yet unpacked. */
interface ArchivedImage {
  readonly references: readonly string[];
  readonly id: Digest;
  readonly config: Uint8Array;
  readonly manifest?: { readonly digest: Digest; readonly bytes: Uint8Array };
  readonly layers: readonly { readonly path: string; readonly diffId: Digest; readonly digest?: Digest }[];
}

/** `docker save`'s format and the OCI image layout, from a directory, a tar or a stream. */
export async function loadImages(store: ImageStore, from: HostPath | NodeJS.ReadableStream, options: PullOptions): Promise<readonly Loaded[]> {
  throwIfAborted(options.signal);
  if (typeof from === "string" && (await archiveStats(from)).isDirectory()) return loadFiles(store, directoryFiles(from), options);
  await using temporary = await store.temporary("load");
  return await loadFiles(store, await unpackArchive(store, from, temporary, options.signal), options);
}

async function loadFiles(store: ImageStore, files: ArchiveFiles, options: PullOptions): Promise<readonly Loaded[]> {
  const images = await readArchive(files, options.platform === undefined ? hostPlatform() : parsePlatform(options.platform));
  if (images.length === 0) throw new StackError("image-invalid", `${capitalise(files.name)} contains no image`);
  const loaded: Loaded[] = [];
  for (const image of images) loaded.push(...(await loadOne(store, files, image, options)));
  return loaded;
}

async function readArchive(files: ArchiveFiles, wanted: Platform): Promise<readonly ArchivedImage[]> {
  // Newer versions of `docker save` write both; manifest.json has the complete names.
  if ((await files.find("manifest.json")) !== undefined) return readDockerArchive(files);
  if ((await files.find("index.json")) !== undefined) return readOciLayout(files, wanted);
  throw new StackError("image-invalid", `${capitalise(files.name)} is neither a docker-archive nor an OCI layout`, {
    hint: (await files.find("repositories")) === undefined ? "A file system as `docker export` writes it is no image; use `docker save`." : "It was saved by a version of Docker before 1.10; save it again with a current one.",
  });
}

async function readDockerArchive(files: ArchiveFiles): Promise<ArchivedImage[]> {
  const entries: unknown = parseList(await readDocument(files, "manifest.json", maxDocumentBytes), files);
  if (!Array.isArray(entries)) throw new StackError("image-invalid", `${capitalise(files.name)}: manifest.json is not a list`);
  const images: ArchivedImage[] = [];
  for (const entry of entries as unknown[]) {
    const { Config: configPath, RepoTags: tags, Layers: paths } = isObject(entry) ? entry : {};
    if (typeof configPath !== "string" || !isStrings(paths ?? []) || !isStrings(tags ?? []))
      throw new StackError("image-invalid", `${capitalise(files.name)}: manifest.json is malformed`);
    const layerPaths = (paths ?? []) as string[];
    const config = await readDocument(files, configPath, maxDocumentBytes);
    const id = sha256(config);
    const stated = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(configPath)?.[1];
    if (stated !== undefined && id !== `sha256:${stated}`) throw digestMismatch(`${configPath} in ${files.name}`, `sha256:${stated}`, id);
    const { diffIds } = parseImageDocument(config, `${configPath} in ${files.name}`);
    images.push({ references: ((tags ?? []) as string[]).map((t) => formatReference(parseReference(t))), id, config, layers: pairLayers(layerPaths.map((path) => ({ path })), diffIds, files) });
  }
  return images;
}

function parseList(bytes: Uint8Array, files: ArchiveFiles): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new StackError("image-invalid", `${capitalise(files.name)}: manifest.json is not valid JSON`, { cause });
  }
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((v) => typeof v === "string");
}

function pairLayers<T extends { readonly path: string }>(layers: readonly T[], diffIds: readonly Digest[], files: ArchiveFiles): (T & { readonly diffId: Digest })[] {
  if (layers.length !== diffIds.length)
    throw new StackError("image-invalid", `${capitalise(files.name)} is inconsistent: ${layers.length} layers, but the configuration names ${diffIds.length}`);
  return layers.flatMap((layer, i) => {
    const diffId = diffIds[i];
    return diffId === undefined ? [] : [{ ...layer, diffId }];
  });
}

/** OCI image specification, image-layout.md. */
async function readOciLayout(files: ArchiveFiles, wanted: Platform): Promise<ArchivedImage[]> {
  const index = parseManifest(await readDocument(files, "index.json", maxDocumentBytes), `index.json in ${files.name}`);
  if (index.kind !== "index") throw new StackError("image-invalid", `index.json in ${files.name} is no index`);
  const byName = new Map<string | null, (typeof index.manifests)[number][]>();
  for (const entry of index.manifests) {
    if (entry.platform?.os === "unknown") continue; // attestations
    const name = nameOf(entry);
    byName.set(name, [...(byName.get(name) ?? []), entry]);
  }
  const images: ArchivedImage[] = [];
  for (const [name, entries] of byName) {
    const platforms = entries.length > 1 && entries.every((e) => e.platform !== undefined);
    const chosen = platforms ? [choosePlatform(entries, wanted) ?? noPlatform(files, wanted, entries)] : entries;
    for (const entry of chosen) images.push(await readOciImage(files, entry, name === null ? [] : [name], wanted));
  }
  return images;
}

/** A whole name, or with a colon `NAME:TAG`; a bare tag (the specification allows it) names nothing. */
function nameOf(entry: Descriptor): string | null {
  const name = entry.annotations["io.containerd.image.name"] ?? entry.annotations["org.opencontainers.image.ref.name"];
  return name === undefined || !/[:/]/.test(name) ? null : formatReference(parseReference(name));
}

function noPlatform(files: ArchiveFiles, wanted: Platform, entries: readonly { readonly platform?: Platform }[]): never {
  const offers = entries.flatMap((e) => (e.platform === undefined || e.platform.os === "unknown" ? [] : [formatPlatform(e.platform)]));
  throw new StackError("image-platform", `${capitalise(files.name)} has no image for ${formatPlatform(wanted)}`, { hint: `It has: ${offers.join(", ")}.` });
}

async function readOciImage(files: ArchiveFiles, descriptor: Descriptor, references: readonly string[], wanted: Platform, depth = 0): Promise<ArchivedImage> {
  const bytes = await readBlob(files, descriptor.digest);
  const manifest = parseManifest(bytes, `The manifest ${descriptor.digest} in ${files.name}`);
  if (manifest.kind === "index") {
    const chosen = choosePlatform(manifest.manifests, wanted) ?? (manifest.manifests.length === 1 ? manifest.manifests[0] : undefined);
    if (chosen === undefined || depth > 2) return noPlatform(files, wanted, manifest.manifests);
    return readOciImage(files, chosen, references, wanted, depth + 1);
  }
  const config = await readBlob(files, manifest.config.digest);
  const { diffIds } = parseImageDocument(config, `The configuration ${manifest.config.digest} in ${files.name}`);
  const layers = manifest.layers.map((l) => ({ path: blobPath(l.digest), digest: l.digest }));
  return { references, id: manifest.config.digest, config, manifest: { digest: descriptor.digest, bytes }, layers: pairLayers(layers, diffIds, files) };
}

function blobPath(digest: Digest): string {
  return `blobs/sha256/${digest.slice(7)}`;
}

async function readBlob(files: ArchiveFiles, digest: Digest): Promise<Uint8Array> {
  const bytes = await readDocument(files, blobPath(digest), maxDocumentBytes);
  const actual = sha256(bytes);
  if (parseDigest(actual) !== digest) throw digestMismatch(`${blobPath(digest)} in ${files.name}`, digest, actual);
  return bytes;
}

async function loadOne(store: ImageStore, files: ArchiveFiles, image: ArchivedImage, options: PullOptions): Promise<Loaded[]> {
  const wanted: WantedLayer[] = [];
  for (const layer of image.layers) wanted.push(await wantedLayer(files, layer));
  const loaded: Loaded[] = [];
  await withLayers(store, image.references[0] ?? image.id, wanted, options, async ({ diffIds, size }) => {
    const { id, config, manifest } = image;
    const made = { id, config, ...(manifest === undefined ? {} : { manifest }), layers: diffIds, size };
    const digest = manifest === undefined ? {} : { digest: manifest.digest };
    const [first = null, ...others] = image.references;
    for (const reference of [first, ...others]) {
      const known = await store.commit({ ...made, ...(reference === null ? {} : { reference: { name: reference, ...digest } }) }, options.signal);
      loaded.push({ reference, image: known });
    }
    return (loaded[0] as Loaded).image;
  });
  for (const { reference } of loaded) options.onProgress?.({ kind: "done", reference: reference ?? image.id, image: image.id, changed: true });
  return loaded;
}

async function wantedLayer(files: ArchiveFiles, layer: ArchivedImage["layers"][number]): Promise<WantedLayer> {
  const found = await files.find(layer.path);
  if (found === undefined) throw new StackError("image-invalid", `${capitalise(files.name)} is incomplete: it has no file ${layer.path}`);
  return {
    diffId: layer.diffId,
    name: layer.diffId.slice(7, 19),
    size: found.size,
    source: (signal, report) => ({
      what: `layer ${layer.path} of ${files.name}`,
      ...(layer.digest === undefined ? {} : { digest: layer.digest }),
      async feed(input) {
        report("unpacking", 0);
        await copy(createReadStream(found.path, { highWaterMark: 256 << 10, signal }), input);
      },
    }),
  };
}
