import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { buildSync } from "esbuild";
import { expect, it } from "vitest";
import { replaceFile, sweepHalfWritten } from "./atomic-file.ts";

it("what a writer that was killed before its rename has left is swept, and nothing else", () => {
  const directory = mkdtempSync(join(tmpdir(), "stack-atomic-"));
  try {
    const program = `import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";
      fs.renameSync = () => process.kill(process.pid, "SIGKILL"); syncBuiltinESMExports();
      const { replaceFile } = await import(process.argv[1]); replaceFile(process.argv[2], "half");`;
    const bundle = join(directory, "bundle.mjs");
    buildSync({ entryPoints: [join(import.meta.dirname, "atomic-file.ts")], bundle: true, format: "esm", platform: "node", outfile: bundle });
    replaceFile(join(directory, "record.json"), "whole");
    writeFileSync(join(directory, ".lock"), "");
    expect(() => execFileSync(process.execPath, ["--input-type=module", "-e", program, bundle, join(directory, "record.json")], { stdio: "ignore" })).toThrow();
    expect(readdirSync(directory)).toHaveLength(4);
    sweepHalfWritten(directory);
    expect(readdirSync(directory).sort()).toEqual([".lock", "bundle.mjs", "record.json"]);
    sweepHalfWritten(join(directory, "nowhere"));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
