import type { Digest } from "../core/index.ts";
import { StackError } from "../core/index.ts";
import type { ImageDocument } from "./config.ts";
import { parseImageDocument } from "./config.ts";
import type { WantedLayer } from "./fetch.ts";
import { withLayers } from "./fetch.ts";
import type { ImageStore } from "./images.ts";
import { lookUp, suggestion } from "./images.ts";
import { readImageIndex } from "./index-file.ts";
import type { Descriptor, Manifest } from "./manifest.ts";
import { maxDocumentBytes, parseManifest } from "./manifest.ts";
import type { Platform } from "./platform.ts";
import { choosePlatform, formatPlatform, hostPlatform, parsePlatform, satisfies } from "./platform.ts";
import type { Reference } from "./reference.ts";
import { familiarReference, formatReference, parseReference } from "./reference.ts";
import type { FetchedManifest, Registry } from "./registry.ts";
import type { Image, PullOptions } from "./types.ts";
import { writeChunk } from "./unpack.ts";

/** An index in an index in an index: nobody makes more. */
const maxIndexDepth = 3;
/** Progress is reported in steps of this many bytes. */
const progressStep = 256 << 10;

interface ResolvedImage {
  /** What the registry answered for the reference: an index or a manifest. */
  readonly top: Digest;
  readonly manifest: FetchedManifest;
  readonly layers: readonly Descriptor[];
  readonly configDescriptor: Descriptor;
}

/** Asks the registry what the reference is now, and brings here what is missing of it. */
export async function pullImage(store: ImageStore, text: string, options: PullOptions): Promise<Image> {
  const reference = parseReference(text);
  const name = formatReference(reference);
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform);
  options.onProgress?.({ kind: "resolving", reference: name });
  const registry = store.registry(reference.host);

  const current = await unchanged(store, registry, reference, platform, options.signal);
  if (current !== undefined) {
    options.onProgress?.({ kind: "done", reference: name, image: current.id, changed: false });
    return current;
  }
  const resolved = await resolve(store, registry, reference, platform, options.signal);
  const what = familiarReference(name);
  const { configDescriptor } = resolved;
  if (configDescriptor.size > maxDocumentBytes) throw new StackError("image-invalid", `The configuration of ${what} is larger than ${maxDocumentBytes} bytes`);
  const config = await registry.blob(reference, configDescriptor.digest, `the configuration of ${what}`, options.signal);
  const document = parseImageDocument(config, `The configuration of ${what}`);
  checkDocument(document, resolved, what, options.platform === undefined ? undefined : platform);
  const wanted = resolved.layers.flatMap((descriptor, i) => {
    const diffId = document.diffIds[i];
    return diffId === undefined ? [] : [wantedLayer(registry, reference, descriptor, diffId)];
  });
  const image = await withLayers(store, name, wanted, options, ({ diffIds, size }) =>
    store.commit({ id: configDescriptor.digest, config, manifest: resolved.manifest, layers: diffIds, size, reference: { name, digest: resolved.top } }, options.signal),
  );
  options.onProgress?.({ kind: "done", reference: name, image: image.id, changed: true });
  return image;
}

/** What is here already, if the registry still has the same for the reference. */
async function unchanged(store: ImageStore, registry: Registry, reference: Reference, wanted: Platform, signal: AbortSignal): Promise<Image | undefined> {
  const index = await readImageIndex(store.root);
  const known = lookUp(index, formatReference(reference));
  const image = known === undefined ? undefined : await store.image(index, known.id, known.digest);
  if (known?.digest === undefined || image === undefined || known.name !== formatReference(reference) || !satisfies(image.platform, wanted)) return undefined;
  if (reference.digest === known.digest) return image;
  // A registry that cannot answer HEAD can answer GET, which follows.
  const now = await registry.resolve(reference, signal).catch((error: unknown) => {
    if (error instanceof StackError && error.code === "registry-error") return undefined;
    throw error;
  });
  return now === known.digest ? image : undefined;
}

async function resolve(store: ImageStore, registry: Registry, reference: Reference, wanted: Platform, signal: AbortSignal): Promise<ResolvedImage> {
  const what = familiarReference(formatReference(reference));
  const top = await registry.manifest(reference, signal).catch(async (error: unknown) => {
    if (error instanceof StackError && error.code === "image-not-found") throw await withSuggestion(store, error, what);
    throw error;
  });
  let manifest = top;
  for (let depth = 0; ; depth++) {
    const parsed = parseManifest(manifest.bytes, `The manifest of ${what}`);
    if (parsed.kind === "image") return { top: top.digest, manifest, layers: parsed.layers, configDescriptor: parsed.config };
    if (depth === maxIndexDepth) throw new StackError("image-invalid", `The index of ${what} contains indexes without end`);
    const chosen = chooseManifest(parsed, wanted, what);
    manifest = await registry.manifest({ ...reference, digest: chosen.digest }, signal);
  }
}

function chooseManifest(index: Extract<Manifest, { kind: "index" }>, wanted: Platform, what: string): Descriptor {
  const chosen = choosePlatform(index.manifests, wanted);
  if (chosen !== undefined) return chosen;
  // An index without platforms has one meaning only if there is one entry.
  const [only] = index.manifests;
  if (only !== undefined && index.manifests.length === 1 && only.platform === undefined) return only;
  const offers = index.manifests.flatMap((m) => (m.platform === undefined || m.platform.os === "unknown" ? [] : [formatPlatform(m.platform)]));
  throw new StackError("image-platform", `${what} has no image for ${formatPlatform(wanted)}`, {
    hint: offers.length === 0 ? "Its index names no platforms." : `It has: ${[...new Set(offers)].join(", ")}. Choose one with \`platform:\`.`,
    details: { wanted: formatPlatform(wanted), available: offers },
  });
}

function checkDocument(document: ImageDocument, resolved: ResolvedImage, what: string, asked: Platform | undefined): void {
  if (document.diffIds.length !== resolved.layers.length)
    throw new StackError("image-invalid", `${what} is inconsistent: its manifest has ${resolved.layers.length} layers, its configuration ${document.diffIds.length}`);
  const { platform } = document;
  if (platform.os !== "linux" || (asked !== undefined && !satisfies(platform, asked)))
    throw new StackError("image-platform", `${what} is an image for ${formatPlatform(platform)}${asked === undefined ? "" : `, not for ${formatPlatform(asked)}`}`);
}

async function withSuggestion(store: ImageStore, error: StackError, what: string): Promise<StackError> {
  const index = await readImageIndex(store.root);
  return new StackError(error.code, error.message, { hint: `Check the name and the tag. ${suggestion(index, what)}`, cause: error.cause, details: error.details });
}

function wantedLayer(registry: Registry, reference: Reference, descriptor: Descriptor, diffId: Digest): WantedLayer {
  const name = descriptor.digest.slice(7, 19);
  const what = `layer ${name} of ${familiarReference(formatReference(reference))}`;
  return {
    diffId,
    name,
    size: descriptor.size,
    source: (signal, report) => ({
      what,
      digest: descriptor.digest,
      async feed(input) {
        let current = 0;
        let reported = 0;
        report("pulling", 0);
        await registry.stream(reference, descriptor.digest, descriptor.size, what, signal, async (chunk) => {
          current += chunk.length;
          if (current - reported >= progressStep) report("pulling", (reported = current));
          return writeChunk(input, chunk);
        });
        report("unpacking", descriptor.size);
      },
    }),
  };
}
