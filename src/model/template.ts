/**
 * Variables in text: `$V`, `${V}`, `${V:-d}`, `${V-d}`, `${V:+r}`, `${V+r}`, `${V:?e}`, `${V?e}`; the word after the
 * operator may hold variables itself. `$$` is a dollar sign; a dollar sign before anything that cannot begin a
 * name stays. (Compose Specification, "Interpolation"; the `+` forms as Docker Compose has them.)
 */
export type Lookup = (name: string) => string | undefined;

export type TemplateProblem =
  | { readonly kind: "malformed"; readonly at: number; readonly text: string }
  | { readonly kind: "required"; readonly at: number; readonly name: string; readonly reason: string }
  | { readonly kind: "unset"; readonly at: number; readonly name: string }
  /** What the variables hold adds up to more than `TEXT_LIMIT`. */
  | { readonly kind: "too-long"; readonly at: number };

export interface Substituted {
  readonly value: string;
  /** In the order of the text. `unset` is a warning, the others are errors. */
  readonly problems: readonly TemplateProblem[];
}

const OPERATORS = [":?", ":-", ":+", "?", "-", "+"] as const;
type Operator = (typeof OPERATORS)[number];

/** A variable as it stands in a text (`stack config --variables`). */
export interface VariableUse {
  readonly name: string;
  readonly required: boolean;
  readonly defaultValue: string;
  readonly presenceValue: string;
}

/** Deeper nesting than this is an attack on the stack, not a default value. */
const DEPTH = 100;

/** Characters of one filled-in text: twenty lines of `A=$A$A` would fill the memory otherwise. */
const TEXT_LIMIT = 2_000_000;

export function substitute(text: string, lookup: Lookup): Substituted {
  if (!text.includes("$")) return { value: text, problems: [] };
  const problems: TemplateProblem[] = [];
  const value = new Expander(lookup, problems, undefined).expand(text, 0, 0, true);
  return { value, problems };
}

/** Every variable that a text names, nested ones too. */
export function variablesOf(text: string): readonly VariableUse[] {
  if (!text.includes("$")) return [];
  const uses: VariableUse[] = [];
  new Expander(() => "", [], uses).expand(text, 0, 0, false);
  return uses;
}

class Expander {
  readonly #lookup: Lookup;
  readonly #problems: TemplateProblem[];
  readonly #uses: VariableUse[] | undefined;

  constructor(lookup: Lookup, problems: TemplateProblem[], uses: VariableUse[] | undefined) {
    this.#lookup = lookup;
    this.#problems = problems;
    this.#uses = uses;
  }

  /** `offset`: where `text` begins in the whole text. `warn`: tell of variables that are not set. */
  expand(text: string, offset: number, depth: number, warn: boolean): string {
    let result = "";
    let done = 0;
    for (let at = text.indexOf("$"); at !== -1; at = text.indexOf("$", done)) {
      if (result.length > TEXT_LIMIT) {
        this.#problems.push({ kind: "too-long", at: offset + at });
        return "";
      }
      result += text.slice(done, at);
      const next = text[at + 1];
      if (next === "$") {
        result += "$";
        done = at + 2;
      } else if (next === "{") {
        const end = this.#braced(text, at, offset, depth, warn);
        result += end.value;
        done = end.done;
      } else {
        const name = nameAt(text, at + 1);
        if (name === "") {
          result += "$";
          done = at + 1;
        } else {
          result += this.#plain(name, offset + at, warn);
          done = at + 1 + name.length;
        }
      }
    }
    return result + text.slice(done);
  }

  #plain(name: string, at: number, warn: boolean): string {
    this.#uses?.push({ name, required: false, defaultValue: "", presenceValue: "" });
    const value = this.#lookup(name);
    if (value === undefined && warn) this.#problems.push({ kind: "unset", at, name });
    return value ?? "";
  }

  #braced(text: string, at: number, offset: number, depth: number, warn: boolean): { readonly value: string; readonly done: number } {
    const name = nameAt(text, at + 2);
    const after = at + 2 + name.length;
    const malformed = (): { readonly value: string; readonly done: number } => {
      this.#problems.push({ kind: "malformed", at: offset + at, text });
      return { value: "", done: text.length };
    };
    if (name === "" || depth > DEPTH) return malformed();
    if (text[after] === "}") return { value: this.#plain(name, offset + at, warn), done: after + 1 };
    const operator = OPERATORS.find((o) => text.startsWith(o, after));
    const end = closingBrace(text, at + 1);
    if (operator === undefined || end === -1) return malformed();
    const word = after + operator.length;
    const inner = text.slice(word, end);
    return { value: this.#apply(name, operator, inner, offset + at, offset + word, depth, warn), done: end + 1 };
  }

  #apply(name: string, operator: Operator, inner: string, at: number, innerAt: number, depth: number, warn: boolean): string {
    const value = this.#lookup(name);
    const set = value !== undefined && (operator.length === 1 || value !== "");
    const kind = operator.at(-1);
    const used = kind === "+" ? set : !set;
    // The word is read even where it is not used: a mistake in it is a mistake.
    const word = this.expand(inner, innerAt, depth + 1, warn && used && kind !== "?");
    this.#uses?.push({
      name,
      required: kind === "?",
      defaultValue: kind === "-" ? inner : "",
      presenceValue: kind === "+" ? inner : "",
    });
    if (this.#uses !== undefined) return "";
    if (kind === "+") return set ? word : (value ?? "");
    if (set) return value;
    if (kind === "-") return word;
    this.#problems.push({ kind: "required", at, name, reason: word });
    return "";
  }
}

function nameAt(text: string, at: number): string {
  let end = at;
  while (end < text.length && isNameCharacter(text.charCodeAt(end), end === at)) end += 1;
  return text.slice(at, end);
}

function isNameCharacter(code: number, first: boolean): boolean {
  const letter = (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95;
  return letter || (!first && code >= 48 && code <= 57);
}

/** The brace that closes the one at `open`; all braces count, so that `${A:-{"b": {}}}` works. */
function closingBrace(text: string, open: number): number {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    const c = text[i];
    if (c === "{") depth += 1;
    else if (c === "}" && --depth === 0) return i;
  }
  return -1;
}
