import { StackError } from "../core/index.ts";
import type { ContainerId, HostPath } from "../core/index.ts";
import { FORMAT_VERSION } from "./formats.ts";
import type { HealthSpec, LogSpec, MonitorSpec, NetworkSpec, RootfsSpec } from "./formats.ts";
import { isForeignRuntime, usesInit } from "./init.ts";
import type { ImageInput, ServiceInput } from "./input.ts";
import { toRestart, toStop } from "./restart-spec.ts";
import { containerArgs, toSupervision } from "./supervision.ts";

export interface MonitorInput {
  readonly id: ContainerId;
  readonly name: string;
  readonly service: ServiceInput;
  readonly image: ImageInput | null;
  /** `containers/ID`. */
  readonly directory: HostPath;
  readonly rootfs: RootfsSpec;
  /** Volumes that are new, to be filled with what the image has there. */
  readonly populate: MonitorSpec["populate"];
  readonly network: NetworkSpec;
  /** Directories of the containers whose namespaces `ipc`, `pid`, `uts` name. */
  readonly joins?: MonitorSpec["joins"];
  /** Mounts that must be there before the monitor starts. */
  readonly hostMounts?: MonitorSpec["hostMounts"];
  /** Labels and variables that `logging.options` `labels` and `env` may pick for every log line. */
  readonly labels: Readonly<Record<string, string>>;
  readonly agent?: MonitorSpec["agent"];
}

/** The monitor's whole task. Pure. */
export function toMonitorSpec(input: MonitorInput): MonitorSpec {
  const { service, image } = input;
  const supervision = toSupervision(service, image);
  return {
    version: FORMAT_VERSION,
    id: input.id,
    name: input.name,
    runtime: isForeignRuntime(service.runtime) ? (service.runtime ?? "") : "",
    init: supervision !== undefined || usesInit(service, containerArgs(service, image)),
    tty: service.tty,
    stdin: service.stdin_open,
    rootfs: input.rootfs,
    populate: input.populate,
    network: input.network,
    ...(input.joins === undefined || input.joins.length === 0 ? {} : { joins: input.joins }),
    ...(input.hostMounts === undefined || input.hostMounts.length === 0 ? {} : { hostMounts: input.hostMounts }),
    log: toLogSpec(service, image, input.directory, input.labels),
    restart: toRestart(service),
    stop: toStop(service, image),
    ...(service.oom_score_adj === undefined ? {} : { oomScoreAdj: service.oom_score_adj }),
    ...(input.agent === undefined ? {} : { agent: input.agent }),
    ...(supervision === undefined ? {} : { supervision }),
  };
}

const MiB = 1024 * 1024;
const knownOptions = ["max-size", "max-file", "mode", "max-buffer-size", "labels", "labels-regex", "env", "env-regex", "compress", "tag"];

/** Docker's drivers json-file, local and none. Without options: 5 files of 20 MiB, so that no log fills a disk. */
function toLogSpec(service: ServiceInput, image: ImageInput | null, directory: HostPath, labels: Readonly<Record<string, string>>): LogSpec {
  const driver = service.logging?.driver ?? "json-file";
  const options = service.logging?.options ?? {};
  const option = (name: string): string | undefined => options[name] ?? undefined;
  const size = option("max-size");
  const files = option("max-file");
  return {
    driver: driver === "local" || driver === "none" ? driver : "json-file",
    path: `${directory}/log/container.log`,
    maxSize: size === undefined ? 20 * MiB : parseSize(size, service.name, "max-size"),
    // Docker keeps one file where only the size is written.
    maxFiles: files === undefined ? (size === undefined || driver === "local" ? 5 : 1) : parseCount(files, service.name),
    mode: option("mode") === "non-blocking" ? "non-blocking" : "blocking",
    bufferSize: parseSize(option("max-buffer-size") ?? "1m", service.name, "max-buffer-size"),
    attributes: logAttributes(service, image, options, labels),
  };
}

