import type { Report } from "./report.ts";
import { below, compileRules } from "./rules.ts";
import type { RuleNode } from "./rules.ts";
import { addVia, child, formatPath, isNull, mapOf, scalar, scalarText, seqOf, stringOf } from "./tree.ts";
import type { MapNode, Node, Path, SeqNode } from "./tree.ts";

/**
 * How a later file changes an earlier one. Without a rule: mappings merge key by key, sequences append,
 * anything else is replaced (Compose Specification, "Merge and override").
 */
type Merge = "replace" | "entries" | "hosts" | "logging" | "ipam" | "ulimit" | "build" | "dependencies" | "keys";

const RULES: RuleNode<Merge> = compileRules<Merge>({
  "networks.*.ipam.config": "ipam",
  "networks.*.labels": "entries",
  "volumes.*.labels": "entries",
  "services.*.annotations": "entries",
  "services.*.build": "build",
  "services.*.build.additional_contexts": "keys",
  "services.*.build.args": "entries",
  "services.*.build.extra_hosts": "hosts",
  "services.*.build.labels": "entries",
  "services.*.command": "replace",
  "services.*.depends_on": "dependencies",
  "services.*.deploy.labels": "entries",
  "services.*.dns": "entries",
  "services.*.dns_opt": "entries",
  "services.*.dns_search": "entries",
  "services.*.entrypoint": "replace",
  "services.*.env_file": "entries",
  "services.*.environment": "entries",
  "services.*.extra_hosts": "hosts",
  "services.*.healthcheck.test": "replace",
  "services.*.label_file": "entries",
  "services.*.labels": "entries",
  "services.*.logging": "logging",
  "services.*.models": "keys",
  "services.*.networks": "keys",
  "services.*.sysctls": "entries",
  "services.*.tmpfs": "entries",
  "services.*.ulimits.*": "ulimit",
  // Ours: a probe list, a command or an expectation is one statement, not a set to add to.
  "services.*.x-stack.ready": "replace",
  "services.*.x-stack.expect": "replace",
  "services.*.x-stack.on_unhealthy": "replace",
  "services.*.x-stack.processes.*.command": "replace",
  "services.*.x-stack.processes.*.environment": "entries",
  "services.*.x-stack.processes.*.ready": "replace",
});

/** Merges `override` into `base`; both may be changed. */
export function merge(base: Node, override: Node, report: Report): Node {
  return mergeAt(base, override, [], RULES, report);
}

/** The same for one service alone (`extends`). */
export function mergeService(base: Node, override: Node, name: string, report: Report): Node {
  return mergeAt(base, override, ["services", name], below(below(RULES, "services"), name), report);
}

function mergeAt(base: Node, override: Node, path: Path, rules: RuleNode<Merge> | undefined, report: Report): Node {
  switch (rules?.rule) {
    case "replace":
      return override;
    case "entries":
      return seqOf([...toEntries(base), ...toEntries(override)], override.at, override.keyAt);
    case "hosts": {
      const kept = toEntries(base);
      const known = new Set(kept.map(stringOf));
      return seqOf([...kept, ...toEntries(override).filter((e) => !known.has(stringOf(e)))], override.at, override.keyAt);
    }
    case "logging":
      return mergeLogging(base, override, path, rules, report);
    case "ipam":
      return mergePools(base, override, path, rules, report);
    case "build":
    case "dependencies":
    case "keys":
    case "ulimit":
    case undefined:
      return mergePlain(base, override, path, rules, report);
  }
}

function mergePlain(base: Node, override: Node, path: Path, rules: RuleNode<Merge> | undefined, report: Report): Node {
  if (isNull(override)) return base;
  if (base.kind === "scalar" && override.kind === "scalar" && base.at.source !== override.at.source)
    addVia(override, { at: base.keyAt ?? base.at, note: "in place of what is written here" });
  if (base.kind === "scalar" || rules?.rule === "ulimit") return override;
  if (base.kind === "map" && override.kind === "map") return mergeMaps(base, override, path, rules, report);
  if (base.kind === "seq" && override.kind === "seq") return seqOf([...base.items, ...override.items], override.at, override.keyAt);
  report.error(override, {
    rule: "merge-conflict",
    message: `${formatPath(path)}: a ${nameOf(override)} cannot override a ${nameOf(base)}`,
    via: [{ at: base.keyAt ?? base.at, note: "what it would override" }],
    hint: "Write it in the same form, or put `!override` before the value.",
  });
  return override;
}

