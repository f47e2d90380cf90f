import type { Project, Service } from "./project.ts";
import { FILE_SOURCE, MODEL, NETWORK, SERVICE, VOLUME } from "./shapes.ts";
import type { Shape, StructShape } from "./shapes.ts";
import { compareText } from "./decode.ts";
import { sortedDeep, sortedMap } from "./key-order.ts";
import type { Style } from "./key-order.ts";
import { OWN } from "./own-keys.ts";
import { define } from "./tree.ts";
import { toYaml } from "./yaml-writer.ts";

/** The two forms in which Docker Compose prints a project; they differ in what they leave out, and in the order of keys. */
export type { Style } from "./key-order.ts";

export interface CanonicalOptions {
  /** Keep `env_file` and `label_file`, whose content is in `environment` and `labels` otherwise (`--no-env-resolution`). */
  readonly keepFiles?: boolean;
}

/** The project as one canonical Compose document, as `docker compose config` prints it. */
export function toCanonical(project: Project, style: Style = "yaml", options: CanonicalOptions = {}): Record<string, unknown> {
  return plain(emitProject(project, style, options)) as Record<string, unknown>;
}

/** Mappings whose keys the user chose are `Map`s in here, in the order in which they are printed. */
function emitProject(project: Project, style: Style, options: CanonicalOptions): ReadonlyMap<string, unknown> {
  const services = canonicals(project.services).map(([name, value]): [string, unknown] => [
    name,
    options.keepFiles === true ? value : withoutFiles(value),
  ]);
  const sections: [string, unknown][] = [
    ["services", emitAll(SERVICE, services, style)],
    ["networks", emitAll(NETWORK, canonicals(project.networks), style)],
    ["volumes", emitAll(VOLUME, canonicals(project.volumes), style)],
    ["secrets", emitAll(FILE_SOURCE, canonicals(project.secrets), style)],
    ["configs", emitAll(FILE_SOURCE, canonicals(project.configs), style)],
  ];
  // Docker Compose forgets the models in JSON.
  if (style === "yaml") sections.push(["models", emitAll(MODEL, canonicals(project.models), style)]);
  const present = sections.filter(([name, value]) => name === "services" || (value as ReadonlyMap<string, unknown>).size > 0);
  const extensions = sortedMap(
    Object.entries(project.extensions).map(([key, value]) => [key, sortedDeep(value, style)] as const),
    style,
  );
  const all: [string, unknown][] = [["name", project.name], ...present, ...extensions];
  return style === "json" ? sortedMap(all, style) : new Map(all);
}

function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const object: Record<string, unknown> = {};
  for (const [key, member] of value instanceof Map ? (value as ReadonlyMap<string, unknown>) : Object.entries(value)) define(object, key, plain(member));
  return object;
}

/**
 * The canonical document as text, byte for byte what `docker compose config` prints: dollar signs doubled, so
 * that reading it again fills nothing in, and in JSON `<`, `>` and `&` escaped as Go does.
 */
export function canonicalText(project: Project, style: Style, options: CanonicalOptions = {}): string {
  const document = emitProject(project, style, options);
  return style === "yaml" ? toYaml(document).replaceAll("$", "$$$$") : `${goJson(document).replaceAll("$", "$$$$")}\n`;
}

/** The merged model of `loadModel` as `docker compose config --no-interpolate` prints it: nothing is doubled. */
export function modelText(model: Readonly<Record<string, unknown>>, style: Style): string {
  const sorted = sortedDeep(model, style);
  return style === "yaml" ? toYaml(sorted) : `${goJson(sorted)}\n`;
}

const HTML: Readonly<Record<string, string>> = { "<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029" };

function goJson(value: unknown): string {
  return json(value, "\n").replace(/[<>&\u2028\u2029]/g, (c) => HTML[c] ?? c);
}

