import { canonicalText, loadProject, renderDiagnostics, toCanonical } from "../../src/model/index.ts";
import type { LoadResult, Project } from "../../src/model/index.ts";
import { isDeepStrictEqual } from "node:util";
import { parseFully } from "../../src/model/full-yaml.ts";
import { readQuickly } from "../../src/model/quick-yaml.ts";
import { Report } from "../../src/model/report.ts";
import { makeSource } from "../../src/model/source.ts";
import type { Node } from "../../src/model/tree.ts";
import { memoryReader } from "../../src/model/memory-reader.ts";
import { parse } from "yaml";
import type { FuzzCase } from "./corpus.ts";
import { ONE_WAY } from "./one-way.ts";

const DIRECTORY = "/p/demo";

/** Longest that one small input may take, in milliseconds of a machine with other things to do. */
const TIME_LIMIT = 3000;

export interface Verdict {
  readonly accepted: boolean;
  /** The promise that was broken, and how; absent: none. */
  readonly broken?: string;
}

/** The quick reader reads nothing otherwise than the full parser. */
function quickDiffers(test: FuzzCase): string | undefined {
  for (const [name, text] of Object.entries(test.files)) {
    const source = makeSource(name, text);
    const quick = text.length > 100_000 || !/\.ya?ml$/.test(name) || /[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]/.test(text) ? undefined : readQuickly(source);
    if (quick === undefined) continue;
    const report = new Report();
    const [full, ...more] = parseFully(source, report);
    if (full === undefined || more.length > 0 || full.resets.length > 0 || report.sorted([]).length > 0 || !isDeepStrictEqual(plainTree(quick), plainTree(full.root)))
      return `the quick reader reads ${name} otherwise than the full parser`;
  }
  return undefined;
}

/** Without members that are undefined. */
function plainTree(root: Node): unknown {
  return JSON.parse(JSON.stringify(root, (key, value: unknown) => (key === "source" ? undefined : value instanceof Map ? [...(value as Map<string, unknown>)] : value)));
}

/** Every promise that the loader makes, tried on one input. */
export async function judge(test: FuzzCase): Promise<Verdict> {
  const begin = performance.now();
  let result: LoadResult;
  try {
    result = await load(test);
  } catch (error) {
    return { accepted: false, broken: `throws: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}` };
  }
  const broken = await brokenPromise(test, result, performance.now() - begin);
  return { accepted: result.ok, ...(broken === undefined ? {} : { broken }) };
}

function load(test: FuzzCase): Promise<LoadResult> {
  const files: Record<string, string> = {};
  for (const [name, text] of Object.entries(test.files)) files[`${DIRECTORY}/${name}`] = text;
  return loadProject({
    files: test.order,
    profiles: test.profiles,
    env: { HOME: "/root", ...test.env },
    cwd: DIRECTORY,
    reader: memoryReader(files),
  });
}

async function brokenPromise(test: FuzzCase, result: LoadResult, took: number): Promise<string | undefined> {
  const otherwise = quickDiffers(test);
  if (otherwise !== undefined) return otherwise;
  if (took > TIME_LIMIT) return `slow: ${Math.round(took)} ms`;
  const shown = renderDiagnostics(result.diagnostics, { color: false });
  if (/[\0-\x08\x0b-\x1f\x7f]/.test(shown)) return "a diagnostic carries control characters to the terminal";
  for (const d of result.diagnostics)
    if (d.place !== undefined && (d.place.line < 1 || d.place.column < 1 || d.place.length < 1)) return `a place outside its file: ${JSON.stringify(d.place)}`;
  const again = await load(test);
  if (renderDiagnostics(again.diagnostics, { color: false }) !== shown) return "two loads say different things";
  if (!result.ok) return result.diagnostics.some((d) => d.severity === "error") ? undefined : "refused without an error";
  if (!again.ok || JSON.stringify(again.project) !== JSON.stringify(result.project)) return "two loads give different projects";
  return roundTrip(result.project, test);
}

/** What `config` prints loads to the same project, and prints the same again. */
async function roundTrip(project: Project, test: FuzzCase): Promise<string | undefined> {
  for (const style of ["yaml", "json"] as const) {
    const printed = canonicalText(project, style);
    const document = JSON.stringify(toCanonical(project, style));
    const read: unknown = style === "json" ? JSON.parse(printed) : parse(printed, { uniqueKeys: true, maxAliasCount: 0 });
    if (style === "json" && JSON.stringify(read).replaceAll("$$", "$") !== document) return "json: what is printed is not what was meant";
    if (Object.values(ONE_WAY).some((applies) => applies(project, printed, style))) continue;
    const again = await load({ ...test, files: { "compose.yaml": printed }, order: [], env: { HOME: "/root", COMPOSE_PROFILES: test.env["COMPOSE_PROFILES"] ?? "" } });
    if (!again.ok)
      return `${style}: config's output is refused: ${again.diagnostics.filter((d) => d.severity === "error").map((d) => `${d.rule}: ${d.message}`).join("; ")}\n${printed}`;
    const twice = canonicalText(again.project, style);
    if (twice !== printed) return `${style}: config's output reads as something else\n${firstDifference(printed, twice)}`;
  }
  return undefined;
}

function firstDifference(a: string, b: string): string {
  const x = a.split("\n");
  const y = b.split("\n");
  const at = x.findIndex((line, i) => line !== y[i]);
  return `line ${at + 1}: ${JSON.stringify(x.slice(Math.max(0, at - 3), at + 2))} became ${JSON.stringify(y.slice(Math.max(0, at - 3), at + 2))}`;
}