function nameOf(node: Node): string {
  return node.kind === "map" ? "mapping" : node.kind === "seq" ? "list" : "single value";
}

function mergeMaps(base: MapNode, override: MapNode, path: Path, rules: RuleNode<Merge> | undefined, report: Report): MapNode {
  const merged = mapOf(base.entries, override.at, override.keyAt);
  const via = [...(base.via ?? []), ...(override.via ?? [])];
  if (via.length > 0) merged.via = via;
  for (const [key, value] of override.entries) {
    const old = merged.entries.get(key);
    merged.entries.set(key, old === undefined ? value : mergeAt(old, value, [...path, key], below(rules, key), report));
  }
  return merged;
}

/** Options of a log driver belong to that driver: they merge only when both name the same one, or one names none. */
function mergeLogging(base: Node, override: Node, path: Path, rules: RuleNode<Merge>, report: Report): Node {
  const before = stringOf(child(base, "driver"));
  const after = stringOf(child(override, "driver"));
  if (base.kind !== "map" || override.kind !== "map") return mergePlain(base, override, path, undefined, report);
  return before === after || before === undefined || after === undefined ? mergeMaps(base, override, path, rules, report) : override;
}

/** Address pools with the same subnet are one pool. */
function mergePools(base: Node, override: Node, path: Path, rules: RuleNode<Merge>, report: Report): Node {
  if (base.kind !== "seq" || override.kind !== "seq") return mergePlain(base, override, path, undefined, report);
  const subnetOf = (pool: Node): string | undefined => stringOf(child(pool, "subnet"));
  const pools: Node[] = [];
  const put = (pool: Node): void => {
    const index = pools.findIndex((p) => subnetOf(p) === subnetOf(pool));
    if (index === -1) pools.push(pool);
    else pools[index] = pool;
  };
  for (const original of base.items)
    for (const change of override.items) {
      if (subnetOf(change) === subnetOf(original)) put(mergePlain(original, change, path, rules.any, report));
      else if (!pools.some((p) => subnetOf(p) === subnetOf(change))) pools.push(change);
      else put(mergePlain(original, change, path, rules.any, report));
    }
  return seqOf(pools, override.at, override.keyAt);
}

