import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** What `docker inspect` shows under Config; the part that images here use. */
export interface ImageConfig {
  readonly Env?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly WorkingDir?: string;
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly StopSignal?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  /** Durations in nanoseconds. */
  readonly Healthcheck?: { readonly Test: readonly string[]; readonly Interval?: number; readonly Timeout?: number; readonly StartPeriod?: number; readonly Retries?: number };
}

export interface LayerBlob {
  readonly digest: string;
  readonly size: number;
  /** Digest of the uncompressed tar. */
  readonly diffId: string;
  readonly compression: "none" | "gzip" | "zstd";
}

const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64", arm: "arm", ppc64: "ppc64le", s390x: "s390x", riscv64: "riscv64" };
export const architecture = architectures[process.arch] ?? process.arch;

export const sha256 = (data: string | Buffer): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;

/** An OCI image layout on disk, to which layers and images are added. */
export class Layout {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(join(directory, "blobs/sha256"), { recursive: true });
    if (!existsSync(join(directory, "oci-layout"))) writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
    if (!existsSync(join(directory, "index.json"))) writeFileSync(join(directory, "index.json"), '{"schemaVersion":2,"manifests":[]}');
  }

  blobPath(digest: string): string {
    return join(this.directory, "blobs/sha256", digest.replace("sha256:", ""));
  }

  blob(data: string | Buffer): { readonly digest: string; readonly size: number } {
    const digest = sha256(data);
    writeFileSync(this.blobPath(digest), data);
    return { digest, size: Buffer.byteLength(data) };
  }

  /** A layer from a small tar in memory. */
  layer(tarball: Buffer, compression: "none" | "gzip" = "gzip"): LayerBlob {
    const blob = this.blob(compression === "gzip" ? gzipSync(tarball, { level: 1 }) : tarball);
    return { ...blob, diffId: sha256(tarball), compression };
  }

  /** A layer whose compressed file exists already; it is moved in. */
  adopt(file: string, layer: LayerBlob): void {
    renameSync(file, this.blobPath(layer.digest));
  }

  /** Writes configuration and manifest, and tags it. Returns the digest of the manifest. */
  image(tag: string, layers: readonly LayerBlob[], config: ImageConfig, dialect: "oci" | "docker" = "oci"): string {
    const types =
      dialect === "oci"
        ? { manifest: "application/vnd.oci.image.manifest.v1+json", config: "application/vnd.oci.image.config.v1+json", layer: "application/vnd.oci.image.layer.v1.tar" }
        : { manifest: "application/vnd.docker.distribution.manifest.v2+json", config: "application/vnd.docker.container.image.v1+json", layer: "application/vnd.docker.image.rootfs.diff.tar" };
    const suffix = { none: "", gzip: dialect === "oci" ? "+gzip" : ".gzip", zstd: dialect === "oci" ? "+zstd" : ".zstd" };
    const configuration = this.blob(
      JSON.stringify({
        created: "2023-11-14T22:13:20Z",
        architecture,
        os: "linux",
        config,
        rootfs: { type: "layers", diff_ids: layers.map((l) => l.diffId) },
        history: layers.map((l) => ({ created: "2023-11-14T22:13:20Z", created_by: `layer ${l.diffId.slice(7, 19)}` })),
      }),
    );
    const manifest = this.blob(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: types.manifest,
        config: { mediaType: types.config, ...configuration },
        layers: layers.map((l) => ({ mediaType: types.layer + suffix[l.compression], digest: l.digest, size: l.size })),
      }),
    );
    this.#tag({ mediaType: types.manifest, ...manifest, annotations: { "org.opencontainers.image.ref.name": tag } });
    return manifest.digest;
  }

  #tag(descriptor: { readonly annotations: Readonly<Record<string, string>>; readonly [key: string]: unknown }): void {
    const file = join(this.directory, "index.json");
    const index = JSON.parse(readFileSync(file, "utf8")) as { manifests: { annotations?: Record<string, string> }[] };
    const name = "org.opencontainers.image.ref.name";
    index.manifests = index.manifests.filter((m) => m.annotations?.[name] !== descriptor.annotations[name]);
    index.manifests.push(descriptor);
    writeFileSync(file, JSON.stringify(index));
  }
}
