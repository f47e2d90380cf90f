import { dirname } from "node:path";
import { readEnvFiles } from "./environment.ts";
import type { Composition } from "./compose.ts";
import { merge } from "./merge.ts";
import { resolveVariables } from "./normalise.ts";
import { absolutePath } from "./paths.ts";
import type { Session } from "./session.ts";
import { addVia, child, childItems, childMap, mapOf, stringOf, toPlain } from "./tree.ts";
import type { MapNode, Node } from "./tree.ts";

/** Loads a list of files as a project of its own. Passed in, because it includes in turn. */
export type ComposeFiles = (composition: Composition, session: Session) => Promise<MapNode | undefined>;

/** Sections whose members an included file hands over. */
const IMPORTED = ["services", "volumes", "networks", "secrets", "configs", "models"] as const;

interface Entry {
  readonly node: Node;
  readonly paths: readonly string[];
  readonly projectDirectory?: string;
  readonly envFiles: readonly string[];
}

/**
 * `include`: other projects' files, each with its own directory and `.env`, become part of this document.
 * What the including document says about the same resource wins; two included files may not disagree.
 */
export async function applyIncludes(root: MapNode, composition: Composition, session: Session, compose: ComposeFiles): Promise<void> {
  const items = childItems(root, "include");
  root.entries.delete("include");
  const imported = mapOf([], root.at);
  for (const item of items) {
    const entry = readEntry(item);
    if (entry === undefined) continue;
    const loaded = await load(entry, composition, session, compose);
    if (loaded !== undefined) importInto(imported, loaded, entry, session);
  }
  for (const section of IMPORTED) {
    const from = imported.entries.get(section);
    const own = root.entries.get(section);
    if (from === undefined) continue;
    if (own === undefined || own.kind !== "map") root.entries.set(section, from);
    else {
      const merged = merge(mapOf([[section, from]], root.at), mapOf([[section, own]], root.at), session.report);
      const value = child(merged, section);
      if (value !== undefined) root.entries.set(section, value);
    }
  }
}

function readEntry(node: Node): Entry | undefined {
  const texts = (key: string): string[] => {
    const value = child(node, key);
    const items = value?.kind === "seq" ? value.items : value === undefined ? [] : [value];
    return items.map(stringOf).filter((t) => t !== undefined);
  };
  const paths = texts("path");
  if (paths.length === 0) return undefined;
  const directory = stringOf(child(node, "project_directory"));
  return {
    node,
    paths,
    envFiles: texts("env_file"),
    ...(directory === undefined || directory === "" ? {} : { projectDirectory: directory }),
  };
}

async function load(entry: Entry, composition: Composition, session: Session, compose: ComposeFiles): Promise<MapNode | undefined> {
  const base = { directory: composition.directory, home: composition.environment.get("HOME") };
  const files = entry.paths.map((p) => absolutePath(p, base));
  const [main = ""] = files;
  const stack = [...composition.including, ...composition.files.slice(0, 1)];
  if (/^(?:oci:\/\/|https?:\/\/|git@|ssh:\/\/)|\.git(?:#|$)/.test(entry.paths[0] ?? "")) {
    session.report.error(entry.node, {
      rule: "unsupported-include",
      message: `Cannot include ${entry.paths[0] ?? ""}: only local files can be included`,
      hint: "Fetch it first and include the local copy.",
    });
    return undefined;
  }
  if (stack.includes(main)) {
    session.report.error(entry.node, { rule: "include-cycle", message: `Circular \`include\`: ${[...stack, main].join(" includes ")}` });
    return undefined;
  }
  if (!session.mayInclude(stack.length, entry.node)) return undefined;
  const directory = entry.projectDirectory === undefined ? dirname(main) : absolutePath(entry.projectDirectory, base);
  const envFiles = entry.envFiles.length > 0 ? entry.envFiles.map((f) => absolutePath(f, base)) : await defaultEnvFile(directory, session);
  const own = await readEnvFiles(envFiles, composition.environment, session.reader, session.report);
  const environment = new Map([...own, ...composition.environment]);
  for (const file of files) if ((await session.open(file, entry.node, "included here")) === undefined) return undefined;
  session.report.enter({ at: entry.node.at, note: "included here" });
  try {
    const made = await compose({ files, directory, environment, including: stack }, session);
    if (made !== undefined) resolveHere(made, environment);
    return made;
  } finally {
    session.report.leave();
  }
}

/** Names of variables mean the included project's, before the including one's environment is asked: in lists, and as the source of a file. */
function resolveHere(made: MapNode, environment: ReadonlyMap<string, string>): void {
  for (const service of childMap(made, "services")?.entries.values() ?? [])
    if (service.kind === "map" && service.entries.get("environment")?.kind === "seq") resolveVariables(service, "environment", environment, true);
  for (const section of ["configs", "secrets"])
    for (const resource of childMap(made, section)?.entries.values() ?? []) {
      const variable = child(resource, "environment");
      const value = environment.get(stringOf(variable) ?? "");
      if (variable?.kind === "scalar" && value !== undefined) variable.held ??= value;
    }
}

async function defaultEnvFile(directory: string, session: Session): Promise<readonly string[]> {
  const file = `${directory}/.env`;
  return (await session.reader.kind(file)) === "file" ? [file] : [];
}

function importInto(imported: MapNode, loaded: MapNode, entry: Entry, session: Session): void {
  for (const section of IMPORTED) {
    const from = childMap(loaded, section);
    if (from === undefined) continue;
    const to = childMap(imported, section) ?? mapOf([], from.at, from.keyAt);
    imported.entries.set(section, to);
    for (const [name, resource] of from.entries) {
      const existing = to.entries.get(name);
      if (existing !== undefined) {
        if (JSON.stringify(toPlain(existing)) !== JSON.stringify(toPlain(resource)))
          session.report.error(resource, {
            rule: "include-conflict",
            message: `${section}.${name} comes from two included files, and they differ`,
            via: [{ at: existing.keyAt ?? existing.at, note: "the other one" }],
            hint: "Rename one, or say in this file what it shall be.",
            atKey: true,
          });
        continue;
      }
      addVia(resource, { at: entry.node.at, note: "included here" });
      to.entries.set(name, resource);
    }
  }
}
