import type { Condition } from "./attributes/support.ts";
import type { Unsupported, UnsupportedNode } from "./attributes/unsupported.ts";
import tree from "./generated/unsupported.js";
import { OWN } from "./own-keys.ts";
import type { Report } from "./report.ts";
import { child, childItems, childMap, formatPath, scalarText, stringOf } from "./tree.ts";
import type { MapNode, Node, Path } from "./tree.ts";

/** What is to be looked at: services that will run, and of these the named ones with what they depend on. */
export interface SupportInput {
  readonly root: MapNode;
  readonly active: ReadonlySet<string>;
  /** Empty: all. */
  readonly named: readonly string[];
  readonly report: Report;
}

/** One warning, at its place, for every attribute that will not be carried out as written (`attributes/`). */
export function reportSupport(input: SupportInput): void {
  const services = chosen(input);
  const used = usedResources(input.root, services);
  for (const [section, node] of input.root.entries) {
    const rules = below(tree, section);
    if (rules === undefined || node.kind !== "map") continue;
    for (const [name, element] of node.entries) {
      const wanted = section === "services" ? services.has(name) : used.has(`${section}.${name}`);
      const next = below(rules, name);
      if (wanted && next !== undefined) visit(element, next, [section, name], input.report);
    }
  }
}

function chosen({ root, active, named }: SupportInput): ReadonlySet<string> {
  if (named.length === 0) return active;
  const services = childMap(root, "services");
  const found = new Set<string>();
  const todo = [...named];
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    if (found.has(name) || !active.has(name)) continue;
    found.add(name);
    todo.push(...(childMap(services?.entries.get(name), "depends_on")?.entries.keys() ?? []));
  }
  return found;
}

/** Networks, volumes and files that nobody uses are not made, so nothing of them can be missing. */
function usedResources(root: MapNode, services: ReadonlySet<string>): ReadonlySet<string> {
  const used = new Set<string>();
  for (const name of services) {
    const service = childMap(childMap(root, "services"), name);
    for (const network of childMap(service, "networks")?.entries.keys() ?? []) used.add(`networks.${network}`);
    for (const section of ["volumes", "configs", "secrets"])
      for (const mount of childItems(service, section)) {
        const source = stringOf(child(mount, "source"));
        if (source !== undefined) used.add(`${section}.${source}`);
      }
  }
  return used;
}

function below(rules: UnsupportedNode, key: string): UnsupportedNode | undefined {
  return rules.keys === undefined ? rules.any : Object.hasOwn(rules.keys, key) ? rules.keys[key] : undefined;
}

function visit(node: Node, rules: UnsupportedNode, path: Path, report: Report): void {
  const { rule } = rules;
  if (rule !== undefined && asksForSomething(node) && (rule.when === undefined || holds(rule.when, node))) {
    tell(rule, node, path, report);
    return;
  }
  if (node.kind === "map") {
    for (const [key, value] of node.entries) {
      // Our keys have their rows as if they were written bare.
      if (key === OWN && value.kind === "map") visit(value, rules.keys === undefined ? {} : { keys: rules.keys }, path, report);
      else {
        const next = below(rules, key);
        if (next !== undefined) visit(value, next, [...path, key], report);
      }
    }
  } else if (node.kind === "seq" && rules.any !== undefined)
    for (const [index, item] of node.items.entries()) visit(item, rules.any, [...path, `[${index}]`], report);
}

function holds(condition: Condition, value: Node): boolean {
  if (value.kind !== "scalar") return false;
  const text = scalarText(value);
  return "oneOf" in condition ? condition.oneOf.includes(text) : !condition.noneOf.includes(text);
}

/** `false` and what is empty ask for nothing. */
function asksForSomething(value: Node): boolean {
  switch (value.kind) {
    case "scalar":
      return value.value !== null && value.value !== false && value.value !== "" && value.value !== "false" && value.value !== 0;
    case "seq":
      return value.items.length > 0;
    case "map":
      return value.entries.size > 0;
  }
}

const WORDS = {
  partly: { rule: "partly-carried-out", says: "is not carried out as written" },
  refused: { rule: "refused-attribute", says: "is refused when the service starts" },
  "not-carried-out": { rule: "not-carried-out", says: "is accepted, and not carried out" },
} as const;

function tell(support: Unsupported, node: Node, path: Path, report: Report): void {
  const { rule, says } = WORDS[support.state];
  report.warn(node, { rule, message: `${formatPath(path)} ${says}: ${support.why}`, hint: support.hint, atKey: true });
}
