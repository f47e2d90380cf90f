// What it costs to keep an application running: restarts, gates, probes, and doing nothing. Needs root, a build, the test
// images, and a C compiler.
//
//   node test/bench/keep.mjs [--quick] [--only NAME,…] [--side stack|docker]
//
// Docker is reached as in bench.mjs, and measured where it has something to compare. A figure beyond its target is marked, and
// the command then ends with 1. Figures are medians.
import { mkdtempSync, mkdirSync, rmSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { join } from "node:path";
import { dockerSide } from "./docker-side.mjs";
import { gates, idle, memoryOf, probes, restarts, subProcesses } from "./keep-measurements.mjs";
import { alone, median, only, quick } from "./run-options.mjs";
import { stackSide } from "./stack-side.mjs";
import { timed } from "./processes.mjs";
import { fileURLToPath } from "node:url";

const shown = (value, unit) => (value === undefined ? "–" : `${value >= 100 ? value.toFixed(0) : value.toFixed(unit === "" ? 0 : 1)}${unit === "" ? "" : ` ${unit}`}`);

const scratch = mkdtempSync("/var/tmp/stack-keep-");
const measurements = {
  restart: (sides) => restarts(sides, quick ? 3 : 9),
  subprocess: (sides) => subProcesses(sides, quick ? 5 : 15),
  gate: (sides) => gates(sides, quick ? 3 : 9),
  probe: (sides) => probes(sides, quick ? 30 : 200),
  idle: (sides) => idle(sides, quick ? 3000 : 10_000),
  memory: (sides) => memoryOf(sides, quick ? [10] : [10, 200]),
};

const sides = [];
let missed = false;
try {
  mkdirSync(join(scratch, "stack"));
  const helper = join(scratch, "started");
  timed(["cc", "-O2", "-static", "-o", helper, fileURLToPath(new URL("started.c", import.meta.url))]);
  if (alone !== "docker") sides.push({ ...(await stackSide(scratch)), helper });
  if (alone !== "stack" && process.env.STACK_BENCH_DOCKER !== undefined) sides.push({ ...(await dockerSide(scratch)), helper });
  const lines = ["| | stack | target | Docker |", "| --- | ---: | ---: | ---: |"];
  for (const [name, measure] of Object.entries(measurements)) {
    if (only !== undefined && !only.includes(name)) continue;
    process.stderr.write(`measuring ${name}\n`);
    for (const { name: what, unit, target, values } of await measure(sides)) {
      const [ours, theirs] = [values.stack, values.docker].map((v) => (v === undefined || v.length === 0 ? undefined : median(v)));
      const beyond = target !== undefined && ours !== undefined && ours > target;
      missed ||= beyond;
      lines.push(`| ${what} | ${shown(ours, unit)}${beyond ? " (!)" : ""} | ${target === undefined ? "–" : `≤ ${target}${unit === "" ? "" : ` ${unit}`}`} | ${shown(theirs, unit)} |`);
    }
  }
  console.log(`${lines.join("\n")}\n\nLinux ${release()}, ${cpus().length} × ${cpus()[0].model.trim()}, load ${loadavg()[0].toFixed(1)}; ${sides.map((side) => side.version()).join("; ")}.`);
} finally {
  for (const side of sides.reverse()) await side.close();
  rmSync(scratch, { recursive: true, force: true });
}
if (missed) process.exitCode = 1;
