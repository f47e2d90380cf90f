import type { Diagnostic } from "../diagnostics.ts";
import { inspect } from "../load.ts";
import type { Inspection } from "../load.ts";
import { parseSource } from "../parse.ts";
import { Report } from "../report.ts";
import type { LoadRequest } from "../request.ts";
import { didYouMean } from "../suggest.ts";
import { childMap } from "../tree.ts";
import type { Node } from "../tree.ts";
import type { Level, LintInput, LintRule } from "./rule.ts";
import { isSuppressed, suppressionsOf } from "./suppress.ts";
import type { Suppression } from "./suppress.ts";
import { LINT_RULES, MODEL_WARNINGS } from "./table.ts";

export interface LintOptions {
  /** Rule → level, instead of its own. */
  readonly levels: ReadonlyMap<string, Level>;
}

export interface LintResult {
  /** Sorted by place; what the loader found is among them. */
  readonly diagnostics: readonly Diagnostic[];
  /** False: the files make no project, and only the rules about their text ran. */
  readonly loads: boolean;
  readonly files: readonly string[];
}

/** Everything that is wrong with the stack files, and what runs but will hurt. Reads files and touches nothing else. */
export async function lintFiles(request: LoadRequest, options: LintOptions): Promise<LintResult> {
  const inspection = await inspect({ ...request, support: true });
  const { session } = inspection;
  const sources = session.sources;
  const suppressions = sources.flatMap(suppressionsOf);
  for (const s of suppressions) checkIds(s, session.report);
  const input = await inputOf(inspection);
  for (const rule of LINT_RULES) {
    const level = options.levels.get(rule.id) ?? rule.level;
    // Without a sound document only what is about the text can be said.
    if (level === "off" || (!inspection.result.ok && !TEXT_RULES.has(rule.id))) continue;
    await runRule(rule, level, options.levels.has(rule.id), input, inspection);
  }
  const found = session.report.sorted(session.files);
  return {
    diagnostics: found.flatMap((d) => {
      if (d.severity === "error" && !RULES.has(d.rule)) return [d];
      const level = RULES.has(d.rule) ? d.severity : (options.levels.get(d.rule) ?? d.severity);
      return level === "off" || isSuppressed(d, suppressions) ? [] : [{ ...d, severity: level }];
    }),
    loads: inspection.result.ok,
    files: session.files,
  };
}

/** Ids that `--rule` and comments may name. */
export function isRule(id: string): boolean {
  return RULES.has(id) || Object.hasOwn(MODEL_WARNINGS, id);
}

export function ruleHint(id: string): string {
  return didYouMean(id, [...RULES, ...Object.keys(MODEL_WARNINGS)]) ?? "`stack lint --rules` lists them.";
}

const RULES: ReadonlySet<string> = new Set(LINT_RULES.map((r) => r.id));
const TEXT_RULES: ReadonlySet<string> = new Set(["sexagesimal", "yaml-1.1-word", "lossy-number", "decimal-mode", "crlf", "quotes-in-list"]);

function checkIds({ ids, at }: Suppression, report: Report): void {
  for (const id of ids)
    if (!isRule(id)) report.warn(at, { rule: "unknown-rule", message: `There is no rule \`${id}\` that could be switched off`, hint: ruleHint(id) });
}

async function runRule(rule: LintRule, level: Exclude<Level, "off">, asked: boolean, input: LintInput, { session, vias }: Inspection): Promise<void> {
  await rule.check(input, (node, finding) => {
    const remark = {
      rule: rule.id,
      message: finding.message,
      hint: finding.hint,
      atKey: finding.atKey ?? false,
      via: [...(vias?.get(node) ?? []), ...(finding.also ?? []).map(({ at, note }) => ({ at: at.keyAt ?? at.at, note }))],
    };
    // What the user asked for counts for all cases of the rule.
    if (level === "error" && (finding.level === undefined || asked)) session.report.error(node, remark);
    else session.report.warn(node, remark);
  });
}

async function inputOf({ session, root, active, directory }: Inspection): Promise<LintInput> {
  const made = root ?? EMPTY;
  const sources = session.sources;
  return {
    root: made,
    services: [...(childMap(made, "services")?.entries ?? [])].flatMap(([name, node]) => (node.kind === "map" ? [{ name, node, active: active.has(name) }] : [])),
    documents: (await Promise.all(sources.map((source) => parseSource(source, new Report())))).flatMap((documents) => documents.map((d): Node => d.root)),
    sources,
    directory,
    reader: session.reader,
  };
}

const EMPTY = { kind: "map", entries: new Map<string, Node>(), at: { source: { file: "", text: "", dialect: "compose" }, start: 0, end: 0 } } as const;
