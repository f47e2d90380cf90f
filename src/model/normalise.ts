import { cleanTarget } from "./mounts.ts";
import { compileRules } from "./rules.ts";
import type { RuleNode } from "./rules.ts";
import { child, childItems, childMap, isNull, mapFrom, mapOf, scalar, scalarText, stringOf } from "./tree.ts";
import type { MapNode, Node, Scalar } from "./tree.ts";
import type { Origin } from "./source.ts";

/** Values for what nobody wrote, by path. They run on the merged tree, before it is checked. */
type Default = (map: MapNode) => void;

const DEFAULTS: RuleNode<Default> = compileRules<Default>({
  "services.*.build": (m) => put(m, "context", "."),
  "services.*.secrets.[]": (m) => put(m, "target", `/run/secrets/${stringOf(m.entries.get("source")) ?? ""}`),
  "services.*.ports.[]": (m) => {
    put(m, "protocol", "tcp");
    put(m, "mode", "ingress");
  },
  "services.*.deploy.resources.reservations.devices.[]": deviceCount,
  "services.*.gpus.[]": deviceCount,
});

function deviceCount(request: MapNode): void {
  if (!request.entries.has("count") && !request.entries.has("device_ids")) put(request, "count", "all");
}

function put(map: MapNode, key: string, value: Scalar): void {
  if (!map.entries.has(key)) map.entries.set(key, scalar(value, map.at));
}

/** Changes the tree. */
export function applyDefaults(root: Node): void {
  walk(root, DEFAULTS);
}

function walk(node: Node, rules: RuleNode<Default>): void {
  if (node.kind === "map") {
    rules.rule?.(node);
    for (const [key, value] of node.entries) {
      const next = rules.keys.get(key) ?? rules.any;
      if (next !== undefined) walk(value, next);
    }
  } else if (node.kind === "seq" && rules.any !== undefined) for (const item of node.items) walk(item, rules.any);
}

/**
 * What follows from the file without being written in it: the default network, the dependencies that links and
 * shared namespaces bring, the names of resources. Changes the tree.
 */
export function normalise(root: MapNode, projectName: string, environment: ReadonlyMap<string, string>): void {
  const services = childMap(root, "services");
  let defaultNetworkUsed = false;
  for (const service of services?.entries.values() ?? []) {
    if (service.kind !== "map") continue;
    if (attachesDefaultNetwork(service)) defaultNetworkUsed = true;
    normaliseService(service, environment);
  }
  if (defaultNetworkUsed && childMap(root, "networks")?.entries.has("default") !== true) {
    const networks = childMap(root, "networks") ?? mapOf([], root.at);
    networks.entries.set("default", scalar(null, root.at));
    root.entries.set("networks", networks);
  }
  for (const section of ["networks", "volumes", "configs", "secrets"]) nameResources(root, section, projectName);
}

/** A service with neither `networks` nor `network_mode` is on the network `default`. */
function attachesDefaultNetwork(service: MapNode): boolean {
  if (service.entries.has("provider") || service.entries.has("network_mode")) return false;
  const networks = service.entries.get("networks");
  if (networks?.kind !== "map" || networks.entries.size === 0) {
    service.entries.set("networks", mapOf([["default", scalar(null, service.at)]], service.at));
    return true;
  }
  return networks.entries.has("default");
}

function normaliseService(service: MapNode, environment: ReadonlyMap<string, string>): void {
  const policy = service.entries.get("pull_policy");
  if (policy?.kind === "scalar" && policy.value === "if_not_present") policy.value = "missing";
  const build = childMap(service, "build");
  if (build !== undefined) {
    put(build, "context", ".");
    if (isAbsent(build, "dockerfile") && isAbsent(build, "dockerfile_inline"))
      build.entries.set("dockerfile", scalar("Dockerfile", build.at));
    resolveVariables(build, "args", environment, false);
  }
  resolveVariables(service, "environment", environment, true);
  addImpliedDependencies(service);
  for (const volume of childItems(service, "volumes")) {
    const target = child(volume, "target");
    if (target?.kind === "scalar" && typeof target.value === "string") target.value = cleanTarget(target.value) || ".";
  }
}

function isAbsent(map: MapNode, key: string): boolean {
  const node = map.entries.get(key);
  return node === undefined || isNull(node);
}

/** A variable without a value takes the environment's; one that is not set there stays open, or goes. */
export function resolveVariables(owner: MapNode, key: string, environment: ReadonlyMap<string, string>, keepOpen: boolean): void {
  const node = owner.entries.get(key);
  if (node?.kind === "map") {
    for (const [name, value] of node.entries) {
      if (!isNull(value)) continue;
      const found = environment.get(name);
      if (found !== undefined) node.entries.set(name, { ...value, kind: "scalar", value: found });
      else if (!keepOpen) node.entries.delete(name);
    }
  } else if (node?.kind === "seq")
    node.items = node.items.filter((item) => {
      if (item.kind !== "scalar") return true;
      const text = scalarText(item);
      if (text.includes("=")) return true;
      const found = environment.get(text);
      if (found !== undefined) item.value = `${text}=${found}`;
      return found !== undefined || keepOpen;
    });
}

/** Marks dependencies that nobody wrote; no key of a user can look like it. */
export const IMPLICIT = "#implicit";

function addImpliedDependencies(service: MapNode): void {
  const written = childMap(service, "depends_on");
  const depends = written ?? mapOf([], service.at);
  const add = (name: string, restart: boolean, from: Node): void => {
    if (depends.entries.has(name)) return;
    const entry = mapFrom({ condition: "service_started", restart, required: true, [IMPLICIT]: true }, from);
    entry.keyAt = from.at;
    depends.entries.set(name, entry);
  };
  for (const link of childItems(service, "links")) {
    const [first = "", ...rest] = (stringOf(link) ?? "").split(":");
    add(rest.length === 1 ? first : (stringOf(link) ?? ""), true, link);
  }
  for (const namespace of ["network_mode", "ipc", "pid", "uts", "cgroup"]) {
    const node = service.entries.get(namespace);
    const reference = stringOf(node);
    if (node !== undefined && reference?.startsWith("service:") === true) add(reference.slice("service:".length), true, node);
  }
  for (const from of childItems(service, "volumes_from")) {
    const reference = stringOf(from) ?? "";
    if (!reference.startsWith("container:")) add(reference.split(":", 1)[0] ?? "", false, from);
  }
  if (depends.entries.size > 0) service.entries.set("depends_on", depends);
}

/** `KEY` is called `PROJECT_KEY` outside, unless `name` says otherwise or it is somebody else's. */
function nameResources(root: MapNode, section: string, projectName: string): void {
  const resources = childMap(root, section);
  if (resources === undefined) return;
  for (const [key, node] of resources.entries) {
    const resource = node.kind === "map" ? node : mapOf([], node.at, node.keyAt);
    if (resource !== node) resources.entries.set(key, resource);
    if (!isAbsent(resource, "name")) continue;
    const at: Origin = node.keyAt ?? node.at;
    resource.entries.set("name", scalar(isExternal(resource) ? key : `${projectName}_${key}`, at));
  }
}

export function isExternal(resource: Node): boolean {
  const node = child(resource, "external");
  return node?.kind === "scalar" && /^(?:1|t|true|True|TRUE|T)$/.test(String(node.value));
}
