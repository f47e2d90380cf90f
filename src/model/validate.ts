import runSchema from "./generated/validate.js";
import type { SchemaError } from "./generated/validate.js";
import { loadShapes } from "./schema-shapes.ts";
import type { SchemaShapes } from "./schema-shapes.ts";
import type { Report } from "./report.ts";
import { below, compileRules } from "./rules.ts";
import type { RuleNode } from "./rules.ts";
import { invalidValue, partOf } from "./invalid-value.ts";
import { unknownKeyHint } from "./key-hints.ts";
import { isForLater } from "./start-rules.ts";
import { didYouMean, nearest } from "./suggest.ts";
import { formatPath, locate, scalarText, toPlain } from "./tree.ts";
import type { Node, Path } from "./tree.ts";

/**
 * Checks a document against the schema. Every mistake is reported at its place, and what is wrong is taken out,
 * so that the next phases find only what they can read. False: nothing is left to go on with.
 */
export async function validate(root: Node, report: Report, broken: Set<string>): Promise<boolean> {
  const data = toPlain(root);
  if (!runSchema(data)) {
    const errors = [...(runSchema.errors ?? [])];
    const shapes = await loadShapes();
    const spoiled = errors
      .filter((error) => (error.keyword !== "pattern" && error.keyword !== "enum") || !isForLater(pathOf(error.instancePath, root), nodeAt(error, root)))
      .map((error) => ({ path: reportError(error, root, shapes, report), keep: error.keyword === "required" }));
    for (const { path, keep } of spoiled.sort((a, b) => b.path.length - a.path.length)) {
      if (!keep) prune(root, path);
      const [section = "", name] = path;
      if (path.length <= 2 && !keep) broken.add(section);
      if (name !== undefined) broken.add(formatPath([section, name]));
    }
    dropHoles(root);
  }
  reportDoubles(root, report);
  return root.kind === "map";
}

function nodeAt(error: SchemaError, root: Node): Node {
  return locate(root, pathOf(error.instancePath, root)).node;
}

function pathOf(pointer: string, root: Node): string[] {
  const path: string[] = [];
  let node: Node | undefined = root;
  for (const part of pointer.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (node?.kind === "seq") {
      path.push(`[${key}]`);
      node = node.items[Number(key)];
    } else {
      path.push(key);
      node = node?.kind === "map" ? node.entries.get(key) : undefined;
    }
  }
  return path;
}

/** Our keys are checked under `x-stack` wherever they were written. */
function shown(path: Path): string {
  return formatPath(path.filter((p) => p !== "x-stack")) || "top level";
}

