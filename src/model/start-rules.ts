import type { Report } from "./report.ts";
import { invalidValue } from "./invalid-value.ts";
import { childMap, formatPath, locate, scalarText } from "./tree.ts";
import type { MapNode, Node, Path, Via } from "./tree.ts";

/** One value of a service that Docker Compose's own checks let through, and its engine refuses. */
export interface StartRule {
  /** What a container can be made with; the schema's pattern. */
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
  // Docker Compose is content where some part of it could be a name.
  container_name: { valid: /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/, accepted: /[a-zA-Z0-9][a-zA-Z0-9_.-]+/ },
};

/** Whether a value that does not meet the schema's pattern is for `checkStartRules` to judge. */
export function isForLater(path: Path, value: Node): boolean {
  const key = path.length === 3 && path[0] === "services" ? path[2] : undefined;
  const rule = key !== undefined && Object.hasOwn(START_RULES, key) ? START_RULES[key] : undefined;
  return rule !== undefined && value.kind === "scalar" && rule.accepted.test(scalarText(value));
}

/** Looks at what is left of such values in the services that will run. */
export function checkStartRules(root: MapNode, active: ReadonlySet<string>, tolerant: boolean, report: Report): void {
  for (const [name, service] of childMap(root, "services")?.entries ?? [])
    if (active.has(name) && service.kind === "map")
      for (const [key, rule] of Object.entries(START_RULES)) {
        const node = service.entries.get(key);
        if (node?.kind !== "scalar" || node.value === null || node.broken === true || rule.valid.test(scalarText(node))) continue;
        const path = ["services", name, key];
        const via: readonly Via[] = locate(root, path).via;
        const remark = { ...invalidValue(key, formatPath(path), scalarText(node)), via };
        if (tolerant) report.warn(node, remark);
        else report.error(node, remark);
      }
}