/** `JSON.stringify` with two spaces, for `Map`s too. `line`: the line break with the indentation here. */
function json(value: unknown, line: string): string {
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : JSON.stringify(value);
  const inner = `${line}  `;
  if (Array.isArray(value)) return value.length === 0 ? "[]" : `[${inner}${value.map((item) => json(item, inner)).join(`,${inner}`)}${line}]`;
  const members: string[] = [];
  for (const [key, member] of value instanceof Map ? (value as ReadonlyMap<string, unknown>) : Object.entries(value))
    if (member !== undefined) members.push(`${JSON.stringify(key)}: ${json(member, inner)}`);
  return members.length === 0 ? "{}" : `{${inner}${members.join(`,${inner}`)}${line}}`;
}

/** One service in the form of the canonical document. */
export function serviceCanonical(service: Service, style: Style = "yaml"): unknown {
  return plain(emit(SERVICE, service.canonical, style));
}

function withoutFiles(service: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (!("env_file" in service || "label_file" in service)) return service;
  return Object.fromEntries(Object.entries(service).filter(([key]) => key !== "env_file" && key !== "label_file"));
}

function canonicals(
  elements: Readonly<Record<string, { readonly canonical: Readonly<Record<string, unknown>> }>>,
): [string, Readonly<Record<string, unknown>>][] {
  return Object.entries(elements).map(([key, element]) => [key, element.canonical]);
}

function emitAll(shape: StructShape, elements: readonly [string, unknown][], style: Style): ReadonlyMap<string, unknown> {
  return sortedMap(
    elements.map(([key, value]) => [key, emit(shape, value, style)]),
    style,
  );
}

function emit(shape: Shape, value: unknown, style: Style): unknown {
  if (value === null || value === undefined) return value;
  switch (shape.kind) {
    case "struct":
      return emitStruct(shape, value as Record<string, unknown>, style);
    case "list":
      return (value as unknown[]).map((item) => emit(shape.item, item, style));
    case "map":
      return sortedMap(
        Object.entries(value).map(([k, v]) => [k, emit(shape.value, v, style)]),
        style,
      );
    case "any":
    case "pairs":
    case "multi-options":
      return sortedDeep(value, style);
    case "hosts":
      return Object.entries(value as Record<string, readonly string[]>)
        .flatMap(([host, addresses]) => addresses.map((a) => `${host}=${a}`))
        .sort(compareText);
    case "env-file": {
      const { path, required, format } = value as { path: string; required: boolean; format?: string };
      if (required) return path;
      return style === "yaml" || format === undefined ? { path, required } : { path, required, format };
    }
    case "ssh":
      return Object.entries(value as Record<string, string>).map(([id, path]) => (path === "" ? id : `${id}: ${path}`));
    case "ulimit":
      return emitUlimit(value, style);
    default:
      return value;
  }
}

function emitStruct(shape: StructShape, value: Readonly<Record<string, unknown>>, style: Style): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  const extensions: [string, unknown][] = [];
  for (const [name, field] of shape.fields) {
    const member = value[name];
    if (member === undefined) {
      if (style === "json" && shape.always !== undefined && name in shape.always) result[name] = shape.always[name];
      continue;
    }
    const emitted = emit(field, member, style);
    if (style === "yaml" && field.kind === "struct" && field.omitEmpty === true && Object.keys(emitted as object).length === 0) continue;
    result[style === "json" ? (shape.jsonNames?.[name] ?? name) : name] = emitted;
  }
  // Docker Compose forgets extensions in JSON; without our own keys the document would be another project.
  for (const [name, member] of Object.entries(value))
    if (style === "yaml" ? name.startsWith("x-") : name === OWN) extensions.push([name, sortedDeep(member, style)]);
  for (const [name, member] of sortedMap(extensions, style)) define(result, name, member);
  return result;
}

function emitUlimit(value: unknown, style: Style): unknown {
  if (typeof value === "number") return value === 0 ? (style === "yaml" ? { soft: 0, hard: 0 } : {}) : value;
  const { soft, hard } = value as { soft: number; hard: number };
  if (style === "yaml") return { soft, hard };
  return { ...(soft === 0 ? {} : { soft }), ...(hard === 0 ? {} : { hard }) };
}
