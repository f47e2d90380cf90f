import type { FileReader } from "../reader.ts";
import type { Source } from "../source.ts";
import type { MapNode, Node } from "../tree.ts";

/** How much a finding matters. `off`: the rule is there for those who ask for it. */
export type Level = "off" | "warning" | "error";

export interface Finding {
  /** Names the thing and says what will happen. */
  readonly message: string;
  readonly hint?: string;
  /** Mark the key and not the value. */
  readonly atKey?: boolean;
  /** Less than the rule's own level, where one case of it is less certain. */
  readonly level?: "warning";
  /** Other places that belong to it. */
  readonly also?: readonly { readonly at: Node; readonly note: string }[];
}

export type Tell = (node: Node, finding: Finding) => void;

/** Example files by name, as a rule's documentation shows them and its test loads them. */
export type Example = string | Readonly<Record<string, string>>;

/** One rule: everything that the command, the reference and the tests know about it. */
export interface LintRule {
  /** Kebab-case, unique among the ids of the model's own diagnostics too. */
  readonly id: string;
  readonly level: Level;
  /** What it finds, as one clause. */
  readonly summary: string;
  /** What happens to whoever ignores it. */
  readonly why: string;
  /** Files in which it finds something. */
  readonly bad: Example;
  /** The same put right: nothing is found. */
  readonly good: Example;
  readonly check: (input: LintInput, tell: Tell) => void | Promise<void>;
}

export interface LintService {
  readonly name: string;
  readonly node: MapNode;
  /** False: its profiles are not active. */
  readonly active: boolean;
}

/** What the rules see. Nothing in it is changed by them. */
export interface LintInput {
  /** The merged document in canonical form; variables filled in, paths absolute, `env_file` not read. */
  readonly root: MapNode;
  readonly services: readonly LintService[];
  /** Every document of every file as it is written: nothing filled in, nothing merged. */
  readonly documents: readonly Node[];
  readonly sources: readonly Source[];
  /** What relative paths are relative to. */
  readonly directory: string;
  readonly reader: FileReader;
}

/** The value as it stands in the file, quotes and variables included. */
export function written(node: Node): string {
  return node.at.source.text.slice(node.at.start, node.at.end);
}

/** Whether a plain scalar, not a quoted or block one, stands there. */
export function isPlain(node: Node): boolean {
  const first = written(node).charAt(0);
  return node.kind === "scalar" && !["", '"', "'", "|", ">", "&", "!", "*"].includes(first);
}
