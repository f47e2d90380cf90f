import { StackError } from "../core/index.ts";
import { parseDuration } from "./output/units.ts";

/** `-t`: whole seconds, as milliseconds; -1 waits for ever. Undefined: the containers' own. */
export function graceMs(seconds: number | undefined): { readonly graceMs?: number } {
  if (seconds === undefined) return {};
  return { graceMs: seconds < 0 ? -1 : seconds * 1000 };
}

/** `--wait-timeout`: whole seconds; 0 or absent: without limit. */
export function waitTimeoutMs(seconds: number | undefined): { readonly waitTimeoutMs?: number } {
  if (seconds === undefined || seconds === 0) return {};
  if (seconds < 0) throw new StackError("usage", `invalid --wait-timeout ${seconds}: it must not be negative`);
  return { waitTimeoutMs: seconds * 1000 };
}

/** `web=3` → replicas of each service. */
export function scaleOf(items: readonly string[], flag = "--scale option"): Readonly<Record<string, number>> {
  const scale: Record<string, number> = {};
  for (const item of items.flatMap((i) => i.split(","))) {
    const match = /^([^=]+)=(\d{1,6})$/.exec(item);
    if (match === null) throw new StackError("usage", `invalid ${flag} "${item}". Should be SERVICE=NUM`, { hint: "For example web=3." });
    scale[match[1] ?? ""] = Number(match[2]);
  }
  return scale;
}

/** `--since`, `--until`: RFC 3339, a Unix time, or so long ago (`42m`). Microseconds since the epoch. */
export function momentOf(text: string | undefined, flag: string, now: number, parseTime: (text: string) => number | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1e6;
  const ago = parseDuration(text);
  if (ago !== undefined) return (now - ago) * 1000;
  const at = parseTime(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00` : text);
  if (at === undefined)
    throw new StackError("usage", `invalid ${flag} "${text}"`, { hint: "Write a time such as 2026-01-31T12:00:00Z, or how long ago: 42m." });
  return at;
}

/** `--pull`; `policy` and absent: each service's own. */
export function pullOf(value: string | undefined): { readonly pull?: "always" | "missing" | "never" } {
  switch (value) {
    case undefined:
    case "":
    case "policy":
      return {};
    case "always":
    case "never":
    case "missing":
      return { pull: value };
    case "if_not_present":
      return { pull: "missing" };
    default:
      throw new StackError("usage", `unsupported --pull value "${value}"`, { hint: 'Use "always", "missing" or "never".' });
  }
}
