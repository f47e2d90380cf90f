import type { Place } from "./diagnostics.ts";

/**
 * `stack`: our own keys are written bare (`stack.yaml`, `stack.yml`, `stack.*.yaml`, `stack.*.yml`).
 * `compose`: other tools must be able to read the file, so they live under `x-stack`.
 */
export type Dialect = "stack" | "compose";

/** One text that was read. */
export interface Source {
  /** Absolute path, or `-` for standard input. */
  readonly file: string;
  readonly text: string;
  readonly dialect: Dialect;
  /** Offsets at which lines begin; made on first use. */
  lines?: readonly number[];
}

/** Where a piece of a tree came from: offsets in UTF-16 units, end exclusive. */
export interface Origin {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

export function dialectOf(file: string): Dialect {
  const name = file.slice(file.lastIndexOf("/") + 1);
  return /^stack(\..+)?\.ya?ml$/.test(name) ? "stack" : "compose";
}

export function makeSource(file: string, text: string): Source {
  return { file, text, dialect: dialectOf(file) };
}

function lineStarts(source: Source): readonly number[] {
  if (source.lines !== undefined) return source.lines;
  const starts = [0];
  for (let i = source.text.indexOf("\n"); i !== -1; i = source.text.indexOf("\n", i + 1)) starts.push(i + 1);
  source.lines = starts;
  return starts;
}

/** Longest part of a line that is kept for quoting. */
const QUOTE_LIMIT = 2000;

/** Line and column, from 1, of an origin, with the line quoted. */
export function placeOf(origin: Origin): Place {
  const { source } = origin;
  const starts = lineStarts(source);
  const start = Math.min(origin.start, source.text.length);
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= start) low = middle;
    else high = middle - 1;
  }
  const lineStart = starts[low] ?? 0;
  const next = starts[low + 1];
  const lineEnd = next === undefined ? source.text.length : next - 1;
  const text = source.text.slice(lineStart, Math.min(lineEnd, lineStart + QUOTE_LIMIT)).replace(/\r$/, "");
  const column = start - lineStart + 1;
  const length = Math.max(1, Math.min(origin.end, lineStart + text.length) - start);
  return { file: source.file, line: low + 1, column, length, text };
}
