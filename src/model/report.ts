import type { Diagnostic, Place } from "./diagnostics.ts";
import { placeOf } from "./source.ts";
import type { Origin } from "./source.ts";
import type { Node, Via } from "./tree.ts";

export interface Remark {
  readonly rule: string;
  readonly message: string;
  readonly hint?: string | undefined;
  /** Mark the key and not the value. */
  readonly atKey?: boolean;
  readonly via?: readonly Via[];
}

/** A message may quote a value, and a value may be a megabyte. */
const MESSAGE_LIMIT = 2000;

/** No more than this many are kept: whoever has a thousand errors has one. */
const LIMIT = 200;

/** Collects everything that is wrong during one load; nothing is thrown on the way. */
export class Report {
  readonly #found: Diagnostic[] = [];
  readonly #seen = new Set<string>();
  readonly #entered: Via[] = [];
  #errors = 0;

  error(where: Node | Origin | undefined, remark: Remark): void {
    this.#errors += 1;
    this.#add("error", where, remark);
  }

  warn(where: Node | Origin | undefined, remark: Remark): void {
    this.#add("warning", where, remark);
  }

  /** What is reported until `leave` is about a file that was read because of this place. */
  enter(via: Via): void {
    this.#entered.push(via);
  }

  leave(): void {
    this.#entered.pop();
  }

  get failed(): boolean {
    return this.#errors > 0;
  }

  get errors(): number {
    return this.#errors;
  }

  /** Sorted by file (in the order of `files`, then by name), line and column; errors before warnings at one place. */
  sorted(files: readonly string[]): Diagnostic[] {
    const rank = (d: Diagnostic): number => {
      const index = d.place === undefined ? -1 : files.indexOf(d.place.file);
      return index === -1 && d.place !== undefined ? files.length : index;
    };
    return [...this.#found].sort(
      (a, b) =>
        rank(a) - rank(b) ||
        compareText(a.place?.file, b.place?.file) ||
        (a.place?.line ?? 0) - (b.place?.line ?? 0) ||
        (a.place?.column ?? 0) - (b.place?.column ?? 0) ||
        compareText(a.severity, b.severity) ||
        compareText(a.message, b.message),
    );
  }

  #add(severity: Diagnostic["severity"], where: Node | Origin | undefined, remark: Remark): void {
    if (remark.message.length > MESSAGE_LIMIT) remark = { ...remark, message: `${remark.message.slice(0, MESSAGE_LIMIT)}…` };
    const origin =
      where === undefined ? undefined : "source" in where ? where : remark.atKey === true ? (where.keyAt ?? where.at) : where.at;
    const place = origin === undefined ? undefined : placeOf(origin);
    const key = `${remark.rule}\0${remark.message}\0${place === undefined ? "" : `${place.file}:${place.line}:${place.column}`}`;
    if (this.#seen.has(key) || this.#found.length >= LIMIT) return;
    this.#seen.add(key);
    const own = where !== undefined && "kind" in where ? (where.via ?? []) : [];
    this.#found.push({
      severity,
      rule: remark.rule,
      message: remark.message,
      ...(place === undefined ? {} : { place }),
      related: relatedPlaces([...own, ...(remark.via ?? []), ...[...this.#entered].reverse()], place),
      ...(remark.hint === undefined ? {} : { hint: remark.hint }),
    });
  }
}

function relatedPlaces(via: readonly Via[], place: Place | undefined): (Place & { readonly note: string })[] {
  const seen = new Set<string>();
  const related: (Place & { readonly note: string })[] = [];
  for (const { at, note } of via) {
    const other = placeOf(at);
    const key = `${other.file}:${other.line}:${other.column}:${note}`;
    if (seen.has(key) || (other.file === place?.file && other.line === place.line && other.column === place.column)) continue;
    seen.add(key);
    related.push({ ...other, note });
  }
  return related.slice(0, 8);
}

function compareText(a: string | undefined, b: string | undefined): number {
  if (a === b) return 0;
  return (a ?? "") < (b ?? "") ? -1 : 1;
}
