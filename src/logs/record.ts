/**
 * One record of Docker's json-file format: `{"log":"text\n","stream":"stdout","time":"RFC 3339 with nanoseconds"}`.
 * A long line is written as several records, all but the last without the newline.
 */
export interface LogRecord {
  readonly stream: "stdout" | "stderr";
  /** As written: RFC 3339, UTC, up to nanoseconds. */
  readonly time: string;
  /** Microseconds since the epoch: what a double still holds exactly. */
  readonly at: number;
  /** With its newline, if it has one. */
  readonly text: string;
  /** The supervised process that wrote it; absent: the container's own command. */
  readonly process?: string;
}

/** Undefined: the line is not a record (damaged, or written by somebody else). */
export function parseRecord(line: string): LogRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { log, stream, time, attrs } = value as Record<string, unknown>;
  if (typeof log !== "string" || typeof time !== "string") return undefined;
  const at = parseTime(time);
  if (at === undefined) return undefined;
  return { stream: stream === "stderr" ? "stderr" : "stdout", time, at, text: log, ...processOf(attrs) };
}

function processOf(attributes: unknown): { readonly process?: string } {
  if (typeof attributes !== "object" || attributes === null) return {};
  const { process } = attributes as Record<string, unknown>;
  return typeof process === "string" && process !== "" ? { process } : {};
}

const rfc3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:?\d\d)?$/;

/** Microseconds since the epoch of an RFC 3339 time; without zone it is UTC. Undefined: not a time. */
export function parseTime(text: string): number | undefined {
  const match = rfc3339.exec(text);
  if (match === null) return undefined;
  const [, date, clock, fraction = "", zone = "Z"] = match;
  const milliseconds = Date.parse(`${date ?? ""}T${clock ?? ""}${zone.toUpperCase()}`);
  if (Number.isNaN(milliseconds)) return undefined;
  return milliseconds * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}
