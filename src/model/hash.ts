import { createHash } from "node:crypto";
import type { Network, Service, Volume } from "./project.ts";

/** Members that change how a service is planned but not what its container is. */
const NOT_PART_OF_A_CONTAINER: readonly string[] = [
  "build",
  "pull_policy",
  "pull_refresh_after",
  "scale",
  "depends_on",
  "profiles",
  "develop",
  "extends",
  "env_file",
  "label_file",
];

/** Our keys that only the agent reads, again with every plan; what monitor and init were told needs a new container. */
const READ_BY_THE_AGENT: readonly string[] = ["on_unhealthy", "ready"];

/**
 * What of a service (`Service.canonical`) its containers are made of; two services with the same one need not be
 * recreated. Environment files are in `environment` by then, so they are not part of it themselves.
 */
export function containerConfig(canonical: Service["canonical"]): Readonly<Record<string, unknown>> {
  const config = without(canonical, NOT_PART_OF_A_CONTAINER);
  const deploy = config["deploy"];
  if (isObject(deploy)) {
    const kept = without(deploy, ["replicas"]);
    if (Object.keys(kept).length > 0) config["deploy"] = kept;
    else delete config["deploy"];
  }
  const own = config["x-stack"];
  if (isObject(own)) {
    const kept = without(own, READ_BY_THE_AGENT);
    if (Object.keys(kept).length > 0) config["x-stack"] = kept;
    else delete config["x-stack"];
  }
  return config;
}

/** Changes exactly when a container has to be made anew. */
export function configHash(service: Service): string {
  return hashOf(containerConfig(service.canonical));
}

export function networkHash(network: Network): string {
  return hashOf(without(network.canonical, ["name"]));
}

export function volumeHash(volume: Volume): string {
  return hashOf(without(volume.canonical, ["name"]));
}

/** JSON with sorted keys: the same data has the same text. */
export function stableJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stableJson).join(",")}]`;
  if (value === undefined) return "null";
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.keys(value)
    .filter((k) => value[k] !== undefined)
    .sort()
    .map((k) => `${JSON.stringify(k)}:${stableJson(value[k])}`);
  return `{${members.join(",")}}`;
}

function hashOf(value: unknown): string {
  return createHash("sha256").update(stableJson(value)).digest("hex");
}

function without(object: Readonly<Record<string, unknown>>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
