import type { Example } from "./rule.ts";
import { LINT_RULES, MODEL_WARNINGS } from "./table.ts";

/** For a terminal: one line for each rule. */
export function ruleTable(): string {
  const rows = [...LINT_RULES.map((r) => [r.id, r.level, r.summary] as const), ...Object.entries(MODEL_WARNINGS).map(([id, summary]) => [id, "warning", summary] as const)];
  const width = Math.max(...rows.map(([id]) => id.length));
  return `${rows.map(([id, level, summary]) => `${id.padEnd(width)}  ${level.padEnd(7)}  ${summary}`).join("\n")}\n`;
}

/** The reference as Markdown (`src/model/lint/README.md`, which a test keeps equal to this). */
export function ruleReference(): string {
  return [
    "# What `stack lint` looks for",
    "",
    "Made from the tables of this directory by `stack lint --rules --format markdown`; do not edit. A rule is switched",
    "with `--rule ID=off|warning|error` or `--disable ID`, in a file with `# stack-lint-disable-next-line ID`,",
    "`# stack-lint-disable-line ID` or, for all of the file, `# stack-lint-disable ID`.",
    "",
    "| rule | level | finds |",
    "| --- | --- | --- |",
    ...LINT_RULES.map((r) => `| [\`${r.id}\`](#${anchor(r.id)}) | ${r.level} | ${cell(r.summary)} |`),
    "",
    "What the loader itself warns of, on every command, can be switched in the same way:",
    "",
    "| id | finds |",
    "| --- | --- |",
    ...Object.entries(MODEL_WARNINGS).map(([id, summary]) => `| \`${id}\` | ${cell(summary)} |`),
    "",
    ...LINT_RULES.flatMap((r) => [`## ${r.id}`, "", `${sentence(r.summary)} ${r.why}`, "", ...fence(r.bad), "", "Better:", "", ...fence(r.good), ""]),
  ].join("\n");
}

function anchor(id: string): string {
  return id.replace(/[^a-z0-9-]/g, "");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function fence(example: Example): readonly string[] {
  const files = typeof example === "string" ? [["", example] as const] : Object.entries(example);
  return files.flatMap(([name, text]) => [...(name === "" ? [] : [`\`${name}\`:`, ""]), "```yaml", text.trimEnd().replaceAll("\r", ""), "```"]);
}
