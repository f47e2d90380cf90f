import type { Diagnostic, Place } from "./diagnostics.ts";

export interface RenderOptions {
  /** ANSI colours. */
  readonly color: boolean;
  /** Columns; longer quoted lines are cut around the mark. Default 120. */
  readonly width?: number;
  /** Paths below it are shown relative to it. */
  readonly cwd?: string;
}

/** Diagnostics for people: what, where, the line with the place marked, and what to do. */
export function renderDiagnostics(list: readonly Diagnostic[], options: RenderOptions): string {
  return list.map((d) => renderOne(d, options)).join("\n");
}

function renderOne(d: Diagnostic, options: RenderOptions): string {
  const paint = (code: string, text: string): string => (options.color ? `\u001b[${code}m${text}\u001b[0m` : text);
  const color = d.severity === "error" ? "31;1" : "33;1";
  const lines = [`${paint(color, d.severity)}: ${paint("1", printable(d.message))} ${paint("2", `[${d.rule}]`)}`];
  if (d.place !== undefined) lines.push(...quote(d.place, color, options, paint));
  for (const place of d.related) lines.push(`  ${paint("2", "note:")} ${printable(place.note)}: ${where(place, options)}`);
  if (d.hint !== undefined) lines.push(`  ${paint("36", "hint:")} ${printable(d.hint)}`);
  return `${lines.join("\n")}\n`;
}

function where(place: Place, options: RenderOptions): string {
  return `${shown(place.file, options)}:${place.line}:${place.column}`;
}

function shown(file: string, options: RenderOptions): string {
  const base = options.cwd === undefined ? undefined : options.cwd.endsWith("/") ? options.cwd : `${options.cwd}/`;
  const path = file === "-" ? "<stdin>" : file;
  return printable(base !== undefined && path.startsWith(base) ? path.slice(base.length) : path);
}

function quote(place: Place, color: string, options: RenderOptions, paint: (code: string, text: string) => string): string[] {
  const gutter = String(place.line);
  const room = Math.max(20, (options.width ?? 120) - gutter.length - 6);
  let { text } = place;
  let start = place.column - 1;
  if (text.length > room) {
    const from = Math.max(0, Math.min(start - Math.floor(room / 3), text.length - room));
    text = `${from > 0 ? "…" : ""}${text.slice(from, from + room)}${from + room < text.length ? "…" : ""}`;
    start = start - from + (from > 0 ? 1 : 0);
  }
  const length = Math.max(1, Math.min(place.length, text.length - start));
  const lead = text.slice(0, start).replace(/[^\t]/g, " ");
  return [
    `  ${paint("2", "-->")} ${where(place, options)}`,
    `  ${paint("2", `${gutter} |`)} ${printable(text)}`,
    `  ${" ".repeat(gutter.length)} ${paint("2", "|")} ${lead}${paint(color, "^".repeat(length))}`,
  ];
}

/** A file cannot send commands to the terminal through its own error message, nor hide what it says. */
function printable(text: string): string {
  return text.replace(
    /[\0-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (c) => `\\u${(c.charCodeAt(0) | 0x10000).toString(16).slice(1)}`,
  );
}
