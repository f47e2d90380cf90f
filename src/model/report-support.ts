import { ATTRIBUTES } from "./attributes/index.ts";
import type { Support } from "./attributes/index.ts";
import { asksForSomething } from "./attributes/support.ts";
import { OWN } from "./own-keys.ts";
import type { Report } from "./report.ts";
import { below, compileRules } from "./rules.ts";
import type { RuleNode } from "./rules.ts";
import { child, childItems, childMap, formatPath, stringOf } from "./tree.ts";
import type { MapNode, Node, Path } from "./tree.ts";

/** What is to be looked at: services that will run, and of these the named ones with what they depend on. */
export interface SupportInput {
  readonly root: MapNode;
  readonly active: ReadonlySet<string>;
  /** Empty: all. */
  readonly named: readonly string[];
  readonly report: Report;
}

/** Compiled on first use: commands that only read need none of it. */
let compiled: RuleNode<Support> | undefined;

/** One warning, at its place, for every attribute that will not be carried out as written (`attributes/`). */
export function reportSupport(input: SupportInput): void {
  compiled ??= compileRules(ATTRIBUTES);
  const services = chosen(input);
  const used = usedResources(input.root, services);
  for (const [section, node] of input.root.entries) {
    const rules = below(compiled, section);
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

function visit(node: Node, rules: RuleNode<Support>, path: Path, report: Report): void {
  const { rule } = rules;
  if (rule !== undefined && applies(rule, node)) {
    tell(rule, node, path, report);
    return;
  }
  if (node.kind === "map") {
    for (const [key, value] of node.entries) {
      // Our keys have their rows as if they were written bare.
      if (key === OWN && value.kind === "map") visit(value, { keys: rules.keys }, path, report);
      else {
        const next = below(rules, key);
        if (next !== undefined) visit(value, next, [...path, key], report);
      }
    }
  } else if (node.kind === "seq" && rules.any !== undefined)
    for (const [index, item] of node.items.entries()) visit(item, rules.any, [...path, `[${index}]`], report);
}

type Wanting = Exclude<Support, { readonly state: "honoured" | "information" }>;

function applies(support: Support, value: Node): support is Wanting {
  if (support.state === "honoured" || support.state === "information" || support.when === "at-start" || !asksForSomething(value)) return false;
  return support.when === undefined || support.when(value);
}

const WORDS = {
  partly: { rule: "partly-carried-out", says: "is not carried out as written" },
  refused: { rule: "refused-attribute", says: "is refused when the service starts" },
  "not-carried-out": { rule: "not-carried-out", says: "is accepted, and not carried out" },
} as const;

function tell(support: Wanting, node: Node, path: Path, report: Report): void {
  const { rule, says } = WORDS[support.state];
  report.warn(node, { rule, message: `${formatPath(path)} ${says}: ${support.why}`, hint: support.hint, atKey: true });
}
