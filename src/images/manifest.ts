import type { Digest } from "../core/index.ts";
import { parseDigest, StackError } from "../core/index.ts";
import type { Platform } from "./platform.ts";
import { normalisePlatform } from "./platform.ts";

/** OCI image specification, descriptor.md. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
}

export type Manifest =
  | { readonly kind: "index"; readonly manifests: readonly (Descriptor & { readonly platform?: Platform })[] }
  | { readonly kind: "image"; readonly config: Descriptor; readonly layers: readonly Descriptor[] };

export const mediaTypes = {
  index: ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"],
  manifest: ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"],
  config: ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"],
} as const;

/** For the Accept header: everything that we can read. */
export const manifestAccept = [...mediaTypes.manifest, ...mediaTypes.index].join(", ");

/** Manifests and configurations larger than this are refused (registries limit them to 4 MiB). */
export const maxDocumentBytes = 4 << 20;

/** A layer's media type names a tar, as it is or compressed; which way, its first bytes tell. */
const layerType = /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?)$/;

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function parseJson(bytes: Uint8Array, what: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new StackError("image-invalid", `${what} is not valid JSON`, { cause: error });
  }
  if (!isObject(value)) throw new StackError("image-invalid", `${what} is not a JSON object`);
  return value;
}

/** `what` names the document in messages. Throws `image-invalid`. */
export function parseManifest(bytes: Uint8Array, what: string): Manifest {
  const json = parseJson(bytes, what);
  if (json["schemaVersion"] === 1)
    throw new StackError("image-invalid", `${what} is in Docker's schema 1, which was given up in 2019 and cannot be verified`, {
      hint: "Push the image again with a current tool; it then gets a schema 2 manifest.",
    });
  if (json["schemaVersion"] !== 2) throw new StackError("image-invalid", `${what} has no schemaVersion 2`);
  const isIndex = Array.isArray(json["manifests"]);
  // One document that is both would be read differently by different tools (CVE-2021-41190).
  if (isIndex && (json["layers"] !== undefined || json["config"] !== undefined))
    throw new StackError("image-invalid", `${what} is an index and a manifest at once`);
  if (isIndex) return { kind: "index", manifests: parseIndexEntries(json["manifests"], what) };
  if (!isObject(json["config"]) || !Array.isArray(json["layers"]))
    throw new StackError("image-invalid", `${what} is neither an image manifest nor an index`);
  const config = parseDescriptor(json["config"], `${what}: config`);
  if (!(mediaTypes.config as readonly string[]).includes(config.mediaType))
    throw new StackError("image-invalid", `${what} is not a container image: its configuration is of type ${config.mediaType}`, {
      hint: "It is some other artifact (a Helm chart, a signature …) kept in a registry.",
    });
  const layers = json["layers"].map((l, i) => parseDescriptor(l, `${what}: layer ${i + 1}`));
  for (const layer of layers) {
    if (!layerType.test(layer.mediaType))
      throw new StackError("image-invalid", `${what}: layer ${layer.digest} has the media type ${layer.mediaType}, which cannot be unpacked`);
  }
  return { kind: "image", config, layers };
}

function parseIndexEntries(entries: unknown, what: string): (Descriptor & { readonly platform?: Platform })[] {
  return (entries as unknown[]).map((entry, i) => {
    const descriptor = parseDescriptor(entry, `${what}: manifest ${i + 1}`);
    const platform = isObject(entry) ? entry["platform"] : undefined;
    if (!isObject(platform)) return descriptor;
    const { os, architecture, variant } = platform;
    if (typeof os !== "string" || typeof architecture !== "string") return descriptor;
    return { ...descriptor, platform: normalisePlatform(os, architecture, typeof variant === "string" ? variant : undefined) };
  });
}

function parseDescriptor(value: unknown, what: string): Descriptor {
  if (!isObject(value)) throw new StackError("image-invalid", `${what} is not a descriptor`);
  const { mediaType, digest, size, annotations } = value;
  if (typeof digest !== "string") throw new StackError("image-invalid", `${what} has no digest`);
  const parsed = parseDigest(digest);
  if (parsed === undefined) throw new StackError("image-invalid", `${what} has the digest "${digest.slice(0, 100)}"; only sha256 is supported`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    throw new StackError("image-invalid", `${what} has no valid size`);
  const notes: Record<string, string> = {};
  if (isObject(annotations)) for (const [k, v] of Object.entries(annotations)) if (typeof v === "string") notes[k] = v;
  return { mediaType: typeof mediaType === "string" ? mediaType : "", digest: parsed, size, annotations: notes };
}
