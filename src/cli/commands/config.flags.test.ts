import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { loadProject } from "../../model/index.ts";
import { reportError } from "../errors.ts";
import { fakeContext } from "../fake-context.ts";
import { command } from "./config.ts";

/** What real Docker Compose says with each flag; made by test/fixtures/compose/generate.mjs. */
const fixtures = new URL("../../../test/fixtures/compose/commands/", import.meta.url);
const { files, runs } = parse(readFileSync(new URL("config.yaml", fixtures), "utf8")) as {
  readonly files: Readonly<Record<string, string>>;
  readonly runs: readonly { readonly flags: readonly string[]; readonly unordered?: boolean; readonly differs?: string }[];
};
const goldens = (JSON.parse(readFileSync(new URL("golden.json", fixtures), "utf8")) as {
  readonly runs: readonly { readonly flags: readonly string[]; readonly status: number; readonly stdout: string; readonly written?: string }[];
}).runs;

let scratch = "";
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "stack-config-flags-"));
});
afterAll(() => rmSync(scratch, { recursive: true }));

async function config(base: string, flags: readonly string[]): Promise<{ readonly status: number; readonly out: string; readonly err: string; readonly written: string | undefined }> {
  const directory = join(base, "demo");
  mkdirSync(directory, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const context = fakeContext({ env: {} });
  const own = { ...context, cwd: directory, env: { HOME: "/root" }, doors: { ...context.doors, loadProject } };
  // A flag that cannot be read is the command line's own error.
  const status = await (async () => command.invoke(own, flags))().catch((error: unknown) => reportError(error, context.err, own));
  const written = ["out.yaml", "out.json"].map((name) => join(directory, name)).find((path) => existsSync(path));
  return { status, out: context.out.text, err: context.err.text, written: written === undefined ? undefined : readFileSync(written, "utf8") };
}

const lines = (text: string): readonly string[] => text.split("\n").sort();

describe("config, as Docker Compose", () => {
  for (const [i, { flags, unordered, differs }] of runs.entries())
    it(`${flags.join(" ")}${differs === undefined ? "" : ` (differs: ${differs})`}`, async () => {
      const golden = goldens[i];
      expect(golden?.flags, "no golden: run generate.mjs").toEqual(flags);
      const base = mkdtempSync(join(scratch, "run-"));
      const here = (text: string | undefined): string | undefined => text?.replaceAll("/tmp/stack-golden", base);
      const { status, out, err, written } = await config(base, flags);
      expect(status === 0, err).toBe(golden?.status === 0);
      if (differs !== undefined) expect(out).not.toBe(here(golden?.stdout));
      else if (unordered === true) expect(lines(out)).toEqual(lines(here(golden?.stdout) ?? ""));
      else expect(out.trimEnd()).toBe(here(golden?.stdout)?.trimEnd());
      expect(written?.trimEnd()).toBe(here(golden?.written)?.trimEnd());
    });

  it("prints a hash for each service, and its environment sorted", async () => {
    const base = mkdtempSync(join(scratch, "run-"));
    expect((await config(base, ["--hash", "*"])).out).toMatch(/^api [0-9a-f]{64}\ndb [0-9a-f]{64}\ninc [0-9a-f]{64}\nweb [0-9a-f]{64}\n$/);
    expect((await config(base, ["--environment"])).out).toMatch(/^A=dotenv\nCOMPOSE_PROJECT_NAME=shop\nHOME=\/root\nPG=17\nPWD=.*\n$/);
  });
});
