import { describe, expect, it } from "vitest";
import { counts, healthReduce, initialHealth, nextProbeDelay } from "./index.ts";
import type { HealthSettings, HealthState } from "./index.ts";

const settings: HealthSettings = { intervalMs: 1000, timeoutMs: 500, retries: 3, startPeriodMs: 0, startIntervalMs: 5000 };
const run = (probes: readonly (readonly [ok: boolean, at: number])[], s = settings): HealthState =>
  probes.reduce<HealthState>((state, [ok, sinceStart]) => healthReduce(state, { ok, sinceStart }, s), initialHealth);

describe("healthReduce", () => {
  it("is healthy after one success", () => {
    expect(run([[true, 0]])).toEqual({ status: "healthy", failingStreak: 0 });
  });
  it("is unhealthy only after `retries` failures in a row", () => {
    expect(run([[false, 0], [false, 1000]]).status).toBe("starting");
    expect(run([[false, 0], [false, 1000], [false, 2000]])).toEqual({ status: "unhealthy", failingStreak: 3 });
  });
  it("forgets failures at a success", () => {
    expect(run([[true, 0], [false, 1], [false, 2], [true, 3], [false, 4], [false, 5]])).toEqual({ status: "healthy", failingStreak: 2 });
  });
  it("does not count failures inside the start period", () => {
    const s = { ...settings, startPeriodMs: 10_000 };
    expect(run([[false, 0], [false, 1000], [false, 2000], [false, 9999]], s)).toEqual(initialHealth);
    expect(run([[false, 0], [false, 10_000], [false, 10_001], [false, 10_002]], s).status).toBe("unhealthy");
  });
  it("counts failures inside the start period once it was healthy", () => {
    const s = { ...settings, startPeriodMs: 10_000, retries: 1 };
    expect(run([[true, 0], [false, 1]], s).status).toBe("unhealthy");
  });
  it("comes back from unhealthy at one success", () => {
    expect(run([[false, 0], [false, 1], [false, 2], [true, 3]]).status).toBe("healthy");
  });
});

describe("nextProbeDelay", () => {
  it("probes early at first and settles at the interval", () => {
    expect(nextProbeDelay(initialHealth, settings, 0, 0)).toBe(50);
    expect(nextProbeDelay(initialHealth, settings, 50, 1)).toBe(100);
    expect(nextProbeDelay(initialHealth, settings, 5000, 8)).toBe(1000);
    expect(nextProbeDelay({ status: "healthy", failingStreak: 0 }, settings, 50, 1)).toBe(1000);
  });
  it("uses the start interval inside the start period", () => {
    const s = { ...settings, startPeriodMs: 60_000, startIntervalMs: 2000 };
    expect(nextProbeDelay(initialHealth, s, 100, 1)).toBe(2000);
  });
});

describe("counts", () => {
  it("forgives what fails before Docker would have looked", () => {
    expect(counts(settings, 999)).toBe(false);
    expect(counts(settings, 1000)).toBe(true);
  });
});
