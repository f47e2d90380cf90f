// Speed and size, side by side with Docker Compose in one run. Needs root, a build, and the test images.
//
//   node test/bench/bench.mjs [--quick] [--only NAME,…] [--side stack|docker] [--write README.md]
//
// With Docker, two variables say how it is reached; without, only stack is measured.
//   STACK_BENCH_DOCKER      command prefix that runs programs where dockerd is: "" on the same machine, or e.g.
//                           "chroot /srv/docker-root"
//   STACK_BENCH_DOCKER_DIR  HOST:INSIDE, a directory that both see, if paths differ there
// Measurements alternate between the two, so that a busy moment hits both. Figures are medians.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { dockerSide } from "./docker-side.mjs";
import { alone, median, only, quick, writeTo } from "./run-options.mjs";
import { stackSide } from "./stack-side.mjs";
import { pull, readCommands, restartAfterKill, residentMemory, upDown } from "./measurements.mjs";

const shown = (value, unit) => (value === undefined ? "–" : unit === "MB" ? `${value.toFixed(1)} MB` : value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 20 ? 1 : 0)} ms`);

function table(rows) {
  const lines = ["| | stack | Docker Compose | stack / Docker |", "| --- | ---: | ---: | ---: |"];
  for (const { name, unit, values } of rows) {
    const [ours, theirs] = [values.stack, values.docker].map((v) => (v === undefined || v.length === 0 ? undefined : median(v)));
    const ratio = ours === undefined || theirs === undefined ? "–" : ours < theirs ? `1/${(theirs / ours).toFixed(1)}` : (ours / theirs).toFixed(2);
    lines.push(`| ${name} | ${shown(ours, unit)} | ${shown(theirs, unit)} | ${ratio} |`);
  }
  return lines.join("\n");
}

const measurements = {
  "up-down": (sides) => upDown(sides, quick ? [[1, 3], [10, 3]] : [[1, 9], [10, 7], [50, 5]]),
  read: (sides) => readCommands(sides, quick ? 5 : 15),
  pull: (sides) => pull(sides, quick ? 2 : 5),
  restart: (sides) => restartAfterKill(sides, quick ? 5 : 15),
  memory: (sides) => residentMemory(sides),
};

const scratch = mkdtempSync("/var/tmp/stack-bench-");
const sides = [];
try {
  mkdirSync(join(scratch, "stack"));
  if (alone !== "docker") sides.push(await stackSide(scratch));
  if (alone !== "stack" && process.env.STACK_BENCH_DOCKER !== undefined) sides.push(await dockerSide(scratch));
  const rows = [];
  for (const [name, measure] of Object.entries(measurements)) {
    if (only !== undefined && !only.includes(name)) continue;
    process.stderr.write(`measuring ${name}\n`);
    rows.push(...(await measure(sides)));
  }
  const about = [`Linux ${release()}, ${cpus().length} × ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GB, Node ${process.versions.node}`, ...sides.map((side) => side.version())].join("; ");
  const text = `${table(rows)}\n\n${about}.`;
  console.log(text);
  if (writeTo !== undefined) {
    writeFileSync(writeTo, readFileSync(writeTo, "utf8").replace(/(<!-- bench:begin -->\n)[^]*(<!-- bench:end -->)/, (_, begin, end) => `${begin}${text}\n${end}`));
  }
} finally {
  for (const side of sides.reverse()) await side.close();
  rmSync(scratch, { recursive: true, force: true });
}
