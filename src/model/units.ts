/** Durations, sizes and commands as Compose files write them. Every function answers `undefined` for what is not one. */

const UNIT_NS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
  d: 86400e9,
  w: 604800e9,
};

/** `1m30s`, `100ms`, `1.5h`, `2d`: nanoseconds. A number without a unit is none, `0` excepted. */
export function parseDuration(text: string): number | undefined {
  const match = /^([-+]?)((?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h|d|w)(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h|d|w))*|0)$/.exec(
    text,
  );
  if (match === null) return undefined;
  const [, sign, body = ""] = match;
  let total = 0;
  for (const [, number = "", unit = ""] of body.matchAll(/([\d.]+)([a-zµμ]+)/g)) total += Number(number) * (UNIT_NS[unit] ?? 0);
  if (!Number.isFinite(total) || total > 9.2e18) return undefined;
  return sign === "-" ? -total : total;
}

/** Go's form of a duration: `1h30m0s`, `1.5s`, `100ms`, `0s`. */
export function formatDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return "0s";
  const sign = nanoseconds < 0 ? "-" : "";
  const ns = Math.round(Math.abs(nanoseconds));
  if (ns < 1e3) return `${sign}${ns}ns`;
  if (ns < 1e6) return `${sign}${trim(ns / 1e3, 3)}µs`;
  if (ns < 1e9) return `${sign}${trim(ns / 1e6, 6)}ms`;
  const hours = Math.floor(ns / 3600e9);
  const minutes = Math.floor((ns - hours * 3600e9) / 60e9);
  const rest = ns - hours * 3600e9 - minutes * 60e9;
  const seconds = `${trim(rest / 1e9, 9)}s`;
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${sign}${minutes}m${seconds}` : sign + seconds;
}

function trim(value: number, digits: number): string {
  return value.toFixed(digits).replace(/\.?0+$/, "");
}

const BYTES: Readonly<Record<string, number>> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };

/** `512`, `64m`, `1.5gb`, `2GiB`: bytes, 1024 to the next unit. */
export function parseBytes(text: string): number | undefined {
  // What `memswap_limit: -1` is printed as.
  if (text === "-1") return -1;
  const match = /^(\d+(?:\.\d+)?|\.\d+) ?([bkmgtp]?)(i?b)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const [, number = "", unit = "", suffix = ""] = match;
  if (unit === "" && suffix.toLowerCase() === "ib") return undefined;
  if (unit.toLowerCase() === "b" && suffix !== "") return undefined;
  const bytes = Math.floor(Number(number) * (BYTES[unit.toLowerCase()] ?? 1));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

export interface SplitCommand {
  readonly words: readonly string[];
  /** Position of the unquoted `; & | < >` at which reading stopped. */
  readonly stoppedAt?: number;
}

/**
 * Splits a command line into words as a POSIX shell's quoting does, without any expansion. Like the parser that
 * Docker Compose uses it stops at an unquoted `; & | < >`, keeps `$(...)` and back quotes as text, and refuses
 * open quotes and bare parentheses (`undefined`).
 */
export function splitCommand(line: string): SplitCommand | undefined {
  const words: string[] = [];
  let word = "";
  let begun = false;
  let quote: "" | "'" | '"' | "`" | "$" = "";
  for (let i = 0; i < line.length; i++) {
    const c = line.charAt(i);
    if (c === "\\" && quote !== "'") {
      if (++i >= line.length) return undefined;
      word += line.charAt(i);
      begun = true;
      continue;
    }
    if (/[ \t\r\n]/.test(c) && quote === "") {
      if (begun) words.push(word);
      word = "";
      begun = false;
      continue;
    }
    if (quote === "" && /[;&|<>]/.test(c)) {
      // `2>` : the number belongs to the redirection.
      if (begun && !(c === ">" && /^[0-9]/.test(word))) words.push(word);
      return { words, stoppedAt: i };
    }
    if (quote === "" && (c === "'" || c === '"')) {
      quote = c;
      begun = true;
      continue;
    }
    if ((quote === "'" || quote === '"') && c === quote) {
      quote = "";
      continue;
    }
    if (quote === "" && c === "(") {
      if (!word.endsWith("$")) return undefined;
      quote = "$";
    } else if (quote === "" && c === "`") quote = "`";
    else if ((quote === "`" && c === "`") || (quote === "$" && c === ")")) quote = "";
    word += c;
    begun = true;
  }
  if (quote !== "") return undefined;
  if (begun) words.push(word);
  return { words };
}
