import type { Origin } from "./source.ts";

/**
 * The loader's own tree: what YAML says, with the place of every key and value. It replaces the parser's
 * document because values are moved, merged and rewritten between files and must keep their places to the end.
 * Trees are mutable and owned by one load; nothing outside `model` sees one.
 */
export type Node = ScalarNode | MapNode | SeqNode;

export type Scalar = string | number | boolean | null;

interface NodeBase {
  /** Where the value is written. */
  at: Origin;
  /** Where its key is written; absent for list items and the root. */
  keyAt?: Origin | undefined;
  /** Through which other places it came: an alias, an `extends`, an `include`, an override. */
  via?: readonly Via[] | undefined;
}

export interface Via {
  readonly at: Origin;
  readonly note: string;
}

export interface ScalarNode extends NodeBase {
  readonly kind: "scalar";
  value: Scalar;
  /** The digits as written, where a JavaScript number cannot hold them. */
  text?: string;
  /** Reading it failed and was reported; later phases leave it alone. */
  broken?: boolean;
  /** What the variable of this name held where the file that names it was included. */
  held?: string;
}

export interface MapNode extends NodeBase {
  readonly kind: "map";
  readonly entries: Map<string, Node>;
}

export interface SeqNode extends NodeBase {
  readonly kind: "seq";
  items: Node[];
}

/** Keys from the root; list positions as `[3]`. */
export type Path = readonly string[];

/** `services.web.ports[0]`, for people. */
export function formatPath(path: Path): string {
  let text = "";
  for (const part of path) text += part.startsWith("[") ? part : text === "" ? part : `.${part}`;
  return text;
}

export function scalar(value: Scalar, at: Origin, keyAt?: Origin): ScalarNode {
  return { kind: "scalar", value, at, keyAt };
}

export function mapOf(entries: Iterable<readonly [string, Node]>, at: Origin, keyAt?: Origin): MapNode {
  return { kind: "map", entries: new Map(entries), at, keyAt };
}

export function seqOf(items: Node[], at: Origin, keyAt?: Origin): SeqNode {
  return { kind: "seq", items, at, keyAt };
}

/** A map made out of a short form: every value points at the place of the short form. */
export function mapFrom(values: Readonly<Record<string, Scalar | Node | undefined>>, from: Node): MapNode {
  const node = mapOf([], from.at, from.keyAt);
  if (from.via !== undefined) node.via = from.via;
  for (const [key, value] of Object.entries(values)) {
    if (value === undefined) continue;
    node.entries.set(key, typeof value === "object" && value !== null ? value : scalar(value, from.at));
  }
  return node;
}

export function cloneNode(node: Node): Node {
  switch (node.kind) {
    case "scalar":
      return { ...node };
    case "seq":
      return { ...node, items: node.items.map(cloneNode) };
    case "map": {
      const entries = new Map<string, Node>();
      for (const [key, value] of node.entries) entries.set(key, cloneNode(value));
      return { ...node, entries };
    }
  }
}

export function countNodes(node: Node): number {
  let count = 1;
  if (node.kind !== "scalar") for (const item of node.kind === "seq" ? node.items : node.entries.values()) count += countNodes(item);
  return count;
}

export function addVia(node: Node, via: Via): void {
  node.via = node.via === undefined ? [via] : [...node.via, via];
}

export function child(node: Node | undefined, key: string): Node | undefined {
  return node?.kind === "map" ? node.entries.get(key) : undefined;
}

export function childMap(node: Node | undefined, key: string): MapNode | undefined {
  const found = child(node, key);
  return found?.kind === "map" ? found : undefined;
}

export function childItems(node: Node | undefined, key: string): readonly Node[] {
  const found = child(node, key);
  return found?.kind === "seq" ? found.items : [];
}

export function childString(node: Node | undefined, key: string): string | undefined {
  const found = child(node, key);
  return found?.kind === "scalar" && typeof found.value === "string" ? found.value : undefined;
}

export function stringOf(node: Node | undefined): string | undefined {
  return node?.kind === "scalar" && typeof node.value === "string" ? node.value : undefined;
}

export function isNull(node: Node | undefined): boolean {
  return node?.kind === "scalar" && node.value === null;
}

/** The node at a path, or the deepest one on the way to it, and everything it came through. */
export function locate(root: Node, path: Path): { readonly node: Node; readonly found: boolean; readonly via: readonly Via[] } {
  let node = root;
  const via: Via[] = [...(root.via ?? [])];
  for (const part of path) {
    let next: Node | undefined;
    if (node.kind === "map") next = node.entries.get(part);
    else if (node.kind === "seq") next = node.items[Number(part.replace(/[[\]]/g, ""))];
    if (next === undefined) return { node, found: false, via };
    node = next;
    if (node.via !== undefined) via.push(...node.via);
  }
  return { node, found: true, via };
}

/** The text that people and containers see of a scalar: as Go prints it, since Compose files rely on that. */
export function scalarText(node: ScalarNode): string {
  const { value } = node;
  if (value === null) return "";
  if (typeof value === "number") return node.text ?? formatNumber(value);
  return String(value);
}

/** Go's `%v` of a float64: shortest digits, exponent form below 1e-4 and from 1e21 on. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e21) return value === 0 ? "0" : BigInt(value).toString();
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 1e21) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

/** Plain data. Cycles are impossible: every node is owned by one parent. */
export function toPlain(node: Node): unknown {
  switch (node.kind) {
    case "scalar":
      return node.value;
    case "seq":
      return node.items.map(toPlain);
    case "map": {
      const object: Record<string, unknown> = {};
      for (const [key, value] of node.entries) define(object, key, toPlain(value));
      return object;
    }
  }
}

/** Sets a key that the user chose: `__proto__` is a key like any other. */
export function define(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}
