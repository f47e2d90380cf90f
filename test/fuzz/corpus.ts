import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";

/** One load: what lies in the project's directory, the process environment, and what the command line says. */
export interface FuzzCase {
  readonly files: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
  /** `-f`; empty: searched. */
  readonly order: readonly string[];
  readonly profiles: readonly string[];
}

/** The cases that Docker Compose has judged, and what earlier runs found (`test/fixtures/fuzz`). */
export function readCorpus(fixtures: string): readonly FuzzCase[] {
  const corpus: FuzzCase[] = [];
  const cases = join(fixtures, "compose/cases");
  for (const file of readdirSync(cases).sort())
    for (const document of parseAllDocuments(readFileSync(join(cases, file), "utf8"))) {
      const test = document.toJS() as {
        readonly compose?: string;
        readonly files?: Readonly<Record<string, string>>;
        readonly env?: Readonly<Record<string, string>>;
        readonly args?: readonly string[];
      } | null;
      if (test === null) continue;
      const args = test.args ?? [];
      const valuesOf = (flag: string): string[] => args.flatMap((word, i) => (args[i - 1] === flag ? [word] : []));
      corpus.push({
        files: { ...(test.compose === undefined ? {} : { "compose.yaml": test.compose }), ...test.files },
        env: test.env ?? {},
        order: valuesOf("-f"),
        profiles: valuesOf("--profile"),
      });
    }
  return [...corpus, ...readKept(join(fixtures, "fuzz"))];
}

/** Inputs that once broke a promise, made small. */
export function readKept(directory: string): readonly FuzzCase[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(directory, name), "utf8")) as FuzzCase);
}
