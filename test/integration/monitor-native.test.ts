import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const native = fileURLToPath(new URL("../../native", import.meta.url));
const sources = ["test/monitor_test.cc", ...["clock_text", "format_text", "frame", "log_file", "monitor_spec", "process_board", "restart_policy", "signal_masks", "supervision"].map((name) => `runtime/${name}.cc`), ...["fd", "fs", "json", "json_parser", "json_real", "result", "utf8"].map((name) => `lib/${name}.cc`)];

test("the monitor's pure parts hold what they promise, under the sanitizers", () => {
  const directory = mkdtempSync(join(tmpdir(), "stack-native-"));
  try {
    const program = join(directory, "monitor_test");
    const flags = ["-std=c++20", "-O1", "-g", "-fno-exceptions", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", `-I${native}/lib`];
    execFileSync("g++", [...flags, ...sources.map((source) => join(native, source)), "-o", program]);
    const output = execFileSync(program, { encoding: "utf8" });
    expect(output).toMatch(/^\d{4,} checks, 0 failed\n$/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 180_000);

test("the runtime binary stays below a megabyte: no streams, locales, character sets or unwinder come with it", () => {
  const binary = fileURLToPath(new URL("../../dist/native/stack-runtime", import.meta.url));
  expect(statSync(binary).size).toBeLessThanOrEqual(1024 * 1024);
  const text = readFileSync(binary, "latin1");
  for (const sign of ["gconv", "LC_MESSAGES", "terminate called", "ISO-10646"]) expect(text.includes(sign), sign).toBe(false);
});
