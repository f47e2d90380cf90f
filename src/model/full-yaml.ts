import { Composer, isAlias, isMap, isPair, isScalar, isSeq, Lexer, Parser, YAMLMap } from "yaml";
import type { Alias, Document, Node as YamlNode, Pair, ParsedNode, Scalar as YamlScalar, YAMLSeq } from "yaml";
import { LIMITS } from "./parse.ts";
import type { ParsedDocument } from "./parse.ts";
import type { Report } from "./report.ts";
import { resolvePlain } from "./scalar.ts";
import type { Origin, Source } from "./source.ts";
import { mergeKey } from "./yaml-merge.ts";
import { readTagged } from "./yaml-tags.ts";
import { mapOf, scalar, seqOf } from "./tree.ts";
import type { MapNode, Node, Path, ScalarNode, Via } from "./tree.ts";

/** The parser that knows all of YAML, and says what is wrong. */
export function parseFully(source: Source, report: Report): ParsedDocument[] {
  const unclosed: number[] = [];
  const documents = compose(source, report, unclosed);
  if (documents === undefined) return [];
  const result: ParsedDocument[] = [];
  for (const document of documents) {
    const builder = new Builder(source, report);
    if (!builder.reportErrors(document, unclosed)) continue;
    const root = document.contents === null ? undefined : builder.build(document.contents, undefined);
    if (root !== undefined) result.push({ root, resets: builder.resets });
  }
  return result;
}

