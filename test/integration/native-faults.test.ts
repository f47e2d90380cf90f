import { expect, test } from "vitest";
import { life } from "../support/faults/scenes.ts";
import { sweep } from "../support/faults/sweep.ts";

// One system call of each kind, with one error. `npm run faults` has all of them, with every error that they may have.

test("whatever system call of a start fails: it is said where and why, nothing hangs, nothing is left; or the container is none the worse", async () => {
  const result = await sweep(life, { whole: false });
  expect(result.complaints).toEqual([]);
  expect(result.calls).toBeGreaterThan(800);
  expect(result.failed).toBeGreaterThan(200);
  expect(result.unreached).toBeLessThan(result.faults / 20);
}, 300_000);
