import type { Report } from "./report.ts";
import { invalidValue } from "./invalid-value.ts";
import { child, childMap, formatPath, locate, scalarText } from "./tree.ts";
import type { MapNode, Node, Path, Via } from "./tree.ts";

/** One value of a service that Docker Compose's own checks let through, and its engine refuses. */
export interface StartRule {
  /** What a container can be made with; what the schema says. */
  readonly valid: RegExp;
  /** What `docker compose config` lets through. */
  readonly accepted: RegExp;
}

/**
 * Values that `docker compose config` accepts although no container can be made with them. They are looked at when
 * all files are merged, since an override may have put them right by then: an error for commands that make
 * containers, a warning for those that only read the file (`LoadRequest.tolerant`).
 */
export const START_RULES: Readonly<Record<string, StartRule>> = {
  restart: { valid: /^(no|always|unless-stopped|on-failure(:[0-9]+)?)?$/, accepted: /^/ },
  "ports.[].protocol": { valid: /^(tcp|udp|sctp)$/, accepted: /^/ },
  // Docker Compose is content where some part of it could be a name.
  container_name: { valid: /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/, accepted: /[a-zA-Z0-9][a-zA-Z0-9_.-]+/ },
};

/** Whether a value that does not meet the schema is for `checkStartRules` to judge. */
export function isForLater(path: Path, value: Node): boolean {
  const key = path[0] === "services" ? path.slice(2).map((part) => (part.startsWith("[") ? "[]" : part)).join(".") : "";
  const rule = Object.hasOwn(START_RULES, key) ? START_RULES[key] : undefined;
  return rule !== undefined && value.kind === "scalar" && rule.accepted.test(scalarText(value));
}

/** Looks at what is left of such values in the services that will run. */
export function checkStartRules(root: MapNode, active: ReadonlySet<string>, tolerant: boolean, report: Report): void {
  for (const [name, service] of childMap(root, "services")?.entries ?? [])
    if (active.has(name) && service.kind === "map") {
      reportNuls(service, ["services", name], tolerant, report);
      for (const [key, rule] of Object.entries(START_RULES))
        for (const { path, node } of valuesAt(service, key.split("."), ["services", name])) {
          if (node.kind !== "scalar" || node.value === null || node.broken === true || rule.valid.test(scalarText(node))) continue;
          const via: readonly Via[] = locate(root, path).via;
          const remark = { ...invalidValue(path.at(-1) ?? "", formatPath(path), scalarText(node)), via };
          if (tolerant) report.warn(node, remark);
          else report.error(node, remark);
        }
    }
}

/** The kernel's texts end at a NUL: a path or word would be another one than was written. */
function reportNuls(node: Node, path: Path, tolerant: boolean, report: Report): void {
  if (node.kind === "scalar") {
    if (typeof node.value === "string" && node.value.includes("\0")) reportNul(node, path, tolerant, report);
  } else if (node.kind === "seq") for (const [i, item] of node.items.entries()) reportNuls(item, [...path, `[${i}]`], tolerant, report);
  else
    for (const [key, value] of node.entries)
      if (key.includes("\0")) reportNul(value, [...path, key], tolerant, report);
      else reportNuls(value, [...path, key], tolerant, report);
}

function reportNul(node: Node, path: Path, tolerant: boolean, report: Report): void {
  const remark = { rule: "invalid-value", message: `${formatPath(path)}: no container can be given the character NUL`, hint: "Remove `\\0` from the text." };
  if (tolerant) report.warn(node, remark);
  else report.error(node, remark);
}

interface Found {
  readonly path: Path;
  readonly node: Node;
}

function valuesAt(node: Node, [part, ...rest]: readonly string[], path: Path): readonly Found[] {
  if (part === undefined) return [{ path, node }];
  if (part === "[]") return node.kind === "seq" ? node.items.flatMap((item, i) => valuesAt(item, rest, [...path, `[${i}]`])) : [];
  const next = child(node, part);
  return next === undefined ? [] : valuesAt(next, rest, [...path, part]);
}
