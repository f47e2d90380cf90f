/** lint: what loads and runs, but will hurt. Rules are data; `stack lint` is their only user. */
export { isRule, lintFiles, ruleHint } from "./lint.ts";
export type { LintOptions, LintResult } from "./lint.ts";
export { ruleReference, ruleTable } from "./reference.ts";
export type { Level, LintRule } from "./rule.ts";
export { LINT_RULES, MODEL_WARNINGS } from "./table.ts";
