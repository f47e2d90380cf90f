import { longName } from "./flags.ts";
import type { Flag, Flags } from "./flags.ts";

const width = 80;

export function renderHelp(spec: { readonly name: string; readonly summary: string; readonly details?: string; readonly usage: string; readonly flags: Flags }): string {
  const parts = [`Usage:  stack ${spec.name}${spec.usage === "" ? "" : ` ${spec.usage}`}`, spec.summary];
  if (spec.details !== undefined) parts.push(entry("", spec.details, 0));
  parts.push(`Options:\n${renderFlags(spec.flags)}`);
  return `${parts.join("\n\n")}\n`;
}

/** `  -d, --detach        Detached mode …`, sorted, wrapped at 80 columns. */
export function renderFlags(flags: Flags): string {
  const rows = Object.entries(flags)
    .filter(([, flag]) => flag.hidden !== true)
    .map(([key, flag]) => ({ head: headOf(key, flag), sort: longName(key, flag).toLowerCase(), flag }))
    .sort((a, b) => (a.sort < b.sort ? -1 : 1));
  const column = Math.min(34, Math.max(0, ...rows.map((r) => r.head.length)) + 3);
  return rows.map(({ head, flag }) => entry(head, describe(flag), column)).join("\n");
}

function headOf(key: string, flag: Flag<unknown>): string {
  return `  ${flag.short === undefined ? "    " : `-${flag.short}, `}--${longName(key, flag)}${flag.kind === "boolean" ? "" : ` ${flag.value ?? "value"}`}`;
}

function describe(flag: Flag<unknown>): string {
  const choices = flag.choices === undefined ? "" : ` (${flag.choices.map((c) => `"${c}"`).join("|")})`;
  return `${flag.description}${choices}${flag.initial === true ? " (default true)" : ""}`;
}

/** Name and text in two columns. */
export function entry(head: string, description: string, column: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of description.split(" ")) {
    if (line !== "" && line.length + word.length + 1 > width - column) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(line);
  const first = head.length < column || column === 0 ? head.padEnd(column) + (lines.shift() ?? "") : head;
  return [first, ...lines.map((l) => " ".repeat(column) + l)].join("\n");
}
