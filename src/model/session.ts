import { interpolate } from "./interpolate.ts";
import { applyResets, merge } from "./merge.ts";
import { liftOwnKeys } from "./own-keys.ts";
import { parseSource } from "./parse.ts";
import type { ParsedDocument } from "./parse.ts";
import type { FileReader } from "./reader.ts";
import { Report } from "./report.ts";
import type { LoadRequest } from "./request.ts";
import { makeSource } from "./source.ts";
import type { Source } from "./source.ts";
import { variablesOf } from "./template.ts";
import type { VariableUse } from "./template.ts";
import type { Node, Path } from "./tree.ts";
import { validate } from "./validate.ts";

const INCLUDES = 2000;
const INCLUDE_DEPTH = 100;
const FILLED = 16_000_000;

/** What one load has in hand: files read so far, what was found wrong, and how strict it is. */
export class Session {
  readonly report = new Report();
  readonly reader: FileReader;
  readonly request: LoadRequest;
  readonly unset = new Set<string>();
  readonly variables = new Map<string, VariableUse>();
  /** Services and sections of which something was wrong and was dropped: not to be blamed for what they lack now. */
  readonly broken = new Set<string>();
  /** A limit was met that only an attack meets: nothing more is worth reading. */
  exhausted = false;
  /** How many more values `extends` may copy: a large base times many services would fill the memory. */
  #copies = 300_000;
  /** How many more times a file may be included: two files that include two each, and so on, never end. */
  #includes = INCLUDES;
  /** Characters that variables may still put into values. */
  #filled = FILLED;
  /** Characters that may still be read from stack files. */
  #characters = 12_000_000;
  readonly #sources = new Map<string, Source | undefined>();
  readonly #parsed = new Map<Source, readonly ParsedDocument[]>();
  #stdin: string | undefined;

  constructor(request: LoadRequest, reader: FileReader) {
    this.request = request;
    this.reader = reader;
  }

  /** Variables are not filled in: values may not be what they seem. */
  get lenient(): boolean {
    return this.request.skip?.interpolation === true;
  }

  /** In the order in which they were read. */
  get files(): readonly string[] {
    return [...this.#sources.keys()];
  }

  /** What could be read, in that order. */
  get sources(): readonly Source[] {
    return [...this.#sources.values()].filter((s) => s !== undefined);
  }

  /** Reads a file once. `because`: who asked, at `at`; absent: the command line. */
  async open(path: string, at?: Node, because?: string): Promise<Source | undefined> {
    if (this.#sources.has(path)) return this.#sources.get(path);
    const source = await this.#read(path, at, because);
    this.#sources.set(path, source);
    return source;
  }

  async #read(path: string, at: Node | undefined, because: string | undefined): Promise<Source | undefined> {
    if (path === "-") {
      this.#stdin ??= (await this.request.stdin?.()) ?? "";
      return makeSource("-", this.#stdin);
    }
    const result = await this.reader.read(path);
    if (result.kind === "text") {
      this.#characters -= result.text.length;
      if (this.#characters >= 0) return makeSource(path, result.text);
      this.report.error(at, { rule: "file-too-large", message: `With ${path} the stack files have more than 12000000 characters` });
      return undefined;
    }
    const who = because === undefined ? "" : `, ${because}`;
    this.report.error(at, {
      rule: "unreadable-file",
      message: result.kind === "missing" ? `There is no file ${path}${who}` : `Cannot read ${path}${who}: ${result.reason}`,
      hint:
        result.kind !== "missing" ? undefined : because === undefined ? "`-f` is relative to the directory in which the command runs." : "The path is relative to the directory of the file that names it.",
    });
    return undefined;
  }

  /** What a file says, before anything is done with it. */
  async parsed(source: Source): Promise<readonly ParsedDocument[]> {
    const known = this.#parsed.get(source) ?? (await parseSource(source, this.report));
    this.#parsed.set(source, known);
    return known;
  }

  /** Every document of a file: own keys in their place, variables filled in. */
  async documents(
    source: Source,
    environment: ReadonlyMap<string, string>,
  ): Promise<readonly { readonly node: Node; readonly resets: readonly Path[] }[]> {
    const parsed = await this.parsed(source);
    // What follows changes the trees.
    this.#parsed.delete(source);
    return parsed.map(({ root, resets }) => {
      liftOwnKeys(root, this.report);
      this.#collectVariables(root);
      if (!this.lenient) interpolate(root, { environment, unset: this.unset, mayFill: this.mayFill }, this.report);
      return { node: root, resets };
    });
  }

  /** The documents of a file as one, neither checked nor canonical (`extends`). */
  async readAll(source: Source, environment: ReadonlyMap<string, string>): Promise<{ readonly node: Node; readonly resets: readonly Path[] } | undefined> {
    let all: Node | undefined;
    const resets: Path[] = [];
    for (const document of await this.documents(source, environment)) {
      resets.push(...document.resets);
      if (all === undefined) all = document.node;
      else {
        applyResets(all, document.resets);
        all = merge(all, document.node, this.report);
      }
    }
    return all === undefined ? undefined : { node: all, resets };
  }

  /** Whether a copy of so many values may be made; the first refusal is an error. */
  mayCopy(values: number, at: Node): boolean {
    if (this.#copies < 0) return false;
    this.#copies -= values;
    if (this.#copies >= 0) return true;
    this.exhausted = true;
    this.report.error(at, { rule: "extends-too-large", message: "`extends` copies more than 300000 values" });
    return false;
  }

  /** Whether one more file may be included, so deep below the first; the first refusal is an error. */
  mayInclude(depth: number, at: Node): boolean {
    if (this.#includes < 0) return false;
    this.#includes -= 1;
    if (this.#includes >= 0 && depth <= INCLUDE_DEPTH) return true;
    this.#includes = -1;
    this.exhausted = true;
    this.report.error(at, {
      rule: "include-too-large",
      message: depth > INCLUDE_DEPTH ? `\`include\` goes more than ${INCLUDE_DEPTH} levels deep` : `\`include\` brings in more than ${INCLUDES} files`,
    });
    return false;
  }

  /** Whether variables may make values so much longer; the first refusal is an error. */
  readonly mayFill = (characters: number, at: Node): boolean => {
    if (this.#filled < 0) return false;
    this.#filled -= characters;
    if (this.#filled >= 0) return true;
    this.exhausted = true;
    this.report.error(at, { rule: "interpolation", message: `Variables fill in more than ${FILLED} characters` });
    return false;
  };

  /** Against the schema. What is wrong is reported and taken out of the tree, so that later phases can go on. */
  async validate(root: Node): Promise<boolean> {
    return validate(root, this.report, this.broken);
  }

  #collectVariables(node: Node): void {
    if (node.kind === "scalar") {
      if (typeof node.value === "string")
        for (const use of variablesOf(node.value)) {
          const known = this.variables.get(use.name);
          if (known === undefined || (!known.required && use.required)) this.variables.set(use.name, use);
        }
    } else for (const item of node.kind === "seq" ? node.items : node.entries.values()) this.#collectVariables(item);
  }
}
