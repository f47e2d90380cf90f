import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import { expect, it } from "vitest";
import { readCorpus } from "../../test/fuzz/corpus.ts";
import { diagnosticsSarif } from "./diagnostics-sarif.ts";
import type { Diagnostic } from "./diagnostics.ts";
import { LINT_RULES, lintFiles, MODEL_WARNINGS } from "./lint/index.ts";
import { memoryReader } from "./memory-reader.ts";

const fixtures = fileURLToPath(new URL("../../test/fixtures", import.meta.url));
const ajv = new Ajv({ allErrors: true, strictTypes: false });
const validate = ajv.compile(JSON.parse(readFileSync(join(fixtures, "sarif/sarif-2.1.0.json"), "utf8")) as object);
const rules = [...LINT_RULES, ...Object.entries(MODEL_WARNINGS).map(([id, summary]) => ({ id, summary, level: "warning" as const }))];
const logOf = (list: readonly Diagnostic[]): unknown => JSON.parse(diagnosticsSarif(list, rules, "/p/demo", "0.1.0"));

function problems(log: unknown): string {
  return validate(log) ? "" : ajv.errorsText(validate.errors);
}

it("is a log of SARIF 2.1.0 whatever lint has to say of half of the files that Docker Compose has judged", async () => {
  const wrong: string[] = [];
  const seen = new Set<string>();
  for (const { files, env, order, profiles } of readCorpus(fixtures).filter((_, i) => i % 2 === 0)) {
    const reader = memoryReader(Object.fromEntries(Object.entries(files).map(([name, text]) => [`/p/demo/${name}`, text])));
    const { diagnostics } = await lintFiles({ files: order.map((f) => (f === "-" ? "none" : f)), profiles, env, cwd: "/p/demo", reader }, { levels: new Map() });
    for (const d of diagnostics) seen.add(d.rule);
    const problem = problems(logOf(diagnostics));
    if (problem !== "") wrong.push(`${problem}\n${JSON.stringify(files)}`);
  }
  expect(wrong).toEqual([]);
  expect(seen.size).toBeGreaterThan(40);
});

const place = { file: "/p/demo/a", line: 1, column: 1, length: 1, text: "" };
const nothing: Diagnostic = { severity: "error", rule: "r", message: "m", related: [] };

it.each<readonly [string, Diagnostic]>([
  ["a line before the first", { ...nothing, place: { ...place, line: 0 } }],
  ["a column that is none", { ...nothing, place: { ...place, column: 1.5 } }],
  ["a result that says nothing", { ...nothing, message: "" }],
  ["a level that is none", { ...nothing, severity: "fatal" as "error" }],
  ["a note that says nothing", { ...nothing, place, related: [{ ...place, note: "" }] }],
])("refuses %s, so that this test can fail", (_, diagnostic) => {
  expect(problems(logOf([nothing]))).toBe("");
  expect(problems(logOf([diagnostic]))).not.toBe("");
});
