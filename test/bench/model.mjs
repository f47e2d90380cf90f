// How long loading takes: `stack config` beside `docker compose config`, on the same files, in turn. Needs a build; no root.
//
//   node test/bench/model.mjs [--runs N]
//
// STACK_BENCH_DOCKER      command prefix for `docker compose`, "" on this machine, or e.g. "chroot /srv/docker-root"
// STACK_BENCH_DOCKER_DIR  HOST:INSIDE, a directory that both see, if paths differ there
// Figures are medians of processor time (user and system), which a busy machine does not change much. `model`: what
// `stack config` costs more than `stack version`.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { included, many, typical } from "./model-files.mjs";
import { median } from "./run-options.mjs";

const runs = process.argv.includes("--runs") ? Number(process.argv[process.argv.indexOf("--runs") + 1]) : 7;
const program = fileURLToPath(new URL("../../dist/stack", import.meta.url));
const [host, inside] = (process.env.STACK_BENCH_DOCKER_DIR ?? `${tmpdir()}:${tmpdir()}`).split(":");
const prefix = process.env.STACK_BENCH_DOCKER?.split(" ").filter((word) => word !== "");

function cost(argv, cwd) {
  const { status, stderr } = spawnSync("bash", ["-c", 'TIMEFORMAT="%U %S"; time "$@" >/dev/null', "bench", ...argv], { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  const [user, system] = stderr.trim().split("\n").at(-1).split(" ").map(Number);
  return (user + system) * 1000;
}

const scratch = mkdtempSync(join(host, "stack-bench-model-"));
try {
  console.log("| files | stack | model | docker compose | stack / docker |\n| --- | ---: | ---: | ---: | ---: |");
  for (const [name, make] of [
    ["10 services", typical],
    ...[250, 500, 1000, 2000].map((count) => [`${count} services with extends, merge keys and an override`, (directory) => many(directory, count)]),
    ["200 included files", (directory) => included(directory, 200)],
  ]) {
    const directory = mkdtempSync(join(scratch, "files-"));
    make(directory);
    const [ours, start, theirs] = [[], [], []];
    for (let i = 0; i < runs; i++) {
      ours.push(cost([program, "config"], directory));
      start.push(cost([program, "version"], directory));
      if (prefix !== undefined) theirs.push(cost([...prefix, "sh", "-c", `cd ${directory.replace(host, inside)} && exec docker compose config`], directory));
    }
    const [a, b, c] = [ours, start, theirs].map((costs) => (costs.length === 0 ? undefined : median(costs)));
    console.log(`| ${name} | ${Math.round(a)} ms | ${Math.round(a - b)} ms | ${c === undefined ? "–" : `${Math.round(c)} ms`} | ${c === undefined ? "–" : (a / c).toFixed(2)} |`);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
