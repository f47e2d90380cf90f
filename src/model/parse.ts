import { readQuickly } from "./quick-yaml.ts";
import type { Report } from "./report.ts";
import type { Source } from "./source.ts";
import type { Node, Path } from "./tree.ts";

/** One YAML document as our tree. */
export interface ParsedDocument {
  readonly root: Node;
  /** Where `!reset` and `!override` stand: what earlier files say there is dropped before merging. */
  readonly resets: readonly Path[];
}

/** Limits that no honest file meets; each stops an attack on memory or stack. */
export const LIMITS = {
  /** Characters in one file. */
  text: 4_000_000,
  /** Pieces of syntax in one file; about four for each value. */
  lexemes: 600_000,
  /** Collections inside each other. The parser's recursion ends the process at some thousands. */
  depth: 200,
  /** Documents in one file; each is merged over those before it. */
  documents: 1000,
  /** Values that aliases add to one file ("billion laughs"). */
  aliased: 100_000,
} as const;

/** Reads one file of one or more YAML documents. Everything wrong goes to the report. */
export async function parseSource(source: Source, report: Report): Promise<readonly ParsedDocument[]> {
  if (!readable(source, report)) return [];
  const quick = readQuickly(source);
  if (quick !== undefined) return [{ root: quick, resets: [] }];
  // Most files need none of it.
  return (await import("./full-yaml.ts")).parseFully(source, report);
}

function readable(source: Source, report: Report): boolean {
  if (source.text.length > LIMITS.text) {
    report.error(undefined, {
      rule: "file-too-large",
      message: `${source.file} has ${source.text.length} characters; the limit is ${LIMITS.text}`,
    });
    return false;
  }
  // YAML 1.2.2, 5.1: the printable characters. A NUL would end a C string later on.
  const bad = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]/.exec(source.text);
  if (bad === null) return true;
  const code = (source.text.charCodeAt(bad.index) | 0x10000).toString(16).slice(1).toUpperCase();
  report.error(
    { source, start: bad.index, end: bad.index + 1 },
    {
      rule: "yaml-syntax",
      message: `Control character U+${code} is not allowed in YAML`,
      hint: 'Write it as an escape in double quotes, for example "\\x00".',
    },
  );
  return false;
}
