import { describe, expect, it } from "vitest";
import { delayBefore, nextRemedy, noRemedy } from "./remedy.ts";
import type { RemedySpec, RemedyState } from "./remedy.ts";

const timing = { firstDelayMs: 0, delayMs: 100, factor: 2, maxDelayMs: 1000, jitter: 0, resetAfterMs: 10_000 };
const spec = (more: Partial<RemedySpec> = {}): RemedySpec => ({ after: 1, max: 0, timing, ...more });

describe("nextRemedy", () => {
  const table: [string, RemedySpec, RemedyState, number, number, object][] = [
    ["acts at once the first time", spec(), noRemedy, 1, 0, { act: true, delayMs: 0, state: { count: 1, gaveUp: false } }],
    ["then with the back-off", spec(), { count: 1, gaveUp: false }, 1, 0, { act: true, delayMs: 100, state: { count: 2 } }],
    ["up to its ceiling", spec(), { count: 30, gaveUp: false }, 1, 0, { act: true, delayMs: 1000, state: { count: 31 } }],
    ["not before so many verdicts in a row", spec({ after: 3 }), noRemedy, 2, 0, { act: false, state: noRemedy }],
    ["but then", spec({ after: 3 }), noRemedy, 3, 0, { act: true }],
    ["gives up after so many times", spec({ max: 2 }), { count: 2, gaveUp: false }, 1, 0, { act: false, state: { count: 2, gaveUp: true } }],
    ["and stays so", spec({ max: 2 }), { count: 2, gaveUp: true }, 9, 9999, { act: false, state: { gaveUp: true } }],
    ["until it was healthy for long", spec({ max: 2 }), { count: 2, gaveUp: true }, 1, 10_000, { act: true, delayMs: 0, state: { count: 1, gaveUp: false } }],
  ];
  it.each(table)("%s", (_promise, given, before, verdicts, healthyMs, expected) => {
    expect(nextRemedy(given, before, verdicts, healthyMs, 0.5)).toMatchObject(expected);
  });

  it("jitter draws from both sides of the delay, and never below nothing", () => {
    expect([0, 0.5, 0.75].map((random) => delayBefore({ ...timing, jitter: 1 }, 2, random))).toEqual([0, 100, 150]);
  });
});
