import { resolvePlain } from "./scalar.ts";

const GIVE_UP = new Error("not for the quick reader");

/** What stands here is the full parser's to judge. */
export function giveUp(): never {
  throw GIVE_UP;
}

/** What `read` reads; undefined if it gave up. */
export function unlessGivenUp<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error === GIVE_UP) return undefined;
    throw error;
  }
}

export const SPACE = 32;
export const NEWLINE = 10;
export const HASH = 35;
export const COLON = 58;
export const DASH = 45;

/** What may not begin a plain scalar (YAML 1.2.2, 5.3), and what the quick reader leaves alone there. */
export const INDICATORS = codes("?:,[]{}#&*!|>'\"%@`=");
const FLOW_ENDS = codes("[]{},");

/**
 * A place in the text of a YAML file, and what can be said there character by character: where lines, keys, words and
 * quotes begin and end. What it does not know for certain it gives up.
 */
export class YamlCursor {
  protected readonly text: string;
  /** The next character that was not read. */
  protected at = 0;
  /** Indentation of the line in which it stands; -1 at the end of the text. */
  protected column = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** To the next line with something in it, from the beginning of a line. */
  protected nextLine(): void {
    const text = this.text;
    for (let at = this.at; at < text.length; ) {
      const begin = at;
      while (text.charCodeAt(at) === SPACE) at += 1;
      const c = text.charCodeAt(at);
      if (c === HASH) {
        const end = text.indexOf("\n", at);
        at = end === -1 ? text.length : end + 1;
      } else if (c === NEWLINE) at += 1;
      else if (at < text.length) {
        const column = at - begin;
        if (column === 0 && /^(?:---|\.\.\.|%)/.test(text.slice(at, at + 3))) giveUp();
        this.at = at;
        this.column = column;
        return;
      }
    }
    this.at = text.length;
    this.column = -1;
  }

  /** After a value: nothing but a comment may follow in its line. Goes to the next line with something in it. */
  protected endLine(): void {
    this.rest();
    this.nextLine();
  }

  /** Whether the line ends here but for spaces and a comment; then the reader stands at the next one. */
  protected rest(): void {
    const text = this.text;
    let at = this.at;
    while (text.charCodeAt(at) === SPACE) at += 1;
    const c = text.charCodeAt(at);
    if (at < text.length && c !== NEWLINE && (c !== HASH || at === this.at)) giveUp();
    const end = c === HASH ? text.indexOf("\n", at) : at;
    this.at = end === -1 || at >= text.length ? text.length : end + 1;
  }

  protected spaces(): void {
    while (this.text.charCodeAt(this.at) === SPACE) this.at += 1;
  }

  protected lineIsOver(): boolean {
    const c = this.text.charCodeAt(this.at);
    return this.at >= this.text.length || c === NEWLINE || (c === HASH && this.text.charCodeAt(this.at - 1) === SPACE);
  }

  protected isDash(): boolean {
    if (this.text.charCodeAt(this.at) !== DASH) return false;
    const next = this.text.charCodeAt(this.at + 1);
    return next === SPACE || next === NEWLINE || this.at + 1 >= this.text.length;
  }

  protected isQuote(): boolean {
    const c = this.text[this.at];
    return c === '"' || c === "'";
  }

  /** Whether a key stands here: the line is read ahead. */
  protected isKey(): boolean {
    const before = this.at;
    const c = this.text[before];
    if (c === "[" || c === "{" || c === "*" || c === "&" || c === "|") return false;
    if (!this.isQuote()) {
      const end = this.plainEnd(false);
      return this.text.charCodeAt(end) === COLON;
    }
    this.quoted();
    this.spaces();
    const found = this.text.charCodeAt(this.at) === COLON;
    this.at = before;
    return found;
  }

  protected key(): string {
    if (this.isQuote()) return this.quoted();
    const start = this.at;
    if (INDICATORS.has(this.text.charCodeAt(start)) || this.isDash()) giveUp();
    const end = this.plainEnd(false);
    const key = this.text.slice(start, end).trimEnd();
    this.at = start + key.length;
    // Keys that are not text are errors.
    if (typeof resolvePlain(key).value !== "string") giveUp();
    return key;
  }

  /** Where a plain scalar ends: at `: `, ` #`, the end of the line, and in flow collections at their indicators. */
  protected plainEnd(flow: boolean): number {
    const text = this.text;
    let at = this.at;
    for (; at < text.length; at++) {
      const c = text.charCodeAt(at);
      if (c === NEWLINE) return at;
      if (c === COLON) {
        const next = text.charCodeAt(at + 1);
        if (next === SPACE || next === NEWLINE || at + 1 >= text.length || (flow && FLOW_ENDS.has(next))) return at;
      } else if (c === HASH && text.charCodeAt(at - 1) === SPACE) return at;
      else if (flow && FLOW_ENDS.has(c)) return at;
    }
    return at;
  }

  protected quoted(): string {
    const text = this.text;
    const start = this.at + 1;
    if (text[this.at] === "'") {
      let at = start;
      for (;;) {
        const c = text[at];
        if (c === undefined || c === "\n") giveUp();
        if (c === "'") {
          if (text[at + 1] !== "'") break;
          at += 1;
        }
        at += 1;
      }
      this.at = at + 1;
      return text.slice(start, at).replaceAll("''", "'");
    }
    for (let at = start; at < text.length; at++) {
      const c = text[at];
      // Escapes are rare, and there are many of them.
      if (c === "\n" || c === "\\") giveUp();
      if (c === '"') {
        this.at = at + 1;
        return text.slice(start, at);
      }
    }
    return giveUp();
  }

  protected anchorName(): string {
    const start = this.at + 1;
    let end = start;
    while (isNameCharacter(this.text.charCodeAt(end))) end += 1;
    const c = this.text.charCodeAt(end);
    if (end === start || (c !== SPACE && c !== NEWLINE && c !== 44 && c !== 93 && c !== 125 && end < this.text.length)) giveUp();
    this.at = end;
    this.spaces();
    return this.text.slice(start, end);
  }

  protected flowSpace(indent: number): void {
    const text = this.text;
    for (;;) {
      this.spaces();
      const c = text.charCodeAt(this.at);
      if (c === HASH || this.at >= text.length) giveUp();
      if (c !== NEWLINE) return;
      const begin = this.at + 1;
      this.at = begin;
      this.spaces();
      if (text.charCodeAt(this.at) !== NEWLINE && this.at - begin <= indent) giveUp();
    }
  }
}

function codes(characters: string): ReadonlySet<number> {
  return new Set(Array.from(characters, (c) => c.charCodeAt(0)));
}

function isNameCharacter(c: number): boolean {
  return (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) || c === 95 || c === DASH;
}
