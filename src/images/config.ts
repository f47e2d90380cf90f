import { posix } from "node:path";
import type { Digest } from "../core/index.ts";
import { parseDigest, StackError } from "../core/index.ts";
import type { JsonObject } from "./manifest.ts";
import { isObject, parseJson } from "./manifest.ts";
import type { Platform } from "./platform.ts";
import { normalisePlatform } from "./platform.ts";
import type { ImageConfig } from "./types.ts";

/** OVL_MAX_STACK of overlayfs is 500, and one more may be needed for directories that layers leave out. */
const maxLayers = 499;

/** An image configuration (OCI image specification, config.md), as far as running needs it. */
export interface ImageDocument {
  readonly platform: Platform;
  /** ISO 8601; "" if it has none. */
  readonly created: string;
  /** Lowest layer first. */
  readonly diffIds: readonly Digest[];
  readonly config: ImageConfig;
}

/**
 * Strict in what is needed to be safe (layers, platform), tolerant in the rest: tools write `null`, leave
 * members out, and write a string for a list of one. Throws `image-invalid`.
 */
export function parseImageDocument(bytes: Uint8Array, what: string): ImageDocument {
  const json = parseJson(bytes, what);
  const rootfs = json["rootfs"];
  const listed = isObject(rootfs) ? (rootfs["diff_ids"] ?? []) : undefined; // an image without layers may say null
  if (!Array.isArray(listed)) throw new StackError("image-invalid", `${what} lists no layers (rootfs.diff_ids)`);
  if (listed.length > maxLayers) throw new StackError("image-invalid", `${what} lists ${listed.length} layers; the kernel lays at most ${maxLayers} over each other`);
  const diffIds = listed.map((id: unknown) => {
    const digest = typeof id === "string" ? parseDigest(id) : undefined;
    if (digest === undefined) throw new StackError("image-invalid", `${what} has the layer ${JSON.stringify(id)}, which is no sha256 digest`);
    return digest;
  });
  const { os, architecture, variant, created } = json;
  if (typeof os !== "string" || typeof architecture !== "string" || os === "" || architecture === "")
    throw new StackError("image-invalid", `${what} does not say for which platform it is (os, architecture)`);
  return {
    platform: normalisePlatform(os, architecture, typeof variant === "string" ? variant : undefined),
    created: typeof created === "string" ? created : "",
    diffIds,
    config: parseConfig(json["config"], what),
  };
}

function parseConfig(value: unknown, what: string): ImageConfig {
  const json: JsonObject = isObject(value) ? value : {};
  const healthcheck = parseHealthcheck(json["Healthcheck"], what);
  return {
    user: text(json["User"], what, "User"),
    env: list(json["Env"], what, "Env"),
    entrypoint: list(json["Entrypoint"], what, "Entrypoint"),
    cmd: list(json["Cmd"], what, "Cmd"),
    workingDir: text(json["WorkingDir"], what, "WorkingDir"),
    volumes: volumes(json["Volumes"], what),
    exposedPorts: keys(json["ExposedPorts"]).map((port) => (port.includes("/") ? port : `${port}/tcp`)),
    labels: labels(json["Labels"]),
    stopSignal: text(json["StopSignal"], what, "StopSignal"),
    ...(healthcheck === undefined ? {} : { healthcheck }),
  };
}

function text(value: unknown, what: string, member: string): string {
  if (typeof value !== "string") return "";
  // No path and no name has one, and what follows it would be lost.
  if (value.includes("\0")) throw new StackError("image-invalid", `${what}: ${member} contains a NUL byte`);
  return value;
}

/** Paths in the container, as it would call them itself; over the root or outside of it nothing can be mounted. */
function volumes(value: unknown, what: string): readonly string[] {
  const targets = keys(value).map((path) => {
    const target = posix.normalize(path.startsWith("/") ? path : `/${path}`);
    if (target === "/" || path.includes("\0")) throw new StackError("image-invalid", `${what}: "${path.replaceAll("\0", "\\0")}" cannot be a volume`);
    return target.replace(/\/$/, "");
  });
  return [...new Set(targets)];
}

function list(value: unknown, what: string, member: string): readonly string[] {
  if (value === undefined || value === null) return [];
  if (typeof value === "string") return [value];
  if (Array.isArray(value) && value.every((v): v is string => typeof v === "string" && !v.includes("\0"))) return value;
  throw new StackError("image-invalid", `${what}: ${member} is not a list of strings`);
}

function keys(value: unknown): readonly string[] {
  return isObject(value) ? Object.keys(value) : [];
}

function labels(value: unknown): Readonly<Record<string, string>> {
  // An image may call a label anything, also "__proto__".
  const entries = isObject(value) ? Object.entries(value).filter((e): e is [string, string] => typeof e[1] === "string") : [];
  return Object.fromEntries(entries);
}

/** Docker's member, durations in nanoseconds. `["NONE"]` and no test at all mean none. */
function parseHealthcheck(value: unknown, what: string): ImageConfig["healthcheck"] {
  if (!isObject(value)) return undefined;
  const test = list(value["Test"], what, "Healthcheck.Test");
  if (test.length === 0) return undefined;
  const duration = (member: string): number => {
    const ns = value[member];
    return typeof ns === "number" && ns > 0 ? ns / 1e6 : 0;
  };
  const intervalMs = duration("Interval");
  const timeoutMs = duration("Timeout");
  const startPeriodMs = duration("StartPeriod");
  const startIntervalMs = duration("StartInterval");
  const retries = value["Retries"];
  return {
    test,
    ...(intervalMs > 0 ? { intervalMs } : {}),
    ...(timeoutMs > 0 ? { timeoutMs } : {}),
    ...(startPeriodMs > 0 ? { startPeriodMs } : {}),
    ...(startIntervalMs > 0 ? { startIntervalMs } : {}),
    ...(typeof retries === "number" && retries > 0 ? { retries } : {}),
  };
}
