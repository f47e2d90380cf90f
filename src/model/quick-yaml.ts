import { resolvePlain } from "./scalar.ts";
import type { Origin, Source } from "./source.ts";
import { cloneNode, countNodes, mapOf, scalar, seqOf } from "./tree.ts";
import type { MapNode, Node, ScalarNode } from "./tree.ts";
import { COLON, DASH, giveUp, INDICATORS, NEWLINE, SPACE, unlessGivenUp, YamlCursor } from "./yaml-cursor.ts";
import { mergeKey } from "./yaml-merge.ts";

/**
 * Reads the YAML that nearly all stack files consist of (block and flow collections, plain and quoted scalars on one
 * line, literals, comments, anchors, aliases, merge keys) straight into our tree, some ten times faster than the full
 * parser. It never decides that a file is wrong: at the first thing that it does not know for certain it gives up, and
 * the full parser, which knows all of YAML and all its errors, reads the file instead. What it does read is what the
 * full parser reads, places included; a test and the fuzzer compare the two.
 */
export function readQuickly(source: Source): Node | undefined {
  // Line breaks, tabs and marks of byte order that need care.
  if (/[\r\t\ufeff]/.test(source.text)) return undefined;
  return unlessGivenUp(() => new QuickReader(source).read());
}

/** Deeper collections, longer keys and more aliased values are the full parser's to judge. */
const DEPTH = 60;
const KEY = 1000;
const ALIASED = 20_000;
/** More values than this are too many. */
const VALUES = 100_000;

/** The structure: collections, values, anchors and aliases. */
class QuickReader extends YamlCursor {
  readonly #source: Source;
  /** Where the last value ended. */
  #end = 0;
  #depth = 0;
  #aliased = 0;
  #values = 0;
  /** `undefined`: the node is being read. */
  readonly #anchors = new Map<string, Node | undefined>();

  constructor(source: Source) {
    super(source.text);
    this.#source = source;
  }

  read(): Node {
    if (this.text.startsWith("---\n")) this.at = 4;
    this.nextLine();
    if (this.column !== 0) giveUp();
    const root = this.#block(0, undefined);
    if (this.at < this.text.length) giveUp();
    return root;
  }

