/** Docker's words for a length of time, for `Up 3 minutes` (github.com/docker/go-units: HumanDuration). */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(milliseconds / 60_000);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.floor(milliseconds / 3_600_000 + 0.5);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`;
  return `${Math.floor(milliseconds / 3_600_000 / 24 / 365)} years`;
}

const decimal = ["B", "kB", "MB", "GB", "TB", "PB"];
const binary = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `1.98MB`: four significant digits at most, as Docker prints sizes. */
export function humanSize(bytes: number, digits = 3): string {
  return scaled(bytes, 1000, decimal, digits);
}

/** `940KiB`: as Docker prints memory. */
export function binarySize(bytes: number): string {
  return scaled(bytes, 1024, binary, 4);
}

function scaled(bytes: number, base: number, units: readonly string[], digits: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  return `${Number(value.toPrecision(digits))}${units[unit] ?? ""}`;
}

/** `0.3s`, `12.0s`, `2m 05s`: how long an operation took. */
export function shortTime(milliseconds: number): string {
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)}s`;
  return `${Math.floor(milliseconds / 60_000)}m ${String(Math.floor((milliseconds % 60_000) / 1000)).padStart(2, "0")}s`;
}

/** Go's duration or a number of the unit `bare` → milliseconds; undefined if it is neither. */
export function parseDuration(text: string, bare?: number): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return bare === undefined ? (Number(text) === 0 ? 0 : undefined) : Number(text) * bare;
  const unit: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|w)/g)];
  if (parts.length === 0 || parts.map((p) => p[0]).join("") !== text) return undefined;
  return parts.reduce((sum, [, number, name]) => sum + Number(number) * (unit[name ?? ""] ?? 0), 0);
}
