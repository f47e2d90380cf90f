import { parseMount } from "./mounts.ts";
import { parsePort } from "./ports.ts";
import type { Report } from "./report.ts";
import { below, compileRules } from "./rules.ts";
import type { RuleNode } from "./rules.ts";
import { formatPath, mapFrom, mapOf, scalar, scalarText, seqOf, stringOf } from "./tree.ts";
import type { MapNode, Node, Path, ScalarNode } from "./tree.ts";

/**
 * Short forms into long ones, attribute by attribute, before anything is merged: so that merging,
 * checking and reading know one form only. A transformer answers the new node; it may change the old one.
 */
interface Context {
  readonly report: Report;
  readonly path: Path;
  /** Variables were not filled in: what cannot be read stays as it is. */
  readonly lenient: boolean;
  /** How many more ports ranges may stand for; more than a machine has is an attack on memory. */
  readonly ports: { left: number };
}

type Transformer = (node: Node, context: Context) => Node;

/** Rules for items run before the rule of their list. */
const TRANSFORMERS: RuleNode<Transformer> = compileRules<Transformer>({
  "services.*.build": buildFromString,
  "services.*.build.additional_contexts": keyValues,
  "services.*.build.provenance": toText,
  "services.*.build.sbom": toText,
  "services.*.build.secrets.[]": fileMount,
  "services.*.build.ssh": sshKeys,
  "services.*.configs.[]": fileMount,
  "services.*.depends_on": dependencies,
  "services.*.develop.watch.[].ignore": listFromString,
  "services.*.develop.watch.[].include": listFromString,
  "services.*.devices.[]": device,
  "services.*.dns": nonEmptyList,
  "services.*.env_file": envFiles,
  "services.*.extends": extendsFromString,
  "services.*.gpus": gpus,
  "services.*.label_file": listFromString,
  "services.*.models": mapFromList,
  "services.*.networks": mapFromList,
  "services.*.ports": ports,
  "services.*.secrets.[]": fileMount,
  "services.*.volumes.[]": mount,
  "configs.*": external,
  "networks.*": external,
  "secrets.*": external,
  "volumes.*": external,
  "include.[]": includeFromString,
});

/** Changes the tree. */
export function canonicalise(root: Node, report: Report, lenient: boolean): Node {
  return transform(root, TRANSFORMERS, { report, lenient, path: [], ports: { left: 70_000 } });
}

function transform(node: Node, rules: RuleNode<Transformer>, context: Context): Node {
  if (node.kind === "map") {
    for (const [key, value] of node.entries) {
      const next = below(rules, key);
      if (next !== undefined) node.entries.set(key, transform(value, next, { ...context, path: [...context.path, key] }));
    }
  } else if (node.kind === "seq" && rules.any !== undefined) {
    const { any } = rules;
    node.items = node.items.map((item, index) => transform(item, any, { ...context, path: [...context.path, `[${index}]`] }));
  }
  return rules.rule === undefined ? node : rules.rule(node, context);
}

function like(made: Node, from: Node): Node {
  if (from.via !== undefined && made.via === undefined) made.via = from.via;
  return made;
}

function listFromString(node: Node): Node {
  if (node.kind !== "scalar" || typeof node.value !== "string") return node;
  return like(seqOf([scalar(node.value, node.at)], node.at, node.keyAt), node);
}

/** An empty DNS server comes from a variable that is not set: there is none. */
function nonEmptyList(node: Node): Node {
  const list = listFromString(node);
  if (list.kind === "seq") list.items = list.items.filter((i) => !(i.kind === "scalar" && (i.value === null || i.value === "")));
  return list;
}

function toText(node: Node): Node {
  if (node.kind === "scalar" && node.value !== null) node.value = scalarText(node);
  return node;
}

function buildFromString(node: Node): Node {
  return node.kind === "scalar" && node.value !== null ? mapFrom({ context: node.value }, node) : node;
}

function extendsFromString(node: Node): Node {
  return node.kind === "scalar" && node.value !== null ? mapFrom({ service: node.value }, node) : node;
}