/** A mapping as the list of `KEY=VALUE` that it could have been written as; a single value as a list of one. */
export function toEntries(node: Node): Node[] {
  if (node.kind === "seq") return node.items;
  if (node.kind === "scalar") return node.value === null ? [] : [scalar(scalarText(node), node.at, node.keyAt)];
  const entries: Node[] = [];
  const add = (key: string, value: Node, text: string | undefined): void => {
    const entry = scalar(text === undefined ? key : `${key}=${text}`, value.at, value.keyAt);
    if (value.via !== undefined) entry.via = value.via;
    entries.push(entry);
  };
  for (const [key, value] of node.entries) {
    if (value.kind === "seq") for (const item of value.items) add(key, item, item.kind === "scalar" ? scalarText(item) : "");
    else if (value.kind === "scalar") add(key, value, value.value === null ? undefined : scalarText(value));
  }
  return entries.sort((a, b) => compare(stringOf(a) ?? "", stringOf(b) ?? ""));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Takes out of an override what says nothing: a key without a value keeps what the base has. It happens before the
 * override is checked, since most keys may not be empty. Where emptiness means something (`command:`) it stays.
 */
export function dropEmpty(override: Node, base: Node): void {
  dropEmptyAt(override, base, RULES);
}

function dropEmptyAt(override: Node, base: Node, rules: RuleNode<Merge> | undefined): void {
  if (override.kind !== "map" || base.kind !== "map" || rules?.rule === "entries") return;
  for (const [key, value] of override.entries) {
    const old = base.entries.get(key);
    if (old === undefined) continue;
    const next = below(rules, key);
    if (isNull(value) && next?.rule !== "replace" && !isNull(old)) override.entries.delete(key);
    else dropEmptyAt(value, old, next);
  }
}

/** Removes what `!reset` and `!override` of a later file name. */
export function applyResets(base: Node, resets: readonly Path[]): void {
  for (const path of resets) {
    let node: Node | undefined = base;
    for (const part of path.slice(0, -1)) node = node?.kind === "map" ? node.entries.get(part) : undefined;
    const last = path.at(-1);
    if (node?.kind === "map" && last !== undefined) node.entries.delete(last);
  }
}

/** What makes an item of a list the same item: later ones take the place of earlier ones. */
type Identity = (item: Node) => string | undefined;

const keyOfEntry: Identity = (item) => stringOf(item)?.split("=", 1)[0] ?? (item.kind === "scalar" ? scalarText(item) : undefined);
const wholeEntry: Identity = (item) => (item.kind === "scalar" ? scalarText(item) : undefined);
const targetOf: Identity = (item) => stringOf(child(item, "target"));
const mountedAt =
  (directory: string): Identity =>
  (item) =>
    targetOf(item) ?? `${directory}/${stringOf(child(item, "source")) ?? ""}`;

const portIdentity: Identity = (item) => {
  if (item.kind !== "map") return wholeEntry(item);
  const text = (key: string, otherwise: string): string => {
    const node = item.entries.get(key);
    return node?.kind === "scalar" ? scalarText(node) : otherwise;
  };
  return `${text("host_ip", "0.0.0.0")}:${text("published", "")}:${text("target", "")}/${text("protocol", "tcp")}`;
};

const IDENTITIES: RuleNode<Identity> = compileRules<Identity>({
  "networks.*.labels": keyOfEntry,
  "services.*.annotations": keyOfEntry,
  "services.*.build.args": keyOfEntry,
  "services.*.build.additional_contexts": keyOfEntry,
  "services.*.build.labels": keyOfEntry,
  "services.*.build.tags": keyOfEntry,
  "services.*.cap_add": keyOfEntry,
  "services.*.cap_drop": keyOfEntry,
  "services.*.configs": mountedAt(""),
  "services.*.deploy.labels": keyOfEntry,
  "services.*.devices": targetOf,
  "services.*.dns": keyOfEntry,
  "services.*.dns_opt": keyOfEntry,
  "services.*.dns_search": keyOfEntry,
  "services.*.env_file": (item) => stringOf(child(item, "path")),
  "services.*.environment": keyOfEntry,
  "services.*.expose": wholeEntry,
  "services.*.labels": keyOfEntry,
  "services.*.links": keyOfEntry,
  "services.*.networks.*.aliases": keyOfEntry,
  "services.*.networks.*.link_local_ips": keyOfEntry,
  "services.*.ports": portIdentity,
  "services.*.profiles": keyOfEntry,
  "services.*.secrets": mountedAt("/run/secrets"),
  "services.*.sysctls": keyOfEntry,
  "services.*.tmpfs": keyOfEntry,
  "services.*.volumes": targetOf,
});

/** Told of an item that a later one takes the place of, though both stand in one list of one file. */
export type OnReplaced = (earlier: Node, later: Node, identity: string) => void;

/** Later items take the place of earlier ones with the same identity. Changes the tree. */
export function enforceUnicity(root: Node, onReplaced?: OnReplaced): void {
  unify(root, IDENTITIES, onReplaced);
}

function unify(node: Node, rules: RuleNode<Identity>, onReplaced: OnReplaced | undefined): void {
  if (node.kind === "map") {
    for (const [key, value] of node.entries) {
      const next = below(rules, key);
      if (next !== undefined) unify(value, next, onReplaced);
    }
  } else if (node.kind === "seq" && rules.rule !== undefined) unifyList(node, rules.rule, onReplaced);
}

function unifyList(list: SeqNode, identity: Identity, onReplaced: OnReplaced | undefined): void {
  const positions = new Map<string, number>();
  const items: Node[] = [];
  for (const item of list.items) {
    const key = identity(item);
    const position = key === undefined ? undefined : positions.get(key);
    const earlier = position === undefined ? undefined : items[position];
    if (position !== undefined && earlier !== undefined) {
      if (key !== undefined && earlier.kind === "map") onReplaced?.(earlier, item, key);
      items[position] = item;
    } else {
      if (key !== undefined) positions.set(key, items.length);
      items.push(item);
    }
  }
  list.items = items;
}