function logAttributes(
  service: ServiceInput,
  image: ImageInput | null,
  options: Readonly<Record<string, string | null>>,
  labels: Readonly<Record<string, string>>,
): LogSpec["attributes"] {
  const attributes: Record<string, string> = {};
  const environment = Object.fromEntries((image?.env ?? []).map((line) => [line.split("=", 1)[0] ?? "", line.slice(line.indexOf("=") + 1)]));
  const variables = { ...environment, ...service.environment };
  const list = (name: string): readonly string[] => (options[name] ?? "").split(",").filter((part) => part !== "");
  for (const key of list("labels")) if (labels[key] !== undefined) attributes[key] = labels[key];
  for (const key of list("env")) {
    const value = variables[key];
    if (typeof value === "string") attributes[key] = value;
  }
  return attributes;
}

function parseSize(text: string, service: string, option: string): number {
  const match = /^(-?\d+(?:\.\d+)?)\s*([kmgt]?)i?b?$/i.exec(text.trim());
  if (match === null)
    throw new StackError("usage", `Service "${service}": logging.options.${option}: "${text}" is not a size`, { hint: "For example 10m." });
  const unit = { "": 1, k: 1024, m: MiB, g: 1024 * MiB, t: MiB * MiB }[(match[2] ?? "").toLowerCase()] ?? 1;
  return Math.max(0, Math.floor(Number(match[1]) * unit));
}

function parseCount(text: string, service: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1)
    throw new StackError("usage", `Service "${service}": logging.options.max-file: "${text}" is not a count of files`, { hint: "For example 3." });
  return count;
}

/** What of `logging` we do otherwise than was asked: said, so that nobody looks for logs elsewhere. */
export function logWarnings(service: Pick<ServiceInput, "name" | "logging">): readonly string[] {
  const driver = service.logging?.driver;
  const warnings: string[] = [];
  if (driver !== undefined && !["json-file", "local", "none", ""].includes(driver))
    warnings.push(`Service "${service.name}": logging driver "${driver}" does not exist here; logs are kept in files (stack logs)`);
  else
    for (const name of Object.keys(service.logging?.options ?? {})) {
      if (!knownOptions.includes(name) || ["compress", "tag", "labels-regex", "env-regex"].includes(name))
        warnings.push(`Service "${service.name}": logging.options.${name} has no effect`);
    }
  return warnings;
}

interface ServiceHealth {
  readonly test?: { readonly kind: "none" } | { readonly kind: "exec"; readonly command: readonly string[] } | { readonly kind: "shell"; readonly command: string };
  readonly disable: boolean;
  readonly interval?: number;
  readonly timeout?: number;
  readonly retries?: number;
  readonly start_period?: number;
  readonly start_interval?: number;
}

interface ImageHealth {
  readonly test: readonly string[];
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
  readonly startPeriodMs?: number;
  readonly startIntervalMs?: number;
  readonly retries?: number;
}

/** The health check of service and image put together; Docker's defaults. Undefined: none. */
export function toHealthSpec(service: ServiceHealth | undefined, image: ImageHealth | undefined): HealthSpec | undefined {
  if (service?.disable === true || service?.test?.kind === "none") return undefined;
  const own = service?.test;
  const test = own === undefined ? (image?.test ?? []) : own.kind === "exec" ? ["CMD", ...own.command] : ["CMD-SHELL", own.command];
  if (test.length === 0 || test[0] === "NONE") return undefined;
  const first = (fallback: number, ...values: readonly (number | undefined)[]): number => values.find((value) => value !== undefined && value !== 0) ?? fallback;
  return {
    test,
    intervalMs: first(30_000, service?.interval, image?.intervalMs),
    timeoutMs: first(30_000, service?.timeout, image?.timeoutMs),
    retries: first(3, service?.retries, image?.retries),
    startPeriodMs: first(0, service?.start_period, image?.startPeriodMs),
    startIntervalMs: first(5000, service?.start_interval, image?.startIntervalMs),
  };
}
