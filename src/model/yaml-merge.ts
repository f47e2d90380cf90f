import type { MapNode, Node } from "./tree.ts";

/**
 * YAML merge keys: what is written beside `<<` wins; among several maps the earlier one does. `made` is a copy that
 * belongs to `into` from then on. False: it is no mapping or list of mappings.
 */
export function mergeKey(into: MapNode, made: Node | undefined): boolean {
  const maps = made?.kind === "seq" ? made.items : made === undefined ? [] : [made];
  for (const map of maps) {
    if (map.kind !== "map") return false;
    const via = [...(map.via ?? []), ...(map === made ? [] : (made?.via ?? []))];
    for (const [key, entry] of map.entries) {
      if (into.entries.has(key)) continue;
      if (via.length > 0) entry.via = [...(entry.via ?? []), ...via];
      into.entries.set(key, entry);
    }
  }
  return true;
}
