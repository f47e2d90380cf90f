import { substitute } from "./template.ts";
import type { Lookup, TemplateProblem } from "./template.ts";

/** What is wrong in an environment file, at an offset into its text. */
export interface DotenvProblem {
  readonly at: number;
  readonly length: number;
  readonly message: string;
  readonly hint?: string;
}

export interface DotenvResult {
  /** In the order of the file; a later line with the same name wins. */
  readonly values: ReadonlyMap<string, string>;
  readonly problems: readonly DotenvProblem[];
}

/**
 * Environment files, in the grammar that Docker Compose reads: `KEY=value` or `KEY: value`, optional `export`,
 * bare `KEY` takes its value from `inherit`. Unquoted values end at ` #` and may hold variables; double quotes
 * know escapes and variables; single quotes nothing but \'. Quoted values may span lines.
 * `lookup` sees the names of earlier lines only through `values` of the caller: it is asked first, they after.
 */
export function parseDotenv(text: string, inherit: Lookup, earlier: ReadonlyMap<string, string> = new Map()): DotenvResult {
  const reader = new DotenvReader(text, inherit, earlier);
  return { values: reader.values, problems: reader.read() };
}

/** `format: raw`: as `docker run --env-file` reads it: no quotes, no variables, `#` only at the start of a line. */
export function parseRawEnv(text: string, inherit: Lookup): DotenvResult {
  const values = new Map<string, string>();
  const problems: DotenvProblem[] = [];
  let offset = 0;
  for (const line of text.replace(/^\ufeff/, " ").split("\n")) {
    const start = offset;
    offset += line.length + 1;
    const entry = line.replace(/\r$/, "").replace(/^[ \t\ufeff]+/, "");
    if (entry === "" || entry.startsWith("#")) continue;
    const equals = entry.indexOf("=");
    const key = equals === -1 ? entry : entry.slice(0, equals);
    if (key === "" || /\s/.test(key)) {
      problems.push({
        at: start,
        length: line.length,
        message: key === "" ? "No variable name before `=`" : `The variable name \`${key}\` contains white space`,
      });
      continue;
    }
    const value = equals === -1 ? inherit(key) : entry.slice(equals + 1);
    if (value !== undefined) values.set(key, value);
  }
  return { values, problems };
}

const SPACE = /[\t\v\f\r \u0085\u00a0]/;
const NAME = /[A-Za-z0-9_.\-[\]]/;
const FOREIGN_NAME = /[\p{L}\p{N}]/u;

class DotenvReader {
  readonly values = new Map<string, string>();
  readonly #text: string;
  readonly #lookup: Lookup;
  readonly #inherit: Lookup;
  readonly #problems: DotenvProblem[] = [];
  #at = 0;

  constructor(text: string, inherit: Lookup, earlier: ReadonlyMap<string, string>) {
    this.#text = text;
    this.#inherit = (name) => inherit(name) ?? earlier.get(name);
    this.#lookup = (name) => inherit(name) ?? this.values.get(name) ?? earlier.get(name);
    if (text.startsWith("\ufeff")) this.#at = 1;
  }

  read(): readonly DotenvProblem[] {
    while (this.#skipToStatement()) if (!this.#statement()) break;
    return this.#problems;
  }

  #skipToStatement(): boolean {
    while (this.#at < this.#text.length) {
      const c = this.#text.charAt(this.#at);
      if (c === "#") this.#at = this.#endOfLine();
      else if (/\s/.test(c) || c === "\u0085") this.#at += 1;
      else return true;
    }
    return false;
  }

