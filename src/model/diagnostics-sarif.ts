import { pathToFileURL } from "node:url";
import type { Diagnostic, Place } from "./diagnostics.ts";
import { relativeTo } from "./diagnostics-github.ts";

/** What a rule is called and means, for the tool's part of the log. */
export interface SarifRule {
  readonly id: string;
  readonly summary: string;
  readonly why?: string;
  readonly level: "off" | "warning" | "error";
}

/**
 * A log in SARIF 2.1.0 (OASIS), as code scanners and editors take it. Paths below `base` are relative to it
 * (`%SRCROOT%`); columns count UTF-16 units, as the places do.
 */
export function diagnosticsSarif(list: readonly Diagnostic[], rules: readonly SarifRule[], base: string, version: string): string {
  const known = [...rules];
  for (const d of list) if (!known.some((r) => r.id === d.rule)) known.push({ id: d.rule, summary: d.rule, level: d.severity });
  const root = pathToFileURL(base.endsWith("/") ? base : `${base}/`).href;
  const run = {
    tool: { driver: { name: "stack", semanticVersion: version, version, rules: known.map(descriptor) } },
    columnKind: "utf16CodeUnits",
    originalUriBaseIds: { SRCROOT: { uri: root } },
    results: list.map((d) => result(d, known, base)),
  };
  return `${JSON.stringify({ $schema: "https://json.schemastore.org/sarif-2.1.0.json", version: "2.1.0", runs: [run] }, undefined, 2)}\n`;
}

function descriptor(rule: SarifRule): Readonly<Record<string, unknown>> {
  return {
    id: rule.id,
    shortDescription: { text: rule.summary },
    ...(rule.why === undefined ? {} : { help: { text: rule.why } }),
    defaultConfiguration: rule.level === "off" ? { enabled: false, level: "warning" } : { level: rule.level },
  };
}

function result(d: Diagnostic, rules: readonly SarifRule[], base: string): Readonly<Record<string, unknown>> {
  return {
    ruleId: d.rule,
    ruleIndex: rules.findIndex((r) => r.id === d.rule),
    level: d.severity,
    message: { text: d.hint === undefined ? d.message : `${d.message}\n${d.hint}` },
    ...(d.place === undefined ? {} : { locations: [location(d.place, base)] }),
    ...(d.related.length === 0 ? {} : { relatedLocations: d.related.map((r, id) => ({ id, ...location(r, base), message: { text: r.note } })) }),
  };
}

function location(place: Place, base: string): { readonly physicalLocation: Readonly<Record<string, unknown>> } {
  const path = relativeTo(base, place.file);
  const artifact = place.file === "-" ? { uri: "stdin" } : path === place.file ? { uri: pathToFileURL(path).href } : { uri: encodeURI(path).replace(/[?#:]/g, encodeURIComponent), uriBaseId: "SRCROOT" };
  return {
    physicalLocation: {
      artifactLocation: artifact,
      region: { startLine: place.line, startColumn: place.column, endLine: place.line, endColumn: place.column + place.length, snippet: { text: place.text } },
    },
  };
}
