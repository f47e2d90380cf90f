import { isAbsolute, join } from "node:path";
import { below, compileRules } from "./rules.ts";
import type { RuleNode } from "./rules.ts";
import { child, scalar, scalarText, stringOf } from "./tree.ts";
import type { MapNode, Node } from "./tree.ts";

/** What relative paths are relative to. */
export interface PathBase {
  readonly directory: string;
  /** For `~`; absent: `~` stays. */
  readonly home?: string | undefined;
}

type Resolver = (node: Node, base: PathBase) => void;

const RESOLVERS: RuleNode<Resolver> = compileRules<Resolver>({
  "services.*.build.context": context,
  "services.*.build.additional_contexts.*": namedContext,
  "services.*.build.ssh.*": pathOrHere,
  "services.*.env_file.[].path": path,
  "services.*.label_file.[]": path,
  "services.*.extends.file": path,
  "services.*.develop.watch.[].path": path,
  "services.*.volumes.[]": mount,
  "services.*.x-stack.rootfs": path,
  "configs.*.file": pathOrHere,
  "secrets.*.file": pathOrHere,
  "volumes.*": driverOptions,
});

/** Makes every path of the host absolute. The tree has to be canonical; it is changed. */
export function resolvePaths(root: Node, base: PathBase): void {
  walk(root, RESOLVERS, base);
}

/** The same for one service (`extends` from another file). */
export function resolveServicePaths(service: Node, base: PathBase): void {
  walk(service, below(below(RESOLVERS, "services"), "*") ?? RESOLVERS, base);
}

function walk(node: Node, rules: RuleNode<Resolver>, base: PathBase): void {
  rules.rule?.(node, base);
  if (node.kind === "map") {
    for (const [key, value] of node.entries) {
      const next = below(rules, key);
      if (next !== undefined) walk(value, next, base);
    }
  } else if (node.kind === "seq" && rules.any !== undefined) for (const item of node.items) walk(item, rules.any, base);
}

/** Windows' own absolute paths stay, as Compose leaves them. */
export function absolutePath(text: string, base: PathBase): string {
  if (text === "") return text;
  const expanded = text.startsWith("~") && base.home !== undefined ? join(base.home, text.slice(1)) : text;
  if (isAbsolute(expanded) || /^(?:[A-Za-z]:[\\/]|\\\\)/.test(expanded)) return expanded;
  const joined = join(base.directory, expanded);
  return joined.length > 1 && joined.endsWith("/") ? joined.slice(0, -1) : joined;
}

function path(node: Node, base: PathBase): void {
  if (node.kind === "scalar" && typeof node.value === "string") node.value = absolutePath(node.value, base);
}

/** Where an empty path is the directory itself, as for Docker Compose. */
function pathOrHere(node: Node, base: PathBase): void {
  if (node.kind === "scalar" && node.value === "") node.value = base.directory;
  else path(node, base);
}

/** A build context may be a directory, a URL, a Git reference, another service or an image. */
function context(node: Node, base: PathBase): void {
  const text = stringOf(node);
  if (text === undefined || isRemoteContext(text)) return;
  path(node, base);
}

/** `app: true` is a directory called `true`: where it stays a word, reading it again makes a path of it. */
function namedContext(node: Node, base: PathBase): void {
  if (node.kind === "scalar" && node.value !== null) node.value = scalarText(node);
  context(node, base);
}

export function isRemoteContext(text: string): boolean {
  return text.includes("://") || /^(?:service:|github\.com\/|git@)/.test(text);
}

function mount(node: Node, base: PathBase): void {
  if (stringOf(child(node, "type")) !== "bind") return;
  const source = child(node, "source");
  if (source !== undefined) pathOrHere(source, base);
}

/** `driver: local` with `o: bind` is a bind mount in disguise. */
function driverOptions(node: Node, base: PathBase): void {
  if (stringOf(child(node, "driver")) !== "local") return;
  const options = child(node, "driver_opts");
  if (options?.kind !== "map" || stringOf(options.entries.get("o")) !== "bind") return;
  const device = options.entries.get("device");
  if (device !== undefined) pathOrHere(device, base);
}

/** Sets a path that is not in the file. */
export function setPath(map: MapNode, key: string, text: string, base: PathBase): void {
  map.entries.set(key, scalar(absolutePath(text, base), map.at));
}
