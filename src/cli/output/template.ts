import { StackError } from "../../core/index.ts";

/**
 * The part of Go's text/template that people use with `--format`: `{{.Field}}`, `{{.Field.Sub}}`,
 * `{{json .Field}}`, `{{json .}}`, `{{upper .X}}`, `{{lower .X}}`, `{{title .X}}`, `{{truncate .X 5}}`, `{{.X | json}}`,
 * and `\t`, `\n` outside of the braces. Whatever else there is in Go is refused by name, never printed as is.
 */
export type Template = (row: Readonly<Record<string, unknown>>) => string;

interface Piece {
  readonly literal?: string;
  readonly steps?: readonly (readonly string[])[];
}

export function compileTemplate(source: string): Template {
  const pieces = parse(source);
  return (row) => pieces.map((piece) => piece.literal ?? asText(evaluate(piece.steps ?? [], row, source))).join("");
}

/** The fields that a template names, in its order: headings of `table …`. */
export function templateFields(source: string): readonly string[] {
  return parse(source).flatMap((piece) => (piece.steps ?? []).flat().filter((word) => /^\.\w/.test(word)).map((word) => word.slice(1)));
}

function parse(source: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const match of source.matchAll(/\{\{(-?)\s*((?:"(?:[^"\\]|\\.)*"|[^"}]|\}(?!\}))*?)\s*(-?)\}\}/g)) {
    pieces.push({ literal: unescape(source.slice(at, match.index)) });
    pieces.push({ steps: (match[2] ?? "").split("|").map((step) => words(step, source)) });
    at = match.index + match[0].length;
  }
  const rest = source.slice(at);
  if (rest.includes("{{")) throw invalid(source, "unclosed action");
  pieces.push({ literal: unescape(rest) });
  return pieces;
}

function unescape(text: string): string {
  return text.replace(/\\([tn])/g, (_, c: string) => (c === "t" ? "\t" : "\n"));
}

function words(step: string, source: string): readonly string[] {
  const found = step.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
  if (found.length === 0) throw invalid(source, "empty action");
  return found;
}

function evaluate(steps: readonly (readonly string[])[], row: Readonly<Record<string, unknown>>, source: string): unknown {
  let value: unknown;
  for (const [index, step] of steps.entries()) {
    const [head = "", ...rest] = step;
    const operands = rest.map((word) => operand(word, row, source));
    if (index > 0) operands.push(value);
    value = head.startsWith(".") || head.startsWith('"') ? operand(head, row, source) : call(head, operands, source);
  }
  return value;
}

function operand(word: string, row: Readonly<Record<string, unknown>>, source: string): unknown {
  if (word === ".") return row;
  if (word.startsWith('"')) return JSON.parse(word) as unknown;
  if (/^-?\d+$/.test(word)) return Number(word);
  if (!/^(\.\w+)+$/.test(word)) throw invalid(source, `unexpected "${word}"`);
  let value: unknown = row;
  for (const key of word.slice(1).split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) throw invalid(source, `there is no field ${word}`, fieldsHint(row));
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

function fieldsHint(row: Readonly<Record<string, unknown>>): string {
  return `There are ${Object.keys(row).map((k) => `.${k}`).join(", ")}.`;
}

function call(name: string, operands: readonly unknown[], source: string): unknown {
  const first = operands[0];
  switch (name) {
    case "json":
      return JSON.stringify(first);
    case "upper":
      return asText(first).toUpperCase();
    case "lower":
      return asText(first).toLowerCase();
    case "title":
      return asText(first).replace(/\b\w/g, (c) => c.toUpperCase());
    case "truncate":
      return asText(operands[0]).slice(0, Number(operands[1]));
    case "len":
      return Array.isArray(first) ? first.length : asText(first).length;
    case "println":
      return `${operands.map(asText).join(" ")}\n`;
    default:
      throw invalid(source, `"${name}" is not supported`, "Fields and json, upper, lower, title, truncate, len are; for more use --format json and jq.");
  }
}

function asText(value: unknown): string {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
    case "boolean":
    case "bigint":
      return String(value);
    case "object":
      return value === null ? "" : JSON.stringify(value);
    default:
      return "";
  }
}

function invalid(source: string, what: string, hint?: string): StackError {
  return new StackError("usage", `template "${source}": ${what}`, hint === undefined ? {} : { hint });
}
