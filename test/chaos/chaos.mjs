// Kills, starves and fills, in seeded rounds, and looks after each whether anything is lost or left.
//
//   node test/chaos/chaos.mjs [--minutes N] [--rounds N] [--seed N] [--replay FILE.json] [--broken NAME] [--quiet] [--steps]
//
// What went wrong is printed with the seed, and its rounds are kept in a file for --replay. Ends with 1 then. Root.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "5" },
    rounds: { type: "string" },
    seed: { type: "string" },
    replay: { type: "string" },
    broken: { type: "string" },
    quiet: { type: "boolean", default: false },
    steps: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const scratch = mkdtempSync(join(tmpdir(), "stack-chaos-driver-"));
try {
  await build({
    entryPoints: [join(here, "run.ts")],
    outfile: join(scratch, "run.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20.19",
    external: ["esbuild"],
    plugins: [{ name: "esbuild-from-here", setup: (b) => void b.onResolve({ filter: /^esbuild$/ }, () => ({ path: import.meta.resolve("esbuild"), external: true })) }],
  });
  copyFileSync(join(here, "../support/inside.mjs"), join(scratch, "inside.mjs"));
  const { run } = await import(pathToFileURL(join(scratch, "run.mjs")).href);
  const { lines, failed, history } = await run({
    repository: join(here, "../.."),
    seed,
    rounds: Number(values.rounds ?? Infinity),
    until: Date.now() + Number(values.minutes) * 60_000,
    ...(values.broken === undefined ? {} : { broken: values.broken }),
    ...(values.replay === undefined ? {} : { replay: JSON.parse(readFileSync(values.replay, "utf8")) }),
    steps: values.steps,
    say: values.quiet ? () => undefined : (line) => console.log(line),
  });
  console.log(lines.join("\n"));
  if (failed) {
    const file = join(tmpdir(), `stack-chaos-${seed}.json`);
    writeFileSync(file, JSON.stringify(history));
    console.log(`again: node test/chaos/chaos.mjs --seed ${seed}   or only what led to it: --replay ${file}`);
    process.exitCode = 1;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
