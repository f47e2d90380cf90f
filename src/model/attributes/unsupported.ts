import type { Condition, Rows, Support } from "./support.ts";

/** An attribute that is not, or not always, carried out as written. */
export interface Unsupported {
  readonly state: Exclude<Support["state"], "honoured" | "information">;
  readonly why: string;
  readonly hint?: string;
  readonly when?: Condition;
}

/** The rows of the table that can be told from the file alone, as a tree that is walked beside the document. */
export interface UnsupportedNode {
  readonly rule?: Unsupported;
  readonly keys?: Readonly<Record<string, UnsupportedNode>>;
  /** Any key of a mapping, any item of a list. */
  readonly any?: UnsupportedNode;
}

interface Building {
  rule?: Unsupported;
  keys?: Record<string, Building>;
  any?: Building;
}

/** What the build keeps of the table (`generated/unsupported.js`): the rest says something to people and to tests. */
export function unsupported(rows: Rows): UnsupportedNode {
  const root: Building = {};
  for (const [path, support] of Object.entries(rows)) {
    if (support.state === "honoured" || support.state === "information" || support.when === "at-start") continue;
    let node = root;
    for (const part of path.split(".")) {
      if (part === "*" || part === "[]") node = node.any ??= {};
      else node = (node.keys ??= {})[part] ??= {};
      // Then an attribute without a row here would be taken for one of those that the user names.
      if (node.any !== undefined && node.keys !== undefined) throw new Error(`${path}: a name beside any name`);
    }
    node.rule = { state: support.state, why: support.why, ...(support.hint === undefined ? {} : { hint: support.hint }), ...(support.when === undefined ? {} : { when: support.when }) };
  }
  return root;
}
