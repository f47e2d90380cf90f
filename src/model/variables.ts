import { resolve } from "node:path";
import { parseDotenv, parseRawEnv } from "./dotenv.ts";
import { ENV_LINE } from "./environment.ts";
import type { Session } from "./session.ts";
import { makeSource } from "./source.ts";
import { child, childItems, childMap, childString, mapOf, scalar, scalarText, stringOf } from "./tree.ts";
import type { MapNode, Node } from "./tree.ts";
import { toEntries } from "./merge.ts";

/**
 * Puts `env_file` into `environment` and `label_file` into `labels` of every active service. `environment` wins;
 * among files the later one. Variables in a file see the project's environment, then the service's, then what
 * came before them. Changes the tree.
 */
export async function resolveServiceFiles(
  root: MapNode,
  active: ReadonlySet<string>,
  environment: ReadonlyMap<string, string>,
  directory: string,
  session: Session,
): Promise<void> {
  for (const [name, service] of childMap(root, "services")?.entries ?? []) {
    if (service.kind !== "map" || !active.has(name)) continue;
    if (session.request.skip?.envResolution !== true) await readEnvironment(directory, name, service, environment, session);
    await readLabels(directory, name, service, session);
  }
}

async function readEnvironment(
  directory: string,
  name: string,
  service: MapNode,
  environment: ReadonlyMap<string, string>,
  session: Session,
): Promise<void> {
  const files = childItems(service, "env_file");
  const own = pairsOf(service.entries.get("environment"));
  for (const [key, entry] of own) {
    const found = entry.value === null ? environment.get(key) : undefined;
    if (found !== undefined) own.set(key, { ...entry, value: found });
  }
  if (files.length === 0) return;
  const values = new Map<string, string>();
  for (const [key, entry] of own) if (entry.value !== null) values.set(key, scalarText(entry));
  const merged = new Map<string, Node>();
  for (const file of files) {
    const lookup = (key: string): string | undefined => environment.get(key) ?? ownValue(own, key);
    const format = childString(file, "format") ?? "";
    const read = await readFile(directory, name, file, childString(file, "path") ?? "", "env file", isRequired(file), session);
    if (read === undefined) continue;
    if (format !== "" && format !== "raw") {
      session.report.error(child(file, "format") ?? file, {
        rule: "invalid-value",
        message: `services.${name}.env_file: unsupported format "${format}"`,
        hint: "Leave it out, or write raw.",
      });
      continue;
    }
    const parsed = format === "raw" ? parseRawEnv(read.text, lookup) : parseDotenv(read.text, lookup, values);
    report(read.path, read.text, parsed.problems, session);
    for (const [key, value] of parsed.values) {
      values.set(key, value);
      merged.set(key, scalar(value, file.at, file.at));
    }
  }
  for (const [key, entry] of own) merged.set(key, entry);
  const before = service.entries.get("environment") ?? service;
  service.entries.set("environment", mapOf(merged, before.at, before.keyAt));
}

function ownValue(own: ReadonlyMap<string, Entry>, key: string): string | undefined {
  const entry = own.get(key);
  return entry === undefined || entry.value === null ? undefined : scalarText(entry);
}

type Entry = ReturnType<typeof scalar>;

function pairsOf(node: Node | undefined): Map<string, Entry> {
  const result = new Map<string, Entry>();
  if (node?.kind === "map") {
    for (const [key, value] of node.entries)
      if (value.kind === "scalar") result.set(key, { ...value, value: value.value === null ? null : scalarText(value) });
  } else if (node !== undefined)
    for (const item of toEntries(node)) {
      const text = stringOf(item) ?? "";
      const equals = text.indexOf("=");
      const made = equals === -1 ? scalar(null, item.at, item.at) : scalar(text.slice(equals + 1), item.at, item.at);
      result.set(equals === -1 ? text : text.slice(0, equals), made);
    }
  return result;
}

function isRequired(file: Node): boolean {
  const node = child(file, "required");
  return !(node?.kind === "scalar" && (node.value === false || /^(?:false|no|n|off)$/i.test(String(node.value))));
}

async function readFile(
  directory: string,
  service: string,
  at: Node,
  path: string,
  what: string,
  required: boolean,
  session: Session,
): Promise<{ readonly path: string; readonly text: string } | undefined> {
  const result = await session.reader.read(resolve(directory, path));
  if (result.kind === "text") return { path, text: result.text };
  if (result.kind === "missing" && !required) return undefined;
  session.report.error(child(at, "path") ?? at, {
    rule: "env-file",
    message:
      result.kind === "missing"
        ? `services.${service}: ${what} ${path} not found`
        : `services.${service}: cannot read ${what} ${path}: ${result.reason}`,
    hint: what === "env file" && result.kind === "missing" ? "Create it, or write {path: …, required: false}." : undefined,
  });
  return undefined;
}

function report(
  path: string,
  text: string,
  problems: readonly { readonly at: number; readonly length: number; readonly message: string }[],
  session: Session,
): void {
  const source = makeSource(path, text);
  for (const p of problems) session.report.error({ source, start: p.at, end: p.at + p.length }, { rule: "env-file", message: p.message, hint: ENV_LINE });
}

async function readLabels(directory: string, name: string, service: MapNode, session: Session): Promise<void> {
  const files = childItems(service, "label_file");
  if (files.length === 0) return;
  const merged = new Map<string, Node>();
  const values = new Map<string, string>();
  for (const file of files) {
    const read = await readFile(directory, name, file, stringOf(file) ?? "", "label file", true, session);
    if (read === undefined) continue;
    const parsed = parseDotenv(read.text, (key) => values.get(key));
    report(read.path, read.text, parsed.problems, session);
    for (const [key, value] of parsed.values) {
      values.set(key, value);
      merged.set(key, scalar(value, file.at, file.at));
    }
  }
  for (const [key, entry] of pairsOf(service.entries.get("labels"))) merged.set(key, entry);
  const before = service.entries.get("labels") ?? service;
  service.entries.set("labels", mapOf(merged, before.at, before.keyAt));
}
