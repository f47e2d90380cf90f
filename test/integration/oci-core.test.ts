import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";

const native = resolve(import.meta.dirname, "../../native");
const directory = mkdtempSync(join(tmpdir(), "stack-core-"));
afterAll(() => rmSync(directory, { recursive: true }));

it("the native pieces keep their promises under the sanitizers, whatever they are fed", { timeout: 300_000 }, () => {
  const sources = ["test/oci_core_test.cc", "lib/result.cc", "lib/fd.cc", "lib/json.cc", "lib/json_parser.cc", "lib/json_real.cc", "lib/utf8.cc", "lib/fs.cc", "lib/mount.cc", "lib/cgroup.cc", "lib/cgroup_find.cc", "lib/cgroup_limits.cc", "lib/cgroup_processes.cc", "lib/cgroup_weights.cc", "lib/cgroup_altered.cc", "lib/cgroup_devices.cc", "lib/cgroup_stats.cc", "runtime/oci_config.cc", "runtime/oci_config_reader.cc", "runtime/oci_names.cc", "runtime/oci_args.cc", "runtime/container_options.cc", "runtime/container_user.cc"];
  const program = join(directory, "core");
  const built = spawnSync("g++", ["-std=c++20", "-O1", "-g", "-fno-exceptions", "-fno-rtti", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I", join(native, "lib"), "-o", program, ...sources.map((s) => join(native, s))], { encoding: "utf8" });
  expect(built.stderr).toBe("");
  const ran = spawnSync(program, { encoding: "utf8" });
  expect(ran.stderr).toBe("");
  expect(ran.stdout).toBe("ok\n");
});
