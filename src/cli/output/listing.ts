import type { Context } from "../context.ts";
import { printable, renderTable } from "./table.ts";
import { compileTemplate, templateFields } from "./template.ts";

/** A list as `--format` asks for it. */
export interface Listing {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** Heading → what stands below it. */
  readonly columns: readonly { readonly heading: string; readonly field: string }[];
  /** Headings of fields that no column shows, for `table TEMPLATE`. */
  readonly headings?: Readonly<Record<string, string>>;
  /** `lines`: one JSON object a line, as Docker Compose's `ps`; `array`: one array. */
  readonly json: "lines" | "array";
  readonly table?: { readonly gap?: number; readonly minimum?: number };
  /** Fields that JSON has and that are not for people. */
  readonly jsonRow?: (row: Readonly<Record<string, unknown>>) => unknown;
}

export async function printListing(context: Context, format: string | undefined, listing: Listing): Promise<void> {
  await context.stdout.write(renderListing(format ?? "table", listing));
}

export function renderListing(format: string, listing: Listing): string {
  const { rows, columns } = listing;
  if (format === "json") {
    const objects = rows.map((row) => listing.jsonRow?.(row) ?? row);
    return listing.json === "array" ? `${JSON.stringify(objects)}\n` : objects.map((o) => `${JSON.stringify(o)}\n`).join("");
  }
  if (format === "table" || format === "pretty" || format === "") {
    const body = rows.map((row) => columns.map(({ field }) => cell(row[field])));
    return renderTable([columns.map((c) => c.heading), ...body], listing.table);
  }
  if (format.startsWith("table ")) {
    const source = format.slice("table ".length).trim();
    const template = compileTemplate(source);
    const known = new Map(columns.map(({ field, heading }) => [field, heading]));
    const heading = compileTemplate(headingTemplate(source, (field) => known.get(field) ?? listing.headings?.[field] ?? field.toUpperCase()))({});
    return renderTable([heading, ...rows.map((row) => template(row))].map((line) => line.split("\t")));
  }
  const template = compileTemplate(format);
  return rows.map((row) => `${template(row)}\n`).join("");
}

function headingTemplate(source: string, heading: (field: string) => string): string {
  let index = 0;
  const fields = templateFields(source);
  return source.replace(/\{\{.*?\}\}/g, () => heading(fields[index++] ?? ""));
}

function cell(value: unknown): string {
  return printable(typeof value === "string" ? value : JSON.stringify(value ?? ""));
}
