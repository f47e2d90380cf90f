import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { canonicalText, loadModel, loadProject, modelText, renderDiagnostics } from "./index.ts";
import { ONE_WAY } from "../../test/fuzz/one-way.ts";
import { memoryReader } from "./memory-reader.ts";

/** What real Docker Compose says about our cases; made by test/fixtures/compose/generate.mjs. */
const fixtures = join(dirname(fileURLToPath(import.meta.url)), "../../test/fixtures/compose");
const BASE = "/tmp/stack-golden";

interface Case {
  readonly case: string;
  readonly compose?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly project?: string;
  /** In which form what was printed is to be read once more. */
  readonly again?: "yaml" | "json";
}

interface Golden {
  readonly status: number;
  readonly yaml?: string;
  readonly json?: string | null;
  readonly stderr: string;
  readonly again?: { readonly status: number; readonly text?: string };
}

const differences = JSON.parse(readFileSync(join(fixtures, "differences.json"), "utf8")) as Readonly<Record<string, string>>;

async function ours(test: Case): Promise<{ ok: boolean; yaml: string; json: string; diagnostics: string }> {
  const directory = join(BASE, test.project ?? "demo");
  const files: Record<string, string> = {};
  for (const [name, text] of Object.entries({ ...(test.compose === undefined ? {} : { "compose.yaml": test.compose }), ...test.files }))
    files[join(directory, name)] = text;
  const args = [...(test.args ?? [])];
  const take = (flag: string): string[] => {
    const values: string[] = [];
    for (let i = args.indexOf(flag); i !== -1; i = args.indexOf(flag)) values.push(...args.splice(i, 2).slice(1));
    return values;
  };
  const [projectName] = take("-p");
  const [projectDirectory] = take("--project-directory");
  const request = {
    files: take("-f"),
    envFiles: take("--env-file"),
    profiles: take("--profile"),
    ...(projectName === undefined ? {} : { projectName }),
    ...(projectDirectory === undefined ? {} : { projectDirectory }),
  };
  if (args.length > 0) throw new Error(`the test does not know ${args.join(" ")}`);
  const flags = new Set(test.flags);
  const complete = {
    ...request,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", ...test.env },
    cwd: join(directory, test.cwd ?? ""),
    reader: memoryReader(files),
    tolerant: true,
    skip: {
      envResolution: flags.has("--no-env-resolution"),
      consistency: flags.has("--no-consistency"),
      pathResolution: flags.has("--no-path-resolution"),
    },
  };
  if (flags.has("--no-interpolate")) {
    const result = await loadModel(complete);
    const shown = renderDiagnostics(result.diagnostics, { color: false });
    if (!result.ok) return { ok: false, yaml: "", json: "", diagnostics: shown };
    return { ok: true, yaml: modelText(result.model, "yaml"), json: modelText(result.model, "json"), diagnostics: shown };
  }
  const result = await loadProject(complete);
  const diagnostics = renderDiagnostics(result.diagnostics, { color: false });
  if (!result.ok) return { ok: false, yaml: "", json: "", diagnostics };
  const options = { keepFiles: flags.has("--no-env-resolution") };
  return {
    ok: true,
    yaml: canonicalText(result.project, "yaml", options),
    json: canonicalText(result.project, "json", options),
    diagnostics,
  };
}

for (const file of readdirSync(join(fixtures, "cases")).sort()) {
  const topic = file.replace(/\.yaml$/, "");
  const goldens = (JSON.parse(readFileSync(join(fixtures, "goldens", `${topic}.json`), "utf8")) as { cases: Record<string, Golden> }).cases;
  describe(`as Docker Compose: ${topic}`, () => {
    for (const document of parseAllDocuments(readFileSync(join(fixtures, "cases", file), "utf8"))) {
      const test = document.toJS() as Case | null;
      if (test === null) continue;
      const golden = goldens[test.case];
      const reason = differences[`${topic}/${test.case}`];
      it(test.case + (reason === undefined ? "" : ` (differs: ${reason})`), async () => {
        expect(golden, "no golden: run generate.mjs").toBeDefined();
        const result = await ours(test);
        const same = compare(golden!, result);
        if (reason !== undefined) expect(same, "no longer differs: remove it from differences.json").toBeDefined();
        else if (same !== undefined) expect(same.ours, result.diagnostics || golden!.stderr).toEqual(same.theirs);
      });
      if (test.again !== undefined) it(`${test.case}: what is printed reads no better than there`, () => readAgain(test, golden, differences[`${topic}/${test.case}/again`]));
    }
  });
}

it("has a case in which Docker Compose fails for everything that the fuzzer leaves out of the round trip", () => {
  const failing = parseAllDocuments(readFileSync(join(fixtures, "cases/one-way.yaml"), "utf8")).map((d) => d.toJS() as Case).filter((c) => c.again !== undefined);
  expect(Object.keys(ONE_WAY).filter((name) => !failing.some((c) => c.case === name))).toEqual([]);
});

/** Where Docker Compose can read its own output, so must we; its answers show that it cannot. */
async function readAgain({ again, ...test }: Case, golden: Golden | undefined, otherwise: string | undefined): Promise<void> {
  const first = await ours(test);
  const { status, text } = golden?.again ?? { status: -1 };
  if (again === undefined || status === -1) throw new Error("no golden: run generate.mjs");
  expect(status !== 0 || text !== golden?.[again], "reads back as it was: take it out of the list").toBe(true);
  const second = await ours({ case: test.case, compose: first[again] });
  if (otherwise !== undefined) {
    expect(second.ok, "no longer differs: remove it from differences.json").not.toBe(status === 0);
    return;
  }
  expect(second.ok, second.diagnostics).toBe(status === 0);
  if (status === 0) expect(second[again].trimEnd()).toBe(text?.trimEnd());
}

function compare(golden: Golden, result: Awaited<ReturnType<typeof ours>>): { ours: unknown; theirs: unknown } | undefined {
  if ((golden.status === 0) !== result.ok) return { ours: result.ok, theirs: golden.status === 0 };
  if (golden.status !== 0) return undefined;
  if (golden.yaml !== result.yaml) return { ours: result.yaml, theirs: golden.yaml };
  if (golden.json !== null && golden.json !== undefined && golden.json.trimEnd() !== result.json.trimEnd())
    return { ours: result.json, theirs: golden.json };
  return undefined;
}
