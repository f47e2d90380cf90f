/**
 * Plain data as YAML in the style of `docker compose config`: two spaces, block style throughout, lists
 * indented below their key, quotes only where they are needed, long texts as block literals.
 */
export function toYaml(value: unknown): string {
  return block(value, 0, false).replace(/^\n/, "");
}

function block(value: unknown, indent: number, inList: boolean): string {
  const pad = " ".repeat(indent);
  if (Array.isArray(value)) {
    if (value.length === 0) return " []\n";
    return `\n${value.map((item) => `${pad}-${listItem(item, indent + 2)}`).join("")}`;
  }
  if (isMap(value)) {
    const entries = value instanceof Map ? [...(value as ReadonlyMap<string, unknown>)] : Object.entries(value);
    if (entries.length === 0) return " {}\n";
    const lines = entries.map(([key, member]) => `${pad}${keyText(key)}:${block(member, childIndent(member, indent), false)}`);
    return inList ? ` ${lines.join("").slice(pad.length)}` : `\n${lines.join("")}`;
  }
  return ` ${scalarText(value, indent)}\n`;
}

function childIndent(value: unknown, indent: number): number {
  return isMap(value) || Array.isArray(value) || typeof value === "string" ? indent + 2 : indent;
}

function listItem(item: unknown, indent: number): string {
  if (Array.isArray(item) && item.length > 0) {
    const text = block(item, indent, true);
    return ` ${text.slice(1 + indent)}`;
  }
  return block(item, indent, true);
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> | ReadonlyMap<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function keyText(key: string): string {
  return key.includes("\n") ? doubleQuoted(key) : text(key, 0);
}

function scalarText(value: unknown, indent: number): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "string") return text(value, indent);
  if (typeof value === "number") return formatFloat(value);
  if (typeof value === "boolean") return value ? "true" : "false";
  return text(JSON.stringify(value), indent);
}

/** Shortest digits; an exponent below 1e-4, from 1e6 on for fractions and from 1e21 on for whole numbers. */
function formatFloat(value: number): string {
  if (Number.isNaN(value)) return ".nan";
  if (!Number.isFinite(value)) return value > 0 ? ".inf" : "-.inf";
  if (Object.is(value, -0)) return "-0";
  const size = Math.abs(value);
  const exponential = Number.isInteger(value) ? size >= 1e21 : size < 1e-4 || size >= 1e6;
  if (!exponential) return Number.isInteger(value) ? BigInt(value).toString() : String(value);
  return value.toExponential().replace(/e([-+])(\d)$/, "e$10$2");
}

function text(value: string, indent: number): string {
  if (value.includes("\n")) return literalAllowed(value) ? literal(value, indent) : doubleQuoted(value);
  if (looksLikeOther(value) || value.includes("\t") || UNPRINTABLE.test(value)) return doubleQuoted(value);
  return plainAllowed(value) ? value : `'${value.replaceAll("'", "''")}'`;
}

/** With what null, a truth, a number or a date can begin. */
const OTHERS_BEGIN = "~nNtTfFyYoO.+-0123456789";

/** What a reader would take for something else than text. */
function looksLikeOther(value: string): boolean {
  if (value === "") return true;
  if (!OTHERS_BEGIN.includes(value.charAt(0))) return false;
  if (
    /^(?:~|null|Null|NULL|true|True|TRUE|false|False|FALSE|y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF|\.nan|\.NaN|\.NAN|[-+]?\.(?:inf|Inf|INF))$/.test(
      value,
    )
  )
    return true;
  if (
    /^[-+]?(?:0[xX][0-9a-fA-F_]+|0b[01_]+|0o?[0-7_]+|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?)$/.test(
      value,
    )
  )
    return true;
  if (/^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$/.test(value)) return true;
  return /^\d{4}-\d{1,2}-\d{1,2}(?:(?:[Tt]|[ \t]+)\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?(?:[ \t]*(?:Z|[-+]\d{1,2}(?::?\d{2})?))?)?$/.test(value);
}

/** Characters that are written as escapes: controls, and what lies beyond the basic plane. */
const UNPRINTABLE = /[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]/;

function plainAllowed(value: string): boolean {
  if (/^ | $/.test(value)) return false;
  if (/^(?:[-?:](?:\s|$)|[,[\]{}#&*!|>'"%@`])/.test(value)) return false;
  if (/^(?:---|\.\.\.)/.test(value)) return false;
  return !/:(?:\s|$)| #/.test(value);
}

/** A literal keeps every line as it is, so no line but the last may end with a space. */
function literalAllowed(value: string): boolean {
  return !UNPRINTABLE.test(value) && !/ \n| $/.test(value);
}

function literal(value: string, indent: number): string {
  const trailing = /\n*$/.exec(value)?.[0].length ?? 0;
  const chomp = trailing === 0 ? "-" : trailing === 1 && value !== "\n" ? "" : "+";
  const lead = /^[ \n]/.test(value) ? "2" : "";
  const pad = " ".repeat(indent);
  const body = trailing === 0 ? value : value.slice(0, -1);
  return `|${lead}${chomp}\n${body
    .split("\n")
    .map((line) => (line === "" ? "" : pad + line))
    .join("\n")}`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\0": "\\0",
  "\x07": "\\a",
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\v": "\\v",
  "\f": "\\f",
  "\r": "\\r",
  "\x1b": "\\e",
  '"': '\\"',
  "\\": "\\\\",
  "\u0085": "\\N",
  "\u2028": "\\L",
  "\u2029": "\\P",
  "\ufeff": "\\uFEFF",
};

function doubleQuoted(value: string): string {
  let result = '"';
  for (const c of value) {
    const code = c.codePointAt(0) ?? 0;
    const escape = ESCAPES[c];
    if (escape !== undefined) result += escape;
    else if (code < 0x20 || (code >= 0x7f && code < 0xa0)) result += `\\x${hex(code, 2)}`;
    else if (code > 0xffff) result += `\\U${hex(code, 8)}`;
    else if (code >= 0xd800 && (code < 0xe000 || code >= 0xfffe)) result += `\\u${hex(code, 4)}`;
    else result += c;
  }
  return `${result}"`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).toUpperCase().padStart(digits, "0");
}