function includeFromString(node: Node): Node {
  return node.kind === "scalar" && node.value !== null ? mapFrom({ path: node.value }, node) : node;
}

function fileMount(node: Node): Node {
  return node.kind === "scalar" ? mapFrom({ source: node.value }, node) : node;
}

function mapFromList(node: Node): Node {
  if (node.kind !== "seq") return node;
  const entries: [string, Node][] = [];
  for (const item of node.items) {
    const name = stringOf(item);
    if (name !== undefined) entries.push([name, like(scalar(null, item.at, item.at), item)]);
  }
  return like(mapOf(entries, node.at, node.keyAt), node);
}

function keyValues(node: Node, context: Context): Node {
  if (node.kind !== "seq") return node;
  const made = mapOf([], node.at, node.keyAt);
  for (const item of node.items) {
    const text = stringOf(item) ?? "";
    const equals = text.indexOf("=");
    if (equals === -1) {
      if (context.lenient) return node;
      context.report.error(item, {
        rule: "invalid-value",
        message: `${formatPath(context.path)}: "${text}" has to have the form NAME=VALUE`,
      });
    } else made.entries.set(text.slice(0, equals), scalar(text.slice(equals + 1), item.at, item.at));
  }
  return like(made, node);
}

function sshKeys(node: Node, context: Context): Node {
  if (node.kind !== "seq") return node;
  const made = mapOf([], node.at, node.keyAt);
  for (const item of node.items) {
    const text = stringOf(item) ?? "";
    // `ID: PATH` is how Docker Compose prints them.
    const [, id, path] = /^(.*?)(?:=|: )(.*)$/s.exec(text) ?? [];
    if (id !== undefined && path !== undefined) made.entries.set(id, scalar(path, item.at, item.at));
    else if (text === "default" || context.lenient) made.entries.set(text, scalar(null, item.at, item.at));
    else
      context.report.error(item, {
        rule: "invalid-value",
        message: `${formatPath(context.path)}: "${text}" is no SSH key`,
        hint: "Write `default` for the agent, or ID=PATH.",
      });
  }
  return like(made, node);
}

function dependencies(node: Node): Node {
  if (node.kind === "seq") {
    const made = mapOf([], node.at, node.keyAt);
    for (const item of node.items) {
      const name = stringOf(item);
      if (name === undefined) continue;
      const entry = mapFrom({ condition: "service_started", required: true }, item);
      entry.keyAt = item.at;
      made.entries.set(name, entry);
    }
    return like(made, node);
  }
  if (node.kind === "map")
    for (const entry of node.entries.values())
      if (entry.kind === "map") {
        setDefault(entry, "condition", "service_started");
        setDefault(entry, "required", true);
      }
  return node;
}

function setDefault(map: MapNode, key: string, value: string | boolean | number): void {
  if (!map.entries.has(key)) map.entries.set(key, scalar(value, map.at));
}

function envFiles(node: Node): Node {
  const list = listFromString(node);
  if (list.kind !== "seq") return list;
  list.items = list.items.map((item) => {
    const entry = item.kind === "scalar" ? mapFrom({ path: item.value }, item) : item;
    if (entry.kind === "map") setDefault(entry, "required", true);
    return entry;
  });
  return list;
}

function gpus(node: Node): Node {
  if (node.kind !== "scalar" || node.value === null) return node;
  return like(seqOf([mapFrom({ count: "all" }, node)], node.at, node.keyAt), node);
}

function device(node: Node, context: Context): Node {
  if (node.kind !== "scalar") return node;
  const text = scalarText(node);
  const parts = text.split(":");
  if (parts.length > 3) {
    if (!context.lenient)
      context.report.error(node, {
        rule: "invalid-device",
        message: `${formatPath(context.path)}: "${text}" has too many colons`,
        hint: "Use the long form: {source: …, target: …, permissions: rwm}.",
      });
    return node;
  }
  const [source = "", target, permissions = "rwm"] = parts;
  return mapFrom({ source, target: target === undefined || target === "" ? source : target, permissions }, node);
}

