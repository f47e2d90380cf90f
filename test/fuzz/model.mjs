// Looks for inputs that break a promise of the model: never throws, always ends, says the same twice, and reads what
// it prints as the same project.
//
//   node test/fuzz/model.mjs [--minutes N] [--seed N] [--keep DIRECTORY] [--replay FILE.json]
//
// Inputs are made from the cases of test/fixtures by changing characters, lines and trees and by cross-breeding. The
// run with one seed is always the same. What breaks is made smaller and kept in --keep (default: the working directory
// of a new directory below the system's temporary one); a file of it moved to test/fixtures/fuzz is tried by every
// test run from then on. Ends with 1 where something broke.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const { values: options } = parseArgs({
  options: { minutes: { type: "string", default: "1" }, seed: { type: "string" }, keep: { type: "string" }, replay: { type: "string" } },
});
const seed = Number(options.seed ?? Math.floor(Math.random() * 2 ** 31));
/** Seconds that one input may take before it counts as one that never ends; heap in MB beyond which it is a bomb. */
const HANG = 30;
const HEAP = 200;

const scratch = mkdtempSync(join(tmpdir(), "stack-fuzz-"));
try {
  await build({
    entryPoints: { worker: join(here, "worker.ts"), run: join(here, "run.ts"), corpus: join(here, "corpus.ts") },
    outdir: scratch,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20.19",
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  });
  process.exitCode = options.replay === undefined ? await fuzz() : await replay(options.replay);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function replay(file) {
  const { judge } = await import(pathToFileURL(join(scratch, "run.mjs")).href);
  const { accepted, broken } = await judge(JSON.parse(readFileSync(file, "utf8")));
  console.log(broken ?? `${accepted ? "accepted" : "refused"}, no promise broken`);
  return broken === undefined ? 0 : 1;
}

async function fuzz() {
  const keep = options.keep ?? mkdtempSync(join(tmpdir(), "stack-fuzz-found-"));
  mkdirSync(keep, { recursive: true });
  const { caseOf, kindOf } = await import(pathToFileURL(join(scratch, "run.mjs")).href);
  const { readCorpus } = await import(pathToFileURL(join(scratch, "corpus.mjs")).href);
  const fixtures = join(here, "../fixtures");
  const until = Date.now() + Number(options.minutes) * 60_000;
  const progress = new SharedArrayBuffer(16);
  const shared = new Int32Array(progress);
  const kinds = new Map();
  const found = (index, broken, test) => {
    const kind = kindOf(broken);
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    if (kinds.get(kind) > 3) return;
    const name = `${seed}-${index}.json`;
    writeFileSync(join(keep, name), `${JSON.stringify(test, null, 1)}\n`);
    console.log(`\n#${index} (${join(keep, name)})\n${broken.slice(0, 1500)}`);
  };
  console.log(`seed ${seed}, until ${new Date(until).toISOString()}, findings in ${keep}`);
  for (let from = 0; Date.now() < until; ) from = (await run(from, until, progress, shared, fixtures, found, caseOf, readCorpus)) + 1;
  console.log(`\n${shared[1]} inputs, ${shared[2]} of them accepted; ${kinds.size} kinds of broken promises`);
  for (const [kind, times] of kinds) console.log(`${String(times).padStart(6)} × ${kind}`);
  return kinds.size === 0 ? 0 : 1;
}

/** One worker until time is up or an input ends it; answers the last input's number. */
function run(from, until, progress, shared, fixtures, found, caseOf, readCorpus) {
  return new Promise((done) => {
    const worker = new Worker(join(scratch, "worker.mjs"), {
      workerData: { seed, from, until, fixtures, progress },
      resourceLimits: { maxOldGenerationSizeMb: HEAP },
    });
    let last = -1;
    let since = Date.now();
    const watch = setInterval(() => {
      const index = Atomics.load(shared, 0);
      if (index !== last) [last, since] = [index, Date.now()];
      else if (Date.now() - since > HANG * 1000) {
        found(index, `never ends: more than ${HANG} s`, caseOf(seed, index, readCorpus(fixtures)));
        void worker.terminate();
      }
    }, 1000);
    worker.on("message", ({ index, broken, test }) => found(index, broken, test));
    worker.on("error", (error) => {
      const index = Atomics.load(shared, 0);
      found(index, `ends the process: ${error.stack ?? error}`, caseOf(seed, index, readCorpus(fixtures)));
    });
    worker.on("exit", () => {
      clearInterval(watch);
      done(Atomics.load(shared, 0));
    });
  });
}
