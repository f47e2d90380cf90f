import type { HostPath, ProjectName } from "../core/index.ts";
import { decode, sortedObject } from "./decode.ts";
import { IMPLICIT } from "./normalise.ts";
import { readOwnKeys } from "./own.ts";
import type { FileSource, Model, Network, Project, Service, Volume } from "./project.ts";
import { PROJECT_VERSION } from "./project.ts";
import { data, extensions, flag, items, optionalFlag, strings, text } from "./record.ts";
import type { Data } from "./record.ts";
import type { Report } from "./report.ts";
import { deployTiming, makeService } from "./make-service.ts";
import { SECTIONS } from "./shapes.ts";
import type { Section } from "./shapes.ts";
import { child, childMap } from "./tree.ts";
import type { MapNode, Node } from "./tree.ts";

export interface ProjectInput {
  readonly name: ProjectName;
  readonly directory: string;
  readonly files: readonly string[];
  readonly envFiles: readonly string[];
  readonly profiles: readonly string[];
  readonly environment: ReadonlyMap<string, string>;
  readonly active: ReadonlySet<string>;
}

/** Reads the finished tree into the typed project. */
export function makeProject(root: MapNode, input: ProjectInput, report: Report): Project {
  const services: [string, Service][] = [];
  const disabled: [string, Service][] = [];
  for (const [name, node] of childMap(root, "services")?.entries ?? [])
    (input.active.has(name) ? services : disabled).push([name, readService(name, node, input, report)]);
  const used = usedResources(services.map(([, s]) => s));
  const section = <T>(name: Exclude<Section, "services">, make: (key: string, canonical: Data, node: Node) => T): Readonly<Record<string, T>> =>
    sortedObject(
      [...(childMap(root, name)?.entries ?? [])]
        .filter(([key]) => used[name].has(key))
        .map(([key, node]) => [key, make(key, data(decode(SECTIONS[name], node, [name, key], report)) ?? {}, node)]),
    ) as Readonly<Record<string, T>>;
  const sources = (key: string, canonical: Data, node: Node): FileSource => makeSource(key, canonical, (variable) => heldBy(node) ?? input.environment.get(variable));
  return {
    version: PROJECT_VERSION,
    name: input.name,
    working_dir: input.directory as HostPath,
    files: input.files.filter((f) => f !== "-") as HostPath[],
    env_files: [...input.envFiles] as HostPath[],
    profiles: [...input.profiles],
    services: sortedObject(services) as Readonly<Record<string, Service>>,
    disabled_services: sortedObject(disabled) as Readonly<Record<string, Service>>,
    networks: section("networks", makeNetwork),
    volumes: section("volumes", makeVolume),
    configs: section("configs", sources),
    secrets: section("secrets", sources),
    models: section("models", (_key, canonical): Model => {
      const name = text(canonical, "name");
      return { ...(name === undefined ? {} : { name }), model: text(canonical, "model") ?? "", canonical };
    }),
    extensions: topExtensions(root, report),
  };
}

function readService(name: string, node: Node, { directory, environment }: ProjectInput, report: Report): Service {
  const path = ["services", name];
  const canonical = data(decode(SECTIONS.services, node, path, report)) ?? {};
  const implicit = new Set<string>();
  for (const [dependency, entry] of childMap(node, "depends_on")?.entries ?? [])
    if (child(entry, IMPLICIT) !== undefined) implicit.add(dependency);
  const timing = deployTiming(data(data(canonical["deploy"])?.["restart_policy"]));
  const platform = environment.get("DOCKER_DEFAULT_PLATFORM") || undefined;
  return makeService({ name, directory, canonical, implicit, platform, own: readOwnKeys(child(node, "x-stack"), [...path, "x-stack"], report, timing) });
}

/** Keys of each section that a running service needs. */
function usedResources(services: readonly Service[]): Readonly<Record<Exclude<Section, "services">, ReadonlySet<string>>> {
  const networks = new Set<string>();
  const volumes = new Set<string>();
  const configs = new Set<string>();
  const secrets = new Set<string>();
  const models = new Set<string>();
  for (const service of services) {
    for (const key of Object.keys(service.networks)) networks.add(key);
    for (const mount of service.volumes) if (mount.type === "volume" && mount.source !== undefined) volumes.add(mount.source);
    for (const mount of service.configs) configs.add(mount.source);
    for (const mount of service.secrets) secrets.add(mount.source);
    for (const mount of service.build?.secrets ?? []) secrets.add(mount.source);
    for (const key of Object.keys(service.models)) models.add(key);
  }
  return { networks, volumes, configs, secrets, models };
}

function makeNetwork(key: string, c: Data): Network {
  const ipam = data(c["ipam"]);
  const driver = text(c, "driver");
  const ipamDriver = text(ipam, "driver");
  return {
    name: text(c, "name") ?? key,
    external: flag(c, "external"),
    ...(driver === undefined ? {} : { driver }),
    driver_opts: strings(c, "driver_opts"),
    internal: flag(c, "internal"),
    attachable: flag(c, "attachable"),
    enable_ipv4: optionalFlag(c, "enable_ipv4") ?? true,
    enable_ipv6: optionalFlag(c, "enable_ipv6") ?? false,
    ipam: {
      ...(ipamDriver === undefined ? {} : { driver: ipamDriver }),
      config: items(ipam, "config").map((pool) => {
        const member = (name: "subnet" | "ip_range" | "gateway") => {
          const value = text(pool, name);
          return value === undefined ? {} : { [name]: value };
        };
        return { ...member("subnet"), ...member("ip_range"), ...member("gateway"), aux_addresses: strings(pool, "aux_addresses") };
      }),
      options: strings(ipam, "options"),
    },
    labels: strings(c, "labels"),
    extensions: extensions(c),
    canonical: c,
  };
}

function makeVolume(key: string, c: Data): Volume {
  const driver = text(c, "driver");
  return {
    name: text(c, "name") ?? key,
    external: flag(c, "external"),
    ...(driver === undefined ? {} : { driver }),
    driver_opts: strings(c, "driver_opts"),
    labels: strings(c, "labels"),
    extensions: extensions(c),
    canonical: c,
  };
}

function makeSource(key: string, c: Data, valueOf: (variable: string) => string | undefined): FileSource {
  return {
    name: text(c, "name") ?? key,
    from: sourceOf(c, valueOf),
    labels: strings(c, "labels"),
    extensions: extensions(c),
    canonical: c,
  };
}

/** An included file's variables are those of its own environment. */
function heldBy(resource: Node): string | undefined {
  const variable = child(resource, "environment");
  return variable?.kind === "scalar" ? variable.held : undefined;
}

function sourceOf(c: Data, valueOf: (variable: string) => string | undefined): FileSource["from"] {
  const path = text(c, "file");
  if (path !== undefined) return { kind: "file", path: path as HostPath };
  const variable = text(c, "environment");
  if (variable !== undefined) {
    const value = valueOf(variable);
    return { kind: "environment", variable, ...(value === undefined ? {} : { value }) };
  }
  const content = text(c, "content");
  return content === undefined && flag(c, "external") ? { kind: "external" } : { kind: "content", content: content ?? "" };
}

function topExtensions(root: MapNode, report: Report): Readonly<Record<string, unknown>> {
  return sortedObject(
    [...root.entries].filter(([key]) => key.startsWith("x-")).map(([key, node]) => [key, decode({ kind: "any" }, node, [key], report)]),
  );
}

/** Nothing changes a project after it was handed out. */
export function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) freeze(member);
  }
  return value;
}
