import { join } from "node:path";
import { expect, test } from "vitest";
import { chaos, coverage } from "./driver.ts";
import { World } from "./world.ts";

// The short version of `npm run chaos`, which goes on for hours: forty rounds, always from the same seed.

test("whoever is killed, starved or made to fail, wherever: nothing is lost, nothing is left, and the next command heals", async () => {
  const seed = 20_261_121;
  const world = await World.open(join(import.meta.dirname, "../.."));
  try {
    const { wrong, rounds, known, history, output } = await chaos(world, { seed, rounds: 40, until: Date.now() + 45_000 });
    console.log(`seed ${seed}, ${rounds} rounds; ${coverage(known)}`);
    expect(wrong, `seed ${seed}; npm run chaos -- --replay, with: ${JSON.stringify(history)}\n${output}`).toEqual([]);
    expect(known.hit.size, "blows have fallen").toBeGreaterThan(2);
  } finally {
    await world.close();
  }
});
