import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { loadProject, renderDiagnostics } from "./index.ts";
import { memoryReader } from "./memory-reader.ts";

/**
 * What people get wrong, and our whole answer to each, so that a change of any word is seen and read.
 * `npx vitest run --project unit src/model/diagnostics.test.ts -u` writes the answers anew: read them as a user would.
 */
const fixtures = join(dirname(fileURLToPath(import.meta.url)), "../../test/fixtures/diagnostics");

interface Case {
  readonly case: string;
  readonly compose?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const cases = parse(readFileSync(join(fixtures, "cases.yaml"), "utf8")) as readonly Case[];

async function answer(test: Case): Promise<string> {
  const texts = { ...(test.compose === undefined ? {} : { "compose.yaml": test.compose }), ...test.files };
  const files = Object.fromEntries(Object.entries(texts).map(([name, text]) => [`/p/${name}`, text]));
  const value = (flag: string): readonly string[] => (test.args?.[0] === flag ? test.args.slice(1) : []);
  const [projectName] = value("-p");
  const result = await loadProject({
    env: test.env ?? {},
    cwd: "/p",
    reader: memoryReader(files),
    files: value("-f"),
    profiles: value("--profile"),
    ...(projectName === undefined ? {} : { projectName }),
  });
  return `## ${test.case}\n${renderDiagnostics(result.diagnostics, { color: false, cwd: "/p" })}`;
}

describe("what we say about a mistake", () => {
  it("is, word for word, what somebody has read and found good", async () => {
    const answers: string[] = [];
    for (const test of cases) answers.push(await answer(test));
    await expect(answers.join("\n")).toMatchFileSnapshot(join(fixtures, "expected.txt"));
  });

  it("has a place, and says what to do, wherever something is written in a file", async () => {
    for (const test of cases) expect(await answer(test), test.case).toMatch(/ {2}hint: |empty|cycle|Circular|appears twice/);
  });

  it("is of a case of its own each time", () => {
    expect(new Set(cases.map((c) => c.case)).size).toBe(cases.length);
  });
});
