import { containerConfig, stableJson } from "./hash.ts";
import type { Service } from "./project.ts";

/**
 * Why a container of `before` does not fit `after`, in people's words: `environment.DEBUG: "0" → "1"`,
 * `ports: + {…}`. Sorted by path; empty exactly when `configHash` is the same. `before` may be what
 * `containerConfig` gave at the time, from a record on disk.
 */
export function serviceDifferences(before: Service | Readonly<Record<string, unknown>>, after: Service): readonly string[] {
  const old = isService(before) ? containerConfig(before) : before;
  const found: string[] = [];
  compare("", old, containerConfig(after), found);
  return found;
}

function isService(value: object): value is Service {
  return "canonical" in value && "environment" in value && "limits" in value;
}

/** Values of these may be secret: they are named, not shown. */
const SECRET = /pass(word|wd|phrase)?|secret|token|credential|api_?key|private/i;

function compare(path: string, before: unknown, after: unknown, found: string[]): void {
  if (stableJson(before) === stableJson(after)) return;
  if (isMap(before) && isMap(after)) {
    for (const key of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort())
      compare(path === "" ? key : `${path}.${key}`, before[key], after[key], found);
    return;
  }
  if (Array.isArray(before) && Array.isArray(after) && before.every(isMap) && after.every(isMap)) {
    const left = new Set(before.map(stableJson));
    const right = new Set(after.map(stableJson));
    for (const item of left) if (!right.has(item)) found.push(`${path}: - ${item}`);
    for (const item of right) if (!left.has(item)) found.push(`${path}: + ${item}`);
    if ([...left].every((i) => right.has(i)) && [...right].every((i) => left.has(i))) found.push(`${path}: order changed`);
    return;
  }
  if (SECRET.test(path)) found.push(`${path}: changed`);
  else found.push(`${path}: ${show(before)} → ${show(after)}`);
}

function show(value: unknown): string {
  if (value === undefined) return "(not set)";
  const text = stableJson(value);
  return text.length <= 120 ? text : `${text.slice(0, 117)}...`;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