  /** Every value is made with an origin of its own. */
  #origin(start: number, end: number): Origin {
    if (++this.#values > 2 * VALUES) giveUp();
    return { source: this.#source, start, end };
  }

  /** A collection that begins at the reader's place, whose lines are indented by `indent`. */
  #block(indent: number, keyAt: Origin | undefined): Node {
    if (++this.#depth > DEPTH) giveUp();
    const made = this.isDash() ? this.#blockSeq(indent, keyAt) : this.#blockMap(indent, keyAt);
    this.#depth -= 1;
    return made;
  }

  #blockSeq(indent: number, keyAt: Origin | undefined): Node {
    const start = this.at;
    const items: Node[] = [];
    while (this.column === indent && this.isDash()) {
      const dash = this.at;
      this.at += 1;
      this.spaces();
      if (this.lineIsOver()) {
        this.endLine();
        if (this.column <= indent) giveUp();
        items.push(this.#block(this.column, undefined));
        continue;
      }
      const column = indent + this.at - dash;
      if (this.isDash() || this.isKey()) {
        this.column = column;
        items.push(this.#block(column, undefined));
      } else {
        items.push(this.#value(indent, undefined));
        if (this.column > indent) giveUp();
      }
    }
    if (this.column > indent) giveUp();
    return seqOf(items, this.#origin(start, this.#end), keyAt);
  }

  #blockMap(indent: number, keyAt: Origin | undefined): MapNode {
    const map = mapOf([], this.#origin(this.at, this.at), keyAt);
    let merged: Node | undefined;
    do {
      const keyStart = this.at;
      const quoted = this.isQuote();
      const key = this.key();
      const at = this.#origin(keyStart, this.at);
      this.spaces();
      if (this.text.charCodeAt(this.at) !== COLON || this.at - keyStart > KEY) giveUp();
      this.at += 1;
      const merging = key === "<<" && !quoted;
      if (merging ? merged !== undefined : map.entries.has(key)) giveUp();
      const value = this.#mapValue(indent, merging ? undefined : at);
      if (merging) merged = value;
      else map.entries.set(key, value);
      if (this.column > indent) giveUp();
    } while (this.column === indent);
    (map.at as { end: number }).end = this.#end;
    if (merged !== undefined && !mergeKey(map, merged)) giveUp();
    return map;
  }

  /** What follows the colon of a block mapping's key. */
  #mapValue(indent: number, keyAt: Origin | undefined): Node {
    const c = this.text.charCodeAt(this.at);
    if (c !== SPACE && c !== NEWLINE && this.at < this.text.length) giveUp();
    this.spaces();
    if (!this.lineIsOver()) return this.#value(indent, keyAt);
    const empty = this.at;
    this.endLine();
    if (this.column > indent || (this.column === indent && this.isDash())) return this.#block(this.column, keyAt);
    this.#end = empty;
    return scalar(null, this.#origin(empty, empty), keyAt);
  }

  /** A value that begins in this line, below a collection with this indentation; goes to the line after it. */
  #value(indent: number, keyAt: Origin | undefined): Node {
    const c = this.text[this.at];
    if (c === "&") return this.#anchored(indent, keyAt);
    let made: Node;
    if (c === "*") made = this.#alias(keyAt);
    else if (c === "[" || c === "{") made = this.#flow(indent, keyAt);
    else if (c === "|" || c === ">") return this.#blockText(indent, keyAt);
    else made = this.#scalar(keyAt, false);
    this.#end = c === "*" ? this.at : made.at.end;
    this.endLine();
    return made;
  }

  #anchored(indent: number, keyAt: Origin | undefined): Node {
    const name = this.anchorName();
    // The same name inside of what it names: later in the file, and read earlier.
    if (this.#anchors.has(name) && this.#anchors.get(name) === undefined) giveUp();
    this.#anchors.set(name, undefined);
    let made: Node;
    if (this.lineIsOver()) {
      this.endLine();
      if (this.column <= indent) giveUp();
      made = this.#block(this.column, keyAt);
    } else {
      const c = this.text[this.at];
      // In a list the anchor of `- &a key: value` is the key's.
      if (c === "&" || c === "*" || this.isDash() || this.isKey()) giveUp();
      made = this.#value(indent, keyAt);
    }
    this.#anchors.set(name, made);
    return made;
  }

  #alias(keyAt: Origin | undefined): Node {
    const start = this.at;
    const name = this.anchorName();
    const end = start + 1 + name.length;
    this.at = end;
    const target = this.#anchors.get(name);
    if (target === undefined) giveUp();
    this.#aliased += countNodes(target);
    if (this.#aliased > ALIASED) giveUp();
    const made = cloneNode(target);
    made.keyAt = keyAt;
    made.via = [...(made.via ?? []), { at: this.#origin(start, end), note: `through the alias *${name}` }];
    return made;
  }

  #scalar(keyAt: Origin | undefined, flow: boolean): ScalarNode {
    const start = this.at;
    if (this.isQuote()) {
      const value = this.quoted();
      return scalar(value, this.#origin(start, this.at), keyAt);
    }
    const first = this.text.charCodeAt(start);
    if (INDICATORS.has(first) || this.isDash()) giveUp();
    if (first === DASH && flow) giveUp();
    const end = this.plainEnd(flow);
    if (this.text.charCodeAt(end) === COLON) giveUp();
    const source = this.text.slice(start, end).trimEnd();
    this.at = start + source.length;
    const { value, text } = resolvePlain(source);
    const made = scalar(value, this.#origin(start, this.at), keyAt);
    if (text !== undefined) made.text = text;
    return made;
  }

  /** `[…]` and `{…}`; their further lines are indented more than the block that they stand in. */
  #flow(indent: number, keyAt: Origin | undefined): Node {
    if (++this.#depth > DEPTH) giveUp();
    const start = this.at;
    const isMap = this.text[start] === "{";
    this.at += 1;
    const items: Node[] = [];
    const map = isMap ? mapOf([], this.#origin(start, start), keyAt) : undefined;
    const close = isMap ? "}" : "]";
    for (;;) {
      this.flowSpace(indent);
      if (this.text[this.at] === close) break;
      if (map === undefined) items.push(this.#flowItem(indent, undefined));
      else this.#flowPair(indent, map);
      this.flowSpace(indent);
      if (this.text[this.at] === ",") this.at += 1;
      else if (this.text[this.at] !== close) giveUp();
    }
    this.at += 1;
    this.#depth -= 1;
    const at = this.#origin(start, this.at);
    if (map === undefined) return seqOf(items, at, keyAt);
    map.at = at;
    return map;
  }

  #flowItem(indent: number, keyAt: Origin | undefined): Node {
    const c = this.text[this.at];
    if (c === "&") giveUp();
    if (c === "*") return this.#alias(keyAt);
    if (c === "[" || c === "{") return this.#flow(indent, keyAt);
    const made = this.#scalar(keyAt, true);
    if (this.text.charCodeAt(this.at) === COLON) giveUp();
    return made;
  }

  #flowPair(indent: number, into: MapNode): void {
    const start = this.at;
    const quoted = this.isQuote();
    let key: string;
    if (quoted) key = this.quoted();
    else {
      const first = this.text.charCodeAt(start);
      if (INDICATORS.has(first) || first === DASH) giveUp();
      const end = this.plainEnd(true);
      key = this.text.slice(start, end).trimEnd();
      this.at = start + key.length;
      if (typeof resolvePlain(key).value !== "string") giveUp();
    }
    const at = this.#origin(start, this.at);
    if (key === "<<" || into.entries.has(key) || this.at - start > KEY) giveUp();
    this.spaces();
    // A key alone, an empty value, `"a":1`: rare.
    if (this.text.charCodeAt(this.at) !== COLON || this.text.charCodeAt(this.at + 1) !== SPACE) giveUp();
    this.at += 1;
    this.flowSpace(indent);
    const c = this.text[this.at];
    if (c === "," || c === "}") giveUp();
    into.entries.set(key, this.#flowItem(indent, at));
  }

  /** `|`, `|-`, `>` and `>-`, whose indentation the first line gives. */
  #blockText(indent: number, keyAt: Origin | undefined): ScalarNode {
    const text = this.text;
    const start = this.at;
    const header = /[|>]-?\n/y;
    header.lastIndex = start;
    const [style] = header.exec(text) ?? giveUp();
    let at = start + style.length;
    const lines: string[] = [];
    let width: number | undefined;
    let end = at;
    while (at < text.length) {
      const newline = text.indexOf("\n", at);
      if (newline === -1) giveUp();
      let content = at;
      while (text.charCodeAt(content) === SPACE) content += 1;
      // Lines of spaces alone, and a first line of the text that is indented further.
      if (content === newline) {
        if (content > at || width === undefined) giveUp();
        lines.push("");
      } else {
        width ??= content - at;
        if (width <= indent) giveUp();
        if (content - at < width) break;
        lines.push(text.slice(at + width, newline));
        end = newline + 1;
      }
      at = newline + 1;
    }
    while (lines.at(-1) === "") lines.pop();
    if (lines.length === 0) giveUp();
    const body = style.startsWith("|") ? lines.join("\n") : folded(lines);
    this.at = at;
    this.#end = end;
    this.nextLine();
    return scalar(style.endsWith("-\n") ? body : `${body}\n`, this.#origin(start, end), keyAt);
  }
}

/** Line breaks become spaces, and empty lines become line breaks. */
function folded(lines: readonly string[]): string {
  let text = "";
  let empty = 0;
  for (const [i, line] of lines.entries()) {
    if (line === "") empty += 1;
    else {
      // Lines that are indented further keep their breaks.
      if (line.startsWith(" ")) giveUp();
      text += i === 0 ? line : empty === 0 ? ` ${line}` : "\n".repeat(empty) + line;
      empty = 0;
    }
  }
  return text;
}