/** `unclosed`: gets the offsets of quotes that nobody closes. */
function compose(source: Source, report: Report, unclosed: number[]): Document.Parsed[] | undefined {
  const lexer = new Lexer();
  const parser = new Parser();
  const composer = new Composer({ schema: "failsafe", uniqueKeys: false, strict: true, prettyErrors: false, logLevel: "silent" });
  const documents: Document.Parsed[] = [];
  let offset = 0;
  let count = 0;
  let plain = false;
  for (const lexeme of lexer.lex(source.text)) {
    if (!plain && /^["']/.test(lexeme) && (lexeme.length === 1 || !lexeme.endsWith(lexeme.charAt(0)))) unclosed.push(offset);
    plain = lexeme === "\u001f";
    for (const token of parser.next(lexeme)) documents.push(...(composer.next(token) as Iterable<Document.Parsed>));
    // The lexer announces documents and plain text by single characters that are not in the text.
    if (lexeme !== "\u0002" && lexeme !== "\u0018" && !plain) offset += lexeme.length;
    count += 1;
    if (parser.stack.length > LIMITS.depth || count > LIMITS.lexemes || documents.length > LIMITS.documents) {
      const at = Math.min(offset, source.text.length);
      const remark =
        documents.length > LIMITS.documents
          ? { rule: "file-too-large", message: `${source.file} holds more than ${LIMITS.documents} documents` }
          : count > LIMITS.lexemes
          ? { rule: "file-too-large", message: `${source.file} holds more than about ${Math.round(LIMITS.lexemes / 4)} values` }
          : { rule: "yaml-too-deep", message: `Nested more than ${LIMITS.depth} levels deep` };
      report.error({ source, start: Math.max(0, at - 1), end: at }, remark);
      return undefined;
    }
  }
  for (const token of parser.end()) documents.push(...(composer.next(token) as Iterable<Document.Parsed>));
  documents.push(...(composer.end(false, source.text.length) as Iterable<Document.Parsed>));
  return documents;
}

class Builder {
  readonly resets: Path[] = [];
  readonly #source: Source;
  readonly #report: Report;
  readonly #anchors = new Map<string, YamlNode>();
  /** What each alias meant where it stands: the same name may mean something else further down. */
  readonly #targets = new Map<Alias, YamlNode | undefined>();
  /** Nodes that aliases are being expanded from: an alias to one of them would never end. */
  readonly #open = new Set<YamlNode>();
  /** Where the node that is being built stands. */
  readonly #path: string[] = [];
  #aliasDepth = 0;
  #aliased = 0;

  constructor(source: Source, report: Report) {
    this.#source = source;
    this.#report = report;
  }

  /** False: the document is not to be read. */
  reportErrors(document: Document.Parsed, unclosed: readonly number[]): boolean {
    for (const error of document.errors) {
      const quote = error.message.startsWith("Missing closing") ? unclosed.filter((at) => at < error.pos[0]).at(-1) : undefined;
      const [start, end] = quote === undefined ? error.pos : [quote, quote + 1];
      const said = quote === undefined ? inOurWords(error.code, error.message) : { message: "This quote is never closed", hint: "Close it at the end of the value, or remove it." };
      this.#report.error(this.#at(start, end), { rule: "yaml-syntax", ...said });
    }
    for (const warning of document.warnings) {
      if (warning.code === "TAG_RESOLVE_FAILED" && /(?:!(?:reset|override)|:2002:(?:int|float|bool|null))$/.test(warning.message)) continue;
      const [start, end] = warning.pos;
      this.#report.warn(this.#at(start, end), { rule: "yaml-tag", message: sentence(warning.message) });
    }
    return document.errors.length === 0;
  }

  build(node: ParsedNode | YamlNode, keyAt: Origin | undefined): Node | undefined {
    if (this.#aliasDepth > 0 && ++this.#aliased > LIMITS.aliased) {
      if (this.#aliased === LIMITS.aliased + 1)
        this.#report.error(this.#range(node), {
          rule: "yaml-alias-bomb",
          message: `Aliases expand to more than ${LIMITS.aliased} values`,
        });
      return undefined;
    }
    if (isAlias(node)) return this.#alias(node, keyAt);
    this.#name(node);
    const tag = node.tag;
    if (tag === "!reset") {
      this.resets.push([...this.#path]);
      return undefined;
    }
    if (tag === "!override") this.resets.push([...this.#path]);
    if (isScalar(node)) return this.#scalar(node, keyAt);
    this.#open.add(node);
    const built = isMap(node) ? this.#map(node, keyAt) : isSeq(node) ? this.#seq(node, keyAt) : undefined;
    this.#open.delete(node);
    return built;
  }

  /** Not again when an alias repeats it: names count from where they stand. */
  #name(node: YamlNode): void {
    if (!isAlias(node) && node.anchor !== undefined && this.#aliasDepth === 0) this.#anchors.set(node.anchor, node);
  }

  #targetOf(alias: Alias): YamlNode | undefined {
    if (!this.#targets.has(alias)) this.#targets.set(alias, this.#anchors.get(alias.source));
    return this.#targets.get(alias);
  }

  #at(start: number, end: number): Origin {
    return { source: this.#source, start, end: Math.max(start, end) };
  }

  #range(node: YamlNode): Origin {
    const [start, end] = node.range ?? [0, 0];
    return this.#at(start, end);
  }

  /** Of a collection: to the end of its last value, not of the comments and empty lines after it. */
  #extent(node: YAMLMap | YAMLSeq): Origin {
    const { start } = this.#range(node);
    return this.#at(start, endOf(node) ?? start);
  }

  #alias(node: Alias, keyAt: Origin | undefined): Node | undefined {
    const at = this.#range(node);
    const target = this.#targetOf(node);
    if (target === undefined) {
      this.#report.error(at, {
        rule: "yaml-alias",
        message: `No anchor &${node.source} before this alias`,
        hint: "Anchors reach only to the end of their own document of their own file.",
      });
      return undefined;
    }
    if (this.#open.has(target)) {
      this.#report.error(at, { rule: "yaml-cycle", message: `*${node.source} contains itself` });
      return undefined;
    }
    this.#aliasDepth += 1;
    const built = this.build(target, keyAt);
    this.#aliasDepth -= 1;
    if (built !== undefined) {
      const via: Via = { at, note: `through the alias *${node.source}` };
      built.via = [...(built.via ?? []), via];
    }
    return built;
  }

  #scalar(node: YamlScalar, keyAt: Origin | undefined): ScalarNode {
    const at = this.#range(node);
    const text = this.#text(node, at);
    const tag = node.tag;
    const tagged = tag === undefined ? undefined : readTagged(tag, text);
    if (tagged !== undefined) {
      if (tagged.problem !== undefined) this.#report.error(at, { rule: "yaml-tag", ...tagged.problem });
      const built = scalar(tagged.value, at, keyAt);
      if (tagged.text !== undefined) built.text = tagged.text;
      return built;
    }
    if (node.type !== "PLAIN" || tag === "!") return scalar(text, at, keyAt);
    const { value, text: digits } = resolvePlain(text);
    const built = scalar(value, at, keyAt);
    if (digits !== undefined) built.text = digits;
    return built;
  }

  #text(node: YamlScalar, at: Origin): string {
    // Without the library's own reading of tags.
    const text = node.source ?? "";
    if (node.type === "QUOTE_DOUBLE" && HALF_CHARACTER.test(text))
      this.#report.error(at, { rule: "yaml-syntax", message: "Here stands half of a character: `\\u` with D800 to DFFF", hint: "Write the character itself, or `\\U` with eight digits." });
    return text;
  }

  #seq(node: YAMLSeq, keyAt: Origin | undefined): Node {
    const items: Node[] = [];
    for (const [index, item] of node.items.entries()) {
      if (item === null) continue;
      this.#path.push(`[${index}]`);
      // `!!omap` and `!!pairs`: mappings of one key each.
      const built = isPair(item) ? this.#map(mapOfPair(item), undefined) : this.build(item as YamlNode, undefined);
      this.#path.pop();
      if (built !== undefined) items.push(built);
    }
    return seqOf(items, this.#extent(node), keyAt);
  }

  #map(node: YAMLMap, keyAt: Origin | undefined): MapNode {
    const built = mapOf([], this.#extent(node), keyAt);
    const merges: { readonly made: Node | undefined; readonly at: Origin }[] = [];
    const firsts = new Map<string, Origin>();
    for (const pair of node.items) {
      const keyNode = pair.key as YamlNode;
      const at = this.#range(keyNode);
      const key = this.#key(keyNode, at);
      if (key === undefined) continue;
      const first = firsts.get(key);
      if (first !== undefined) {
        this.#report.error(at, {
          rule: "duplicate-key",
          message: `The key \`${key}\` appears twice in the same mapping`,
          hint: "Keep one of them.",
          via: [{ at: first, note: "first written here" }],
        });
        continue;
      }
      firsts.set(key, at);
      const value = pair.value as YamlNode | null;
      if (key === "<<" && isScalar(keyNode) && keyNode.type === "PLAIN") {
        if (value !== null) merges.push({ made: this.build(value, undefined), at });
        continue;
      }
      this.#path.push(key);
      const made = value === null ? scalar(null, at, at) : this.build(value, at);
      this.#path.pop();
      if (made !== undefined) built.entries.set(key, made);
    }
    for (const merge of merges)
      if (!mergeKey(built, merge.made))
        this.#report.error(merge.at, { rule: "yaml-merge", message: "`<<` merges a mapping or a list of mappings" });
    return built;
  }

  #key(node: YamlNode | null, at: Origin): string | undefined {
    let target = node;
    if (isAlias(target)) target = this.#targetOf(target) ?? null;
    if (target !== null && isScalar(target)) {
      this.#name(target);
      const text = this.#text(target, at);
      if (target.type !== "PLAIN") return text;
      const { value } = resolvePlain(text);
      if (typeof value === "string") return text;
      // Compose refuses keys that are not strings; numbers are what people mean as text most often.
      this.#report.error(at, {
        rule: "non-string-key",
        message: `A key has to be a string, not ${value === null ? "null" : `the ${typeof value} ${text}`}`,
        hint: value === null ? "Write a name before the colon." : `Quote it: "${text}".`,
      });
      return undefined;
    }
    const template = at.source.text.startsWith("{{", at.start - 1);
    this.#report.error(at, {
      rule: "non-string-key",
      message: "A key has to be a string, not a mapping or a list",
      hint: template ? 'What begins with `{{` has to be quoted: "{{ … }}".' : "Quote what begins with [ or {.",
    });
    return undefined;
  }
}

