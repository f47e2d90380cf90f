import type { Diagnostic } from "./diagnostics.ts";

/**
 * Workflow commands that GitHub turns into annotations of the changed files. Paths are relative to `base`, the
 * root of the checkout; others it cannot show. (GitHub Docs, "Workflow commands".)
 */
export function diagnosticsGithub(list: readonly Diagnostic[], base: string): string {
  return list.map((d) => command(d, base)).join("");
}

function command(d: Diagnostic, base: string): string {
  const properties: [string, string][] = [];
  if (d.place !== undefined && d.place.file !== "-") {
    properties.push(["file", relativeTo(base, d.place.file)], ["line", String(d.place.line)], ["endLine", String(d.place.line)]);
    properties.push(["col", String(d.place.column)], ["endColumn", String(d.place.column + d.place.length)]);
  }
  properties.push(["title", d.rule]);
  const notes = d.related.map((r) => `${r.note}: ${relativeTo(base, r.file)}:${r.line}:${r.column}`);
  const text = [d.message, ...notes, ...(d.hint === undefined ? [] : [d.hint])].join("\n");
  return `::${d.severity} ${properties.map(([key, value]) => `${key}=${escapeProperty(value)}`).join(",")}::${escapeData(text)}\n`;
}

/** A path below `base` without it; any other stays as it is. */
export function relativeTo(base: string, file: string): string {
  const prefix = base.endsWith("/") ? base : `${base}/`;
  return file.startsWith(prefix) ? file.slice(prefix.length) : file;
}

/** A line break would begin another command. */
function escapeData(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
