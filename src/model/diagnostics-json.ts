import type { Diagnostic, Place } from "./diagnostics.ts";

/** The shape changes only by additions; a reader of this number goes on reading. */
const FORMAT_VERSION = 1;

/** One JSON document with everything that was found (`schemas/diagnostics.schema.json`). */
export function diagnosticsJson(list: readonly Diagnostic[]): string {
  const count = (severity: Diagnostic["severity"]): number => list.filter((d) => d.severity === severity).length;
  const document = { version: FORMAT_VERSION, errors: count("error"), warnings: count("warning"), diagnostics: list.map(plain) };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

function plain(d: Diagnostic): Readonly<Record<string, unknown>> {
  return {
    severity: d.severity,
    rule: d.rule,
    message: d.message,
    ...(d.hint === undefined ? {} : { hint: d.hint }),
    ...(d.place === undefined ? {} : { place: placeJson(d.place) }),
    related: d.related.map((r) => ({ note: r.note, ...placeJson(r) })),
  };
}

function placeJson({ file, line, column, length, text }: Place): Readonly<Record<string, unknown>> {
  return { file, line, column, length, text };
}