function ports(node: Node, context: Context): Node {
  if (node.kind !== "seq") return node;
  // One that cannot be read yet keeps all of them as they are: their order and doubles depend on it.
  if (context.lenient && node.items.some((i) => i.kind === "scalar" && !("ports" in parsePort(scalarText(i))))) return node;
  const items: Node[] = [];
  for (const [index, item] of node.items.entries()) {
    if (item.kind !== "scalar") items.push(item);
    else items.push(...expandPort(item, { ...context, path: [...context.path, `[${index}]`] }));
  }
  return like(seqOf(items, node.at, node.keyAt), node);
}

function expandPort(item: ScalarNode, context: Context): Node[] {
  if (context.ports.left <= 0) return [];
  const parsed = parsePort(scalarText(item));
  if ("ports" in parsed && (context.ports.left -= parsed.ports.length) <= 0) {
    context.report.error(item, {
      rule: "too-many-ports",
      message: `${formatPath(context.path)}: the port ranges of this file stand for more ports than a host has`,
    });
    return [];
  }
  if ("ports" in parsed)
    return parsed.ports.map((p) =>
      mapFrom({ mode: "ingress", host_ip: p.host_ip, target: p.target, published: p.published, protocol: p.protocol }, item),
    );
  if (context.lenient) return [item];
  const base60 = typeof item.value === "number" && !Number.isInteger(item.value);
  context.report.error(item, {
    rule: "invalid-port",
    message: `${formatPath(context.path)}: "${scalarText(item)}" is no port mapping: ${parsed.problem}`,
    hint: base60 ? "Quote it." : 'Write "HOST:CONTAINER", for example "8080:80" or "127.0.0.1:8080:80/tcp".',
  });
  return [];
}

function mount(node: Node, context: Context): Node {
  if (node.kind !== "scalar") return node;
  const text = scalarText(node);
  const parsed = parseMount(text);
  if ("problem" in parsed) {
    if (!context.lenient)
      context.report.error(node, {
        rule: "invalid-volume",
        message: `${formatPath(context.path)}: "${text}" is no volume: ${parsed.problem}`,
        hint: "Write [SOURCE:]TARGET[:ro], for example data:/var/lib/data or ./src:/src:ro.",
      });
    return node;
  }
  const { mount: m } = parsed;
  if (m.unknown.length > 0 && !context.lenient)
    context.report.warn(node, {
      rule: "unknown-mount-option",
      message: `${formatPath(context.path)}: the option \`${m.unknown.join(",")}\` is unknown and has no effect`,
      hint: "Known are ro, rw, nocopy, z, Z and the propagation modes (rprivate, private, rshared, shared, rslave, slave).",
    });
  const bindOptions = { selinux: m.selinux, propagation: m.propagation };
  const bind = m.type === "bind" || m.selinux !== undefined || m.propagation !== undefined;
  const anonymous = text.length <= 2;
  return mapFrom(
    {
      type: m.type,
      source: m.source,
      target: m.target,
      read_only: m.readOnly ? true : undefined,
      bind: bind ? mapFrom({ ...bindOptions, create_host_path: m.type === "bind" ? true : undefined }, node) : undefined,
      volume: (m.type === "volume" || m.nocopy) && !anonymous ? mapFrom({ nocopy: m.nocopy ? true : undefined }, node) : undefined,
    },
    node,
  );
}

/** `external: {name: x}` of the old format is `external: true` and `name: x`. */
function external(node: Node, context: Context): Node {
  if (node.kind !== "map") return node;
  const old = node.entries.get("external");
  if (old?.kind !== "map") return node;
  const name = old.entries.get("name");
  node.entries.set("external", like(scalar(true, old.at, old.keyAt), old));
  if (name === undefined) return node;
  context.report.warn(name, {
    rule: "deprecated",
    message: `${formatPath(context.path)}: external.name is deprecated`,
    hint: "Write `name` beside `external: true`.",
  });
  const own = node.entries.get("name");
  if (own === undefined) node.entries.set("name", name);
  else if (own.kind === "scalar" && name.kind === "scalar" && own.value !== name.value)
    context.report.error(own, {
      rule: "conflict",
      message: `${formatPath(context.path)}: name and external.name differ`,
      hint: "Keep `name` alone.",
    });
  return node;
}
