import { Lexer } from "yaml";
import type { Diagnostic } from "../diagnostics.ts";
import type { Origin, Source } from "../source.ts";
import { placeOf } from "../source.ts";

/** A comment that switches rules off: for a line, or for all of its file. No ids: all rules. */
export interface Suppression {
  readonly at: Origin;
  readonly ids: readonly string[];
  /** Absent: the whole file. */
  readonly line?: number;
}

const COMMENT = /^#\s*stack-lint-(disable(?:-next-line|-line|-file)?)(?![\w-])([^#]*)/;

/**
 * `# stack-lint-disable-next-line id, id`, `# stack-lint-disable-line id` behind what it is about, and
 * `# stack-lint-disable id` for the whole file. What follows `--` is the reason. Only comments count: the same
 * words in a block of text do nothing.
 */
export function suppressionsOf(source: Source): readonly Suppression[] {
  if (!source.text.includes("stack-lint-disable")) return [];
  const found: Suppression[] = [];
  let offset = 0;
  let content = false;
  for (const lexeme of new Lexer().lex(source.text)) {
    // The lexer announces documents and plain text by single control characters that are not in the text.
    const control = lexeme === "\u0002" || lexeme === "\u0018" || lexeme === "\u001f";
    const match = content || control ? null : COMMENT.exec(lexeme);
    if (match !== null) found.push(suppression(match, { source, start: offset, end: offset + lexeme.length }));
    content = lexeme === "\u001f";
    if (!control) offset += lexeme.length;
  }
  return found;
}

function suppression(match: RegExpExecArray, at: Origin): Suppression {
  const ids = (match[2] ?? "").split("--", 1)[0] ?? "";
  const made = { at, ids: ids.split(/[\s,]+/).filter((id) => id !== "") };
  const { line } = placeOf(at);
  if (match[1] === "disable-next-line") return { ...made, line: nextLine(at.source, line) };
  return match[1] === "disable-line" ? { ...made, line } : made;
}

/** The next line that is more than a comment: several suppressions may stand above each other. */
function nextLine(source: Source, line: number): number {
  const lines = source.text.split("\n");
  let next = line;
  while (next < lines.length && /^\s*(?:#.*)?$/.test(lines[next] ?? "")) next += 1;
  return next + 1;
}

export function isSuppressed(diagnostic: Diagnostic, suppressions: readonly Suppression[]): boolean {
  const { place, rule } = diagnostic;
  if (place === undefined) return false;
  return suppressions.some(
    (s) => s.at.source.file === place.file && (s.line === undefined || s.line === place.line) && (s.ids.length === 0 || s.ids.includes(rule)),
  );
}
