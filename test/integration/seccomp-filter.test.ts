import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";

const native = resolve(import.meta.dirname, "../../native");
const directory = mkdtempSync(join(tmpdir(), "stack-seccomp-"));
afterAll(() => rmSync(directory, { recursive: true }));

it("a filter answers every system call as its rules say, and as libseccomp's does", { timeout: 300_000 }, () => {
  const sources = ["test/seccomp_test.cc", "runtime/seccomp_filter.cc", "runtime/syscall_names.cc"].map((source) => join(native, source));
  const program = join(directory, "seccomp_test");
  const built = spawnSync("g++", ["-std=c++20", "-O1", "-Wno-restrict", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I", join(native, "lib"), "-o", program, ...sources, "-lseccomp"], { encoding: "utf8" });
  expect(built.stderr).toBe("");
  const ran = spawnSync(program, ["1", "10"], { encoding: "utf8" });
  expect(ran.stderr).toBe("");
  expect(ran.stdout).toMatch(/^\d{6,} questions\n$/);
});
