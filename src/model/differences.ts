import { containerConfig, stableJson } from "./hash.ts";
import type { Service } from "./project.ts";

/**
 * Why a container of `before` (`Service.canonical` of the service it was made from) does not fit `after`, in people's
 * words: `environment.DEBUG: "0" → "1"`, `ports: + {…}`. Sorted by path; empty exactly when `configHash` is the same.
 */
export function serviceDifferences(before: Service["canonical"], after: Service): readonly string[] {
  const found: string[] = [];
  compare("", containerConfig(before), containerConfig(after.canonical), found);
  return found;
}

/** Values of these may be secret: they are named, not shown. */
const SECRET = /pass(word|wd|phrase)?|secret|token|credential|api_?key|private/i;

function compare(path: string, before: unknown, after: unknown, found: string[]): void {
  // A key without value (`networks: {front: }`) is more than none.
  if ((before === undefined) === (after === undefined) && stableJson(before) === stableJson(after)) return;
  // Member by member also where there was no such map: values that may be secret are known by their names.
  const [left, right] = [membersOf(before, after), membersOf(after, before)];
  if (left !== undefined && right !== undefined) {
    for (const key of [...new Set([...Object.keys(left), ...Object.keys(right)])].sort())
      compare(path === "" ? key : `${path}.${key}`, left[key], right[key], found);
    return;
  }
  if (Array.isArray(before) && Array.isArray(after) && before.every(isMap) && after.every(isMap)) {
    const was = new Set(before.map(stableJson));
    const is = new Set(after.map(stableJson));
    for (const item of was) if (!is.has(item)) found.push(`${path}: - ${item}`);
    for (const item of is) if (!was.has(item)) found.push(`${path}: + ${item}`);
    if ([...was].every((i) => is.has(i)) && [...is].every((i) => was.has(i))) found.push(`${path}: order changed`);
    return;
  }
  if (SECRET.test(path)) found.push(`${path}: changed`);
  else found.push(`${path}: ${show(before)} → ${show(after)}`);
}

function membersOf(value: unknown, other: unknown): Readonly<Record<string, unknown>> | undefined {
  if (isMap(value)) return value;
  return value === undefined && isMap(other) && Object.keys(other).length > 0 ? {} : undefined;
}

function show(value: unknown): string {
  if (value === undefined) return "(not set)";
  const text = stableJson(value);
  return text.length <= 120 ? text : `${text.slice(0, 117)}...`;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
