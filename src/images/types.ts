import type { Digest, HostPath } from "../core/index.ts";

/** An image that is here: configuration read, every layer unpacked. */
export interface Image {
  /** Digest of its configuration: what Docker calls the image id. */
  readonly id: Digest;
  /** Digest of its manifest, if it came from a registry. */
  readonly digest?: Digest;
  /** Normalised references that point to it: `docker.io/library/redis:7`. */
  readonly references: readonly string[];
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string };
  readonly config: ImageConfig;
  /** Directories for overlayfs, uppermost first. */
  readonly layers: readonly HostPath[];
  /** Bytes of the unpacked layers. */
  readonly size: number;
  /** ISO 8601 from the configuration; "" if it has none. */
  readonly created: string;
  /** Milliseconds since the epoch. */
  readonly pulledAt: number;
}

/** The `config` member of an OCI image configuration, in plain form (and Docker's Healthcheck). */
export interface ImageConfig {
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly volumes: readonly string[];
  /** `80/tcp` */
  readonly exposedPorts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal: string;
  readonly healthcheck?: {
    readonly test: readonly string[];
    /** Milliseconds; 0 or absent: not set. */
    readonly intervalMs?: number;
    readonly timeoutMs?: number;
    readonly startPeriodMs?: number;
    readonly startIntervalMs?: number;
    readonly retries?: number;
  };
}

export type ImageProgress =
  | { readonly kind: "resolving"; readonly reference: string }
  | { readonly kind: "layer"; readonly reference: string; readonly layer: string; readonly status: "waiting" | "pulling" | "unpacking" | "exists" | "done"; readonly current: number; readonly total: number }
  | { readonly kind: "done"; readonly reference: string; readonly image: Digest; readonly changed: boolean };

export interface PullOptions {
  /** `linux/amd64`; absent: this machine's. */
  readonly platform?: string;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: ImageProgress) => void;
}

export interface Images {
  /** What is here under this reference, id or unique id prefix. Never asks a registry. */
  find(reference: string): Promise<Image | undefined>;
  /** Pulls; concurrent pulls of the same layer (of any process) wait for each other. */
  pull(reference: string, options: PullOptions): Promise<Image>;
  /** docker-archive or OCI layout (directory, tar, tar.gz, tar.zst, or a stream). Returns what was loaded. */
  load(from: HostPath | NodeJS.ReadableStream, options: PullOptions): Promise<readonly { readonly reference: string | null; readonly image: Image }[]>;
  list(): Promise<readonly Image[]>;
  /** Removes the reference; what nothing uses any more goes at the next `collect`. */
  remove(reference: string): Promise<void>;
  /** Marks from references and from `inUse` (image ids of containers), deletes the rest. Returns bytes freed. */
  collect(inUse: readonly string[]): Promise<number>;
  /** The content of a file of the merged layers (following whiteouts and, inside, symbolic links), at most `maxBytes`. */
  readFile(layers: readonly HostPath[], path: string, maxBytes: number): Promise<Uint8Array | undefined>;
  /** Does the path exist in the merged layers, and as what? */
  stat(layers: readonly HostPath[], path: string): Promise<{ readonly kind: "file" | "directory" | "symlink" | "other" } | undefined>;
  /** Where the path leads in the merged layers: relative to the root, every symbolic link followed inside it. */
  resolve(layers: readonly HostPath[], path: string): Promise<string | undefined>;
}