  #endOfLine(): number {
    const end = this.#text.indexOf("\n", this.#at);
    return end === -1 ? this.#text.length : end;
  }

  /** One `KEY=value`; false when nothing after it can be trusted. */
  #statement(): boolean {
    const exported = /^export[\t\v\f\r \u0085\u00a0]+/.exec(this.#text.slice(this.#at, this.#at + 200));
    if (exported !== null) this.#at += exported[0].length;
    const start = this.#at;
    let end = start;
    let separator = "";
    while (end < this.#text.length) {
      const c = this.#text.charAt(end);
      if (c === "=" || c === ":" || c === "\n") {
        separator = c;
        break;
      }
      if (!SPACE.test(c) && !NAME.test(c) && !FOREIGN_NAME.test(c)) return this.#bad(end, 1, `Unexpected character ${JSON.stringify(c)} in a variable name`);
      end += 1;
    }
    const key = this.#text.slice(start, end).trimEnd();
    // A last line without a line break and without `=` is no statement for Docker Compose either.
    if (separator === "" && end >= this.#text.length) separator = "\n";
    if (/\s/.test(key)) return this.#bad(start, key.length, `The variable name \`${key}\` contains a space`);
    if (key === "") return this.#bad(start, 1, "No variable name before the separator");
    this.#at = Math.min(end + 1, this.#text.length);
    if (separator === "\n") {
      const value = this.#inherit(key);
      if (value !== undefined) this.values.set(key, value);
      return true;
    }
    while (this.#at < this.#text.length && SPACE.test(this.#text.charAt(this.#at))) this.#at += 1;
    return this.#value(key);
  }

  #value(key: string): boolean {
    const quote = this.#text.charAt(this.#at);
    if (quote === '"' || quote === "'") return this.#quoted(key, quote);
    const start = this.#at;
    const end = this.#endOfLine();
    this.#at = Math.min(end + 1, this.#text.length);
    const line = this.#text.slice(start, end);
    const comment = line.indexOf(" #");
    const value = (comment === -1 ? line : line.slice(0, comment)).trimEnd();
    return this.#set(key, value, start, true);
  }

  #quoted(key: string, quote: string): boolean {
    const start = this.#at;
    let value = "";
    for (let i = start + 1; i < this.#text.length; i++) {
      const c = this.#text.charAt(i);
      if (c === "\\" && i + 1 < this.#text.length) {
        const next = this.#text.charAt(i + 1);
        // A backslash before the other characters is kept for the escapes of double quotes.
        value += next === quote ? next : c + next;
        i += 1;
      } else if (c === quote) {
        this.#at = i + 1;
        return this.#set(key, quote === '"' ? unescape(value) : value, start + 1, quote === '"');
      } else value += c;
    }
    return this.#bad(start, Math.max(1, this.#endOfLine() - start), `The quote that begins the value of \`${key}\` is never closed`);
  }

  #set(key: string, value: string, at: number, expand: boolean): boolean {
    if (!expand) {
      this.values.set(key, value);
      return true;
    }
    const { value: expanded, problems } = substitute(value, this.#lookup);
    for (const problem of problems) {
      const text = problemText(problem);
      if (text !== undefined) return this.#bad(at, Math.max(1, value.length), `${key}: ${text}`);
    }
    this.values.set(key, expanded);
    return true;
  }

  #bad(at: number, length: number, message: string): false {
    this.#problems.push({ at, length, message });
    return false;
  }
}

function problemText(problem: TemplateProblem): string | undefined {
  if (problem.kind === "unset") return undefined;
  if (problem.kind === "too-long") return "its variables add up to too long a text";
  if (problem.kind === "malformed") return `malformed variable in ${JSON.stringify(problem.text)}`;
  return `required variable ${problem.name} is missing a value${problem.reason === "" ? "" : `: ${problem.reason}`}`;
}

const ESCAPES: Readonly<Record<string, string>> = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\\": "\\", '"': '"' };

/** Escapes in double quotes; `\$` becomes `$$`, a dollar sign that begins no variable. */
function unescape(text: string): string {
  return text.replace(/\\(?:[abcfnrtv$"\\]|0[0-9]{0,3})/g, (escape) => {
    if (escape === "\\$") return "$$";
    const c = escape.charAt(1);
    if (c !== "0") return ESCAPES[c] ?? escape;
    const digits = escape.slice(2);
    return /^[0-7]{3}$/.test(digits) && parseInt(digits, 8) < 256 ? String.fromCharCode(parseInt(digits, 8)) : escape;
  });
}
