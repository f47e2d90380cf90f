import type { Context } from "../context.ts";
import type { Sink } from "../sink.ts";

/** ANSI colours where they are wanted (https://no-color.org: any non-empty NO_COLOR turns them off). */
export interface Style {
  readonly enabled: boolean;
  bold(text: string): string;
  red(text: string): string;
  yellow(text: string): string;
  green(text: string): string;
  dim(text: string): string;
  /** One of the colours for the names of containers. */
  pick(index: number, text: string): string;
}

/** Docker Compose's order: cyan, yellow, green, magenta, blue, then the bright ones. */
const rainbow = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

export function styleFor(context: Pick<Context, "globals" | "env">, sink: Sink, noColor = false): Style {
  const { ansi } = context.globals;
  const unwanted = (context.env["NO_COLOR"] ?? "") !== "" || context.env["TERM"] === "dumb" || !sink.isTTY;
  return style(!noColor && ansi !== "never" && (ansi === "always" || !unwanted));
}

export function style(enabled: boolean): Style {
  const wrap = (code: number, text: string): string => (enabled ? `\x1b[${code}m${text}\x1b[0m` : text);
  return {
    enabled,
    bold: (text) => wrap(1, text),
    red: (text) => wrap(31, text),
    yellow: (text) => wrap(33, text),
    green: (text) => wrap(32, text),
    dim: (text) => wrap(2, text),
    pick: (index, text) => wrap(rainbow[index % rainbow.length] ?? 36, text),
  };
}
