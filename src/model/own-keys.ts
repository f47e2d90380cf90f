import type { Report } from "./report.ts";
import { childMap, formatPath, mapOf } from "./tree.ts";
import type { MapNode, Node } from "./tree.ts";

/** Keys of a service that the Compose Specification does not have. */
export const OWN_SERVICE_KEYS: readonly string[] = [
  "rootfs",
  "restart_policy",
  "on_unhealthy",
  "ready",
  "processes",
  "expect",
  "on_orphan_exit",
];

/** Where they live after `liftOwnKeys`, and where Compose files write them. */
export const OWN = "x-stack";

/**
 * Brings our keys to one place, `x-stack` of their service, whatever the file is called. Bare ones are for
 * stack files; in a Compose file, which other tools must be able to read, they are refused with the way out.
 * Changes the tree.
 */
export function liftOwnKeys(root: Node, report: Report): void {
  const services = childMap(root, "services");
  if (services === undefined) return;
  for (const [name, service] of services.entries) if (service.kind === "map") liftService(name, service, report);
}

function liftService(name: string, service: MapNode, report: Report): void {
  for (const key of OWN_SERVICE_KEYS) {
    const value = service.entries.get(key);
    if (value === undefined) continue;
    service.entries.delete(key);
    const origin = value.keyAt ?? value.at;
    if (origin.source.dialect === "compose") {
      report.error(origin, {
        rule: "own-key-in-compose-file",
        message: `${formatPath(["services", name, key])}: \`${key}\` is a key of stack's own, which other tools refuse in a Compose file`,
        hint: `Write it under \`${OWN}:\` of the service, or call the file stack.yaml.`,
      });
      continue;
    }
    const own = ownMap(service, value);
    if (own === undefined) continue;
    const twice = own.entries.get(key);
    if (twice === undefined) own.entries.set(key, value);
    else
      report.error(origin, {
        rule: "duplicate-key",
        message: `${formatPath(["services", name, key])}: \`${key}\` is written both here and under \`${OWN}\``,
        hint: "Keep one of them.",
        via: [{ at: twice.keyAt ?? twice.at, note: `under ${OWN}` }],
      });
  }
}

function ownMap(service: MapNode, from: Node): MapNode | undefined {
  const existing = service.entries.get(OWN);
  if (existing === undefined) {
    const made = mapOf([], from.at, from.keyAt);
    service.entries.set(OWN, made);
    return made;
  }
  return existing.kind === "map" ? existing : undefined;
}
