import { childItems, childMap, stringOf } from "./tree.ts";
import type { MapNode, Node } from "./tree.ts";

/** Profiles that are active: `--profile`, else COMPOSE_PROFILES, and those of the services that were named. */
export function activeProfiles(
  flags: readonly string[],
  variable: string | undefined,
  named: readonly string[],
  root: MapNode,
): readonly string[] {
  const wanted = flags.length > 0 ? flags : (variable ?? "").split(",").map((p) => p.trim());
  const active = new Set(wanted.filter((p) => p !== ""));
  const services = childMap(root, "services");
  for (const name of named) for (const profile of profilesOf(services?.entries.get(name))) active.add(profile);
  return [...active];
}

export function profilesOf(service: Node | undefined): readonly string[] {
  return childItems(service, "profiles").flatMap((p) => stringOf(p) ?? []);
}

/** A service without profiles is always on; `*` turns everything on; the profile with no name is on by default. */
export function isActive(service: Node, active: readonly string[]): boolean {
  const profiles = profilesOf(service);
  return profiles.length === 0 || active.includes("*") || profiles.some((p) => active.includes(p) || (p === "" && active.length === 0));
}
