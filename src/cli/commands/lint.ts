import { StackError } from "../../core/index.ts";
import { diagnosticsGithub, diagnosticsJson, diagnosticsSarif, openLint, renderDiagnostics } from "../../model/index.ts";
import type { Diagnostic, Level } from "../../model/index.ts";
import { defineCommand } from "../command.ts";
import type { Context } from "../context.ts";
import { boolean, integer, list, text } from "../flags.ts";
import { styleFor } from "../output/style.ts";
import { loadRequest } from "../project.ts";
import { version } from "../version.ts";

type LintRoom = Awaited<ReturnType<typeof openLint>>;

const flags = {
  disable: list("Switch a rule off", { value: "id" }),
  format: text("Format the output", { choices: ["text", "json", "github", "sarif", "markdown"] }),
  maxWarnings: integer("End with status 1 when there are more warnings than this"),
  quiet: boolean("Show errors alone", { short: "q" }),
  rule: list("Set the level of a rule: ID=off, ID=warning or ID=error", { value: "id=level" }),
  rules: boolean("List the rules and end"),
  strict: boolean("End with status 1 when there is any warning"),
};

export const command = defineCommand({
  name: "lint",
  summary: "Find what is wrong with the stack files, and what runs but will hurt",
  details: `Files are found as \`stack config\` finds them; nothing is started or changed.

Ends with 0 when there are no errors, with 1 when there are (with --strict or --max-warnings: warnings count too).

In a file, a comment switches rules off:
  # stack-lint-disable-next-line image-tag -- why
  # stack-lint-disable-line image-tag
  # stack-lint-disable image-tag          (the whole file)`,
  positionals: [],
  usage: "[OPTIONS]",
  flags,
  async run(context, flags) {
    const lint = await openLint();
    if (flags.rules) {
      await context.stdout.write(listing(lint, flags.format));
      return 0;
    }
    if (flags.format === "markdown") throw new StackError("usage", "--format markdown is for --rules");
    const result = await lint.lintFiles(loadRequest(context, []), { levels: levels(lint, flags.rule, flags.disable) });
    const errors = result.diagnostics.filter((d) => d.severity === "error").length;
    const warnings = result.diagnostics.length - errors;
    const shown = flags.quiet ? result.diagnostics.filter((d) => d.severity === "error") : result.diagnostics;
    await context.stdout.write(rendered(context, lint, shown, flags.format));
    const allowed = flags.strict ? 0 : flags.maxWarnings;
    return errors > 0 || (allowed !== undefined && warnings > allowed) ? 1 : 0;
  },
});

function rendered(context: Context, lint: LintRoom, list: readonly Diagnostic[], format: string | undefined): string {
  switch (format) {
    case "json":
      return diagnosticsJson(list);
    case "github":
      return diagnosticsGithub(list, context.env["GITHUB_WORKSPACE"] ?? context.cwd);
    case "sarif": {
      const model = Object.entries(lint.MODEL_WARNINGS).map(([id, summary]) => ({ id, summary, level: "warning" as const }));
      return diagnosticsSarif(list, [...lint.LINT_RULES, ...model], context.env["GITHUB_WORKSPACE"] ?? context.cwd, version);
    }
    default:
      return textOf(context, list);
  }
}

function textOf(context: Context, list: readonly Diagnostic[]): string {
  if (list.length === 0) return "";
  const errors = list.filter((d) => d.severity === "error").length;
  const warnings = list.length - errors;
  const counts = [errors > 0 ? plural(errors, "error") : "", warnings > 0 ? plural(warnings, "warning") : ""].filter((c) => c !== "");
  return `${renderDiagnostics(list, { color: styleFor(context, context.stdout).enabled, cwd: context.cwd })}\n${counts.join(", ")}\n`;
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

function listing(lint: LintRoom, format: string | undefined): string {
  if (format === "markdown") return lint.ruleReference();
  if (format === "json")
    return `${JSON.stringify(lint.LINT_RULES.map(({ id, level, summary, why }) => ({ id, level, summary, why })), undefined, 2)}\n`;
  if (format !== undefined && format !== "text") throw new StackError("usage", `--rules has no --format ${format}`, { hint: "It has text, json and markdown." });
  return lint.ruleTable();
}

const LEVELS: readonly string[] = ["off", "warning", "error"] satisfies readonly Level[];

/** `--rule` in the order of the command line, then `--disable`. */
function levels(lint: LintRoom, settings: readonly string[], disabled: readonly string[]): ReadonlyMap<string, Level> {
  const result = new Map<string, Level>();
  const set = (id: string, level: string): void => {
    if (!lint.isRule(id)) throw new StackError("usage", `there is no rule "${id}"`, { hint: lint.ruleHint(id) });
    if (!LEVELS.includes(level)) throw new StackError("usage", `"${level}" is no level of the rule ${id}`, { hint: `Use one of ${LEVELS.join(", ")}.` });
    result.set(id, level as Level);
  };
  for (const setting of settings.flatMap((s) => s.split(","))) {
    const equals = setting.indexOf("=");
    if (equals === -1) throw new StackError("usage", `--rule ${setting}: the level is missing`, { hint: `Write --rule ${setting}=off, =warning or =error.` });
    set(setting.slice(0, equals), setting.slice(equals + 1));
  }
  for (const id of disabled.flatMap((s) => s.split(","))) set(id, "off");
  return result;
}
