import { join } from "node:path";
import { expect, test } from "vitest";
import { chaos } from "./driver.ts";
import type { Blow } from "./program/board.ts";
import { breakages } from "./program/broken.ts";
import type { Command, Round, Wish } from "./rounds.ts";
import { World } from "./world.ts";

// A checker that finds nothing proves nothing: each of these programs has one mistake, and is found out.

const repository = join(import.meta.dirname, "../..");
const two: Wish = { version: 1, web: 2, extra: false };

const round = (command: Command, more: Partial<Round> = {}): Round => ({ number: 1, wish: two, command, blow: undefined, fault: { kind: "none" }, also: [], reboot: false, heal: "up", ...more });
const blow = (step: string, mode: Blow["mode"] = "before", more: Partial<Blow> = {}): Blow => ({ role: step.slice(0, step.indexOf(" ")) as Blow["role"], step, mode, after: 0, ...more });
const end = round("down-volumes", { heal: "down" });

/** What each mistake needs to show, and what is said of it. */
const cases: Readonly<Record<string, { readonly rounds: readonly Round[]; readonly found: RegExp }>> = {
  "leaves a half-made container": { rounds: [round("up", { blow: blow("agent writeFileSync containers/*/monitor.json", "fail", { errno: 28 }) })], found: /creating is left/ },
  "forgets what writers that were killed have left": { rounds: [round("up", { blow: blow("agent renameSync networks/*.json") })], found: /half-written file/ },
  "leaves the control groups of a killed monitor": { rounds: [round("up"), round("nothing", { also: ["agent", "monitors", "containers"], heal: "down" })], found: /control group/ },
  "takes no container over": { rounds: [round("up"), round("nothing", { also: ["monitors"] })], found: /runs . times|has no monitor|monitors, not/ },
  "writes the state in place": { rounds: [round("up"), round("restart", { blow: blow("monitor write containers/*/state.json", "half") })], found: /is of no monitor|has no monitor|ended with 1/ },
};

async function run(rounds: readonly Round[], broken?: string): Promise<{ readonly wrong: readonly string[]; readonly output: string }> {
  const world = await World.open(repository, broken === undefined ? {} : { broken });
  try {
    return await chaos(world, { seed: 1, rounds: Infinity, until: Infinity, ...(broken === undefined ? {} : { patienceMs: 2000 }), replay: rounds.map((each, at) => ({ ...each, number: at + 1 })) });
  } finally {
    await world.close();
  }
}

test("the sound program passes all of their rounds", async () => {
  const { wrong, output } = await run([...Object.values(cases).flatMap(({ rounds }) => [...rounds, end])]);
  expect(wrong, output).toEqual([]);
});

test("every mistake that can be asked for is tried here", () => {
  expect(Object.keys(cases)).toEqual(Object.keys(breakages));
});

for (const [name, { rounds, found }] of Object.entries(cases))
  test(`a program that ${name} is found out`, async () => {
    const { wrong } = await run([...rounds, end], name);
    expect(wrong.join("\n")).toMatch(found);
  });
