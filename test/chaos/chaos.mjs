// Kills, starves and fills, in seeded rounds, and looks after each whether anything is lost or left.
//
//   node test/chaos/chaos.mjs [--minutes N] [--rounds N] [--seed N] [--replay FILE.json] [--broken NAME]
//     [--every before|after|half|fail] [--quiet] [--steps]
//
// --every: a blow of this kind at each step in turn, until it has fallen at all of them.
// What went wrong is printed with the seed, and its rounds are kept in a file for --replay. Ends with 1 then. Needs root.
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { repository, withBundle } from "./bundle.mjs";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "5" },
    rounds: { type: "string" },
    seed: { type: "string" },
    replay: { type: "string" },
    broken: { type: "string" },
    every: { type: "string" },
    quiet: { type: "boolean", default: false },
    steps: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
await withBundle("run.ts", async ({ run }) => {
  const { lines, failed, history } = await run({
    repository,
    seed,
    rounds: Number(values.rounds ?? Infinity),
    until: Date.now() + Number(values.minutes) * 60_000,
    ...(values.broken === undefined ? {} : { broken: values.broken }),
    ...(values.replay === undefined ? {} : { replay: JSON.parse(readFileSync(values.replay, "utf8")) }),
    ...(values.every === undefined ? {} : { every: values.every }),
    steps: values.steps,
    say: values.quiet ? () => undefined : (line) => console.log(line),
  });
  console.log(lines.join("\n"));
  if (!failed) return;
  const file = join(tmpdir(), `stack-chaos-${seed}.json`);
  writeFileSync(file, JSON.stringify(history));
  console.log(`again: node test/chaos/chaos.mjs --seed ${seed}   or only what led to it: --replay ${file}`);
  process.exitCode = 1;
});