/** One of two that make a character beyond the basic plane, without the other. */
const HALF_CHARACTER = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

function mapOfPair(pair: Pair): YAMLMap {
  const map = new YAMLMap();
  map.items.push(pair);
  const range = (pair.key as YamlNode | null)?.range;
  if (range !== null && range !== undefined) map.range = range;
  return map;
}

function endOf(node: YamlNode | null): number | undefined {
  if (node === null || isAlias(node) || isScalar(node) || (node).flow === true) return node?.range?.[1];
  const last: unknown = (node).items.at(-1);
  if (!isPair(last)) return last === undefined ? node.range?.[1] : endOf(last as YamlNode);
  return endOf((last.value ?? last.key) as YamlNode | null);
}

function sentence(message: string): string {
  const line = message.split("\n")[0] ?? message;
  return line.charAt(0).toUpperCase() + line.slice(1);
}

interface Said {
  readonly message: string;
  readonly hint?: string;
}

const QUOTE = "A value that begins with one of * & ! @ ` % { [ has to be quoted.";

/** What the parser means, for those who write stack files and not parsers. The first that fits. */
const SAID: readonly { readonly code: string; readonly has?: string; readonly message?: string; readonly hint: string }[] = [
  { code: "TAB_AS_INDENT", hint: "Indent with spaces: YAML does not allow tabs there." },
  { code: "BAD_INDENT", has: "end with a ]", message: "The list that `[` begins is not closed before this line", hint: "Add the `]`." },
  { code: "BAD_INDENT", has: "end with a }", message: "The mapping that `{` begins is not closed before this line", hint: "Add the `}`." },
  { code: "BAD_INDENT", hint: "Entries of one mapping or list begin in the same column." },
  { code: "MISSING_CHAR", has: "must end with a ]", message: "The list that `[` begins is never closed", hint: "Add the `]`." },
  { code: "MISSING_CHAR", has: "must end with a }", message: "The mapping that `{` begins is never closed", hint: "Add the `}`." },
  { code: "MISSING_CHAR", has: "Implicit map keys", message: "A name without a colon", hint: "Write `NAME:` for a key, `- NAME` for an item of a list." },
  { code: "MULTILINE_IMPLICIT_KEY", message: "A name without a colon: what follows cannot belong to it", hint: "Write `NAME:`; or quote a value that goes over several lines." },
  { code: "BLOCK_AS_IMPLICIT_KEY", message: 'A value in which ": " stands has to be quoted', hint: "Put the whole value in quotes." },
  { code: "BAD_ALIAS", hint: QUOTE },
  { code: "BAD_SCALAR_START", hint: QUOTE },
  { code: "BAD_DQ_ESCAPE", hint: "Use single quotes, in which a backslash is just that, or write it twice." },
  { code: "UNEXPECTED_TOKEN", hint: "Quote the value if it is meant as text." },
  { code: "MULTIPLE_DOCS", hint: "Documents are separated by a line `---`." },
];

function inOurWords(code: string, message: string): Said {
  const said = SAID.find((s) => s.code === code && (s.has === undefined || message.includes(s.has)));
  return { message: said?.message ?? sentence(message), ...(said === undefined ? {} : { hint: said.hint }) };
}
