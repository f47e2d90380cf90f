import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { typical } from "../bench/model-files.mjs";

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "stack-code-cache-"));
  typical(directory);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Bytes of compiled code: what the build's cache brought, and what there is after the command. */
function compiled(kind: string, argv: readonly string[]): { readonly rejected: boolean; readonly before: number; readonly after: number } {
  const program = `
    const { load } = require(${JSON.stringify(join(dist, "load.js"))});
    process.argv = [process.argv[0], ${JSON.stringify(join(dist, "stack.js"))}, ...${JSON.stringify(argv)}];
    const { script } = load("stack", ${JSON.stringify(kind)});
    const before = script.createCachedData().length;
    process.on("exit", () => require("node:fs").writeSync(3, JSON.stringify({ rejected: script.cachedDataRejected, before, after: script.createCachedData().length })));`;
  const { status, output, stderr } = spawnSync(process.execPath, ["-e", program], { cwd: directory, encoding: "utf8", stdio: ["ignore", "ignore", "pipe", "pipe"], env: { ...process.env, STACK_ROOT: join(directory, "root") } });
  expect(status, stderr).toBe(0);
  return JSON.parse(output[3] ?? "") as ReturnType<typeof compiled>;
}

describe("the code that the build has compiled", () => {
  it.each([
    [".files", ["config"]],
    [".files", ["config", "--format", "json"]],
    ["", ["config"]],
    ["", ["ps", "--all"]],
  ])("%j holds all but a little of what `stack %j` runs", (kind, argv) => {
    const { rejected, before, after } = compiled(kind, argv);
    expect(rejected).toBe(false);
    // Without a warm cache a command compiles some 400 kB.
    expect(after - before).toBeLessThan(40_000);
  });

  it("for commands that look at files alone is not that of all others", () => {
    expect(compiled(".files", ["version"]).before).toBeLessThan(compiled("", ["version"]).before);
  });
});