/** Says what is wrong; answers the path of what has to go (unless only something is missing there). */
function reportError(error: SchemaError, root: Node, shapes: SchemaShapes, report: Report): Path {
  const path = pathOf(error.instancePath, root);
  const { node, via } = locate(root, path);
  const { params } = error;
  const where = shown(path);
  switch (error.keyword) {
    case "additionalProperties": {
      const key = String(params["additionalProperty"]);
      const { node: value } = locate(root, [...path, key]);
      report.error(value, { ...unknownKey(key, path, shapes), via, atKey: true });
      return [...path, key];
    }
    case "required": {
      const key = String(params["missingProperty"]);
      // A misspelt one is told as such, and is all that is wrong.
      if (node.kind === "map" && [...node.entries.keys()].some((k) => !shapes.keysAt(path).includes(k) && nearest(k, [key]) !== undefined)) return path;
      const choices = shapes.choices([...path, key]);
      report.error(node, {
        rule: "missing-key",
        message: `${where}: \`${key}\` is missing`,
        hint: shapes.describe([...path, key]) ?? `Add \`${key}:\`${choices.length === 0 ? "" : `, one of ${choices.join(", ")}`}.`,
        via,
        atKey: true,
      });
      return path;
    }
    case "type":
      report.error(node, {
        rule: "wrong-type",
        message: `${where}: ${wrongType(params["type"], node)}`,
        hint: typeHint(params["type"], node, path, shapes),
        via,
      });
      return path;
    case "enum": {
      const allowed = (params["allowedValues"] as unknown[]).filter((v): v is string => typeof v === "string");
      const value = node.kind === "scalar" ? scalarText(node) : "";
      report.error(node, {
        rule: "invalid-value",
        message: `${where}: "${value}" is not allowed here; it is one of ${allowed.join(", ")}`,
        hint: didYouMean(value, allowed) ?? partOf(value, allowed) ?? `Write one of ${allowed.map((a) => `\`${a}\``).join(", ")}.`,
        via,
      });
      return path;
    }
    case "pattern": {
      const value = node.kind === "scalar" ? scalarText(node) : "";
      report.error(node, { ...invalidValue(path.at(-1) ?? "", where, value, shapes.describe(path)), via });
      return path;
    }
    case "minProperties":
      report.error(node, {
        rule: "missing-key",
        message: `${where}: is empty`,
        hint: `It takes one of ${shapes.keysAt(path).join(", ")}.`,
        via,
      });
      return path;
    case "minimum":
    case "maximum":
      report.error(node, {
        rule: "invalid-value",
        message: `${where}: has to be ${error.keyword === "minimum" ? "at least" : "at most"} ${String(params["limit"])}`,
        via,
      });
      return path;
    default:
      report.error(node, { rule: "invalid-value", message: `${where}: not valid (${error.keyword})`, via });
      return path;
  }
}

function unknownKey(
  key: string,
  path: Path,
  shapes: SchemaShapes,
): { readonly rule: string; readonly message: string; readonly hint: string | undefined } {
  const where = shown(path);
  const known = shapes.keysAt(path);
  if (known.length === 0)
    return {
      rule: "invalid-name",
      message: `${where}: "${key}" is not allowed as a name`,
      hint: "Names consist of letters, digits, dots, underscores and hyphens.",
    };
  const message = path.length === 0 ? `Unknown key \`${key}\` at the top level` : `${where}: unknown key \`${key}\``;
  return { rule: "unknown-key", message, hint: unknownKeyHint(key, path, known, shapes) };
}

const WORDS: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  integer: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  null: "nothing",
};

function typesOf(wanted: unknown): readonly string[] {
  return (Array.isArray(wanted) ? wanted : String(wanted).split(",")) as readonly string[];
}

function wrongType(wanted: unknown, node: Node): string {
  const words = typesOf(wanted).map((t) => WORDS[t] ?? t);
  const expected = words.length === 1 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} or ${words.at(-1) ?? ""}`;
  return `expected ${expected}, but it is ${describe(node)}`;
}

function describe(node: Node): string {
  if (node.kind === "map") return "a mapping";
  if (node.kind === "seq") return "a list";
  if (node.value === null) return "empty";
  if (typeof node.value === "boolean") return String(node.value);
  if (typeof node.value === "number") return `the number ${scalarText(node)}`;
  return "a string";
}

function typeHint(wanted: unknown, node: Node, path: Path, shapes: SchemaShapes): string | undefined {
  const types = typesOf(wanted);
  const key = path.at(-1) ?? "";
  if (node.kind === "scalar") return scalarHint(types, node, path, shapes);
  if (node.at.source.text.startsWith("{{", node.at.start)) return 'What begins with `{{` has to be quoted: "{{ … }}".';
  if (node.kind === "seq" && types.includes("object")) {
    const first = node.items[0];
    const name = first?.kind === "scalar" ? scalarText(first) : "name";
    return `Write \`${name}:\` and not \`- ${name}\`.`;
  }
  if (node.kind === "seq" && types.includes("boolean")) return undefined;
  if (node.kind === "seq") return `Write one value: ${key}: ${node.items.map((i) => (i.kind === "scalar" ? scalarText(i) : "…")).join(key === "user" ? ":" : " ").slice(0, 60)}.`;
  const [entry] = node.entries;
  const text = entry?.[1].kind === "scalar" ? scalarText(entry[1]) : "…";
  if (types.includes("array")) return key === "ports" || key === "volumes" ? `Write a list: - "${entry === undefined ? "8080:80" : `${entry[0]}:${text}`}"` : "Begin each entry with `- `.";
  if (key.startsWith("[")) return `Write \`- ${entry?.[0] ?? "KEY"}=${text}\`, or remove the dashes of all entries.`;
  return `Write one value after \`${key}:\`, on its line.`;
}

function scalarHint(types: readonly string[], node: Extract<Node, { readonly kind: "scalar" }>, path: Path, shapes: SchemaShapes): string | undefined {
  const key = path.at(-1) ?? "";
  const text = scalarText(node);
  if (typeof node.value === "number" && /(?:period|interval|timeout|delay|window|monitor|after)$/.test(key)) return `Write the unit: ${text}s.`;
  if (node.value === null) return path.length === 2 && path[0] === "services" ? `Write \`image:\` or \`build:\` below \`${key}:\`, indented further.` : `Give \`${key}\` a value, or remove the line.`;
  if (types.includes("string")) return `Quote it: "${text}".`;
  if (typeof node.value !== "string") return types.includes("array") ? `Write a list: [${text}].` : undefined;
  if (/^-\S/.test(text)) return `A space has to follow the dash: - ${text.slice(1)}`;
  const missingSpace = /^([a-z_]+):(\S.*)/.exec(text);
  if (types.includes("object") && missingSpace !== null && shapes.keysAt(path).includes(missingSpace[1] ?? "")) return `A space has to follow the colon: ${missingSpace[1] ?? ""}: ${missingSpace[2] ?? ""}`;
  if (path.length === 2 && path[0] === "services") return `Write \`image: ${text.slice(0, 60)}\` below \`${key}:\`.`;
  if (types.includes("array")) return `Write a list: - ${text.slice(0, 60)}`;
  return types.includes("object") ? "Write `key: value` pairs below it, indented further." : undefined;
}

function prune(root: Node, path: Path): void {
  const parent = locate(root, path.slice(0, -1));
  const last = path.at(-1);
  if (!parent.found || last === undefined) return;
  if (parent.node.kind === "map") parent.node.entries.delete(last);
  // Positions of the others have to stay until all is done.
  else if (parent.node.kind === "seq") parent.node.items[Number(last.slice(1, -1))] = { ...HOLE, at: parent.node.at };
}

const HOLE = { kind: "scalar", value: "(taken out)", broken: true } as const;

function dropHoles(node: Node): void {
  if (node.kind === "seq") node.items = node.items.filter((i) => !(i.kind === "scalar" && i.broken === true && i.value === HOLE.value));
  if (node.kind !== "scalar") for (const item of node.kind === "seq" ? node.items : node.entries.values()) dropHoles(item);
}

/** Lists in which nothing may stand twice, and later entries do not simply take the place of earlier ones. */
const DOUBLES: RuleNode<true> = compileRules<true>({
  "services.*.build.extra_hosts": true,
  "services.*.build.ssh": true,
  "services.*.depends_on": true,
  "services.*.deploy.resources.reservations.devices.[].capabilities": true,
  "services.*.deploy.resources.reservations.devices.[].device_ids": true,
  "services.*.device_cgroup_rules": true,
  "services.*.external_links": true,
  "services.*.extra_hosts": true,
  "services.*.gpus.[].capabilities": true,
  "services.*.gpus.[].device_ids": true,
  "services.*.group_add": true,
  "services.*.models": true,
  "services.*.networks": true,
  "services.*.security_opt": true,
  "services.*.volumes_from": true,
  "configs.*.labels": true,
  "secrets.*.labels": true,
  "volumes.*.labels": true,
});

/** Items that stand twice in a list where that makes no sense; merging can bring them together. */
export function reportDoubles(root: Node, report: Report): void {
  checkDoubles(root, DOUBLES, [], report);
}

function checkDoubles(node: Node, rules: RuleNode<true>, path: Path, report: Report): void {
  if (node.kind === "map") {
    for (const [key, value] of node.entries) {
      const next = below(rules, key);
      if (next !== undefined) checkDoubles(value, next, [...path, key], report);
    }
  } else if (node.kind === "seq") {
    if (rules.rule === true) reportDoublesOf(node.items, path, report);
    if (rules.any !== undefined) for (const [i, item] of node.items.entries()) checkDoubles(item, rules.any, [...path, `[${i}]`], report);
  }
}

function reportDoublesOf(items: readonly Node[], path: Path, report: Report): void {
  const seen = new Map<string, Node>();
  for (const item of items) {
    if (item.kind !== "scalar") continue;
    const text = scalarText(item);
    const first = seen.get(text);
    if (first === undefined) seen.set(text, item);
    else
      report.error(item, {
        rule: "duplicate-item",
        message: `${formatPath(path)}: "${text}" stands there twice`,
        hint: "Remove one of them.",
        via: [{ at: first.at, note: "the first one" }],
      });
  }
}
