import { sortedObject } from "./decode.ts";
import { IMPLICIT } from "./normalise.ts";
import { toPlain } from "./tree.ts";
import type { MapNode, Node } from "./tree.ts";

/** A tree as plain data with sorted keys; what only the loader knows is left out. */
export function plainModel(root: MapNode): Record<string, unknown> {
  return plain(root) as Record<string, unknown>;
}

function plain(node: Node): unknown {
  if (node.kind === "seq") return node.items.map(plain);
  if (node.kind === "scalar") return toPlain(node);
  return sortedObject([...node.entries].filter(([key]) => key !== IMPLICIT).map(([key, value]) => [key, plain(value)]));
}
