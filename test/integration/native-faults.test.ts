import { expect, test } from "vitest";
import { exec, life, stop } from "../support/faults/scenes.ts";
import { Injector } from "../support/faults/injector.ts";
import { MONITOR } from "../support/faults/scene.ts";
import { sweep } from "../support/faults/sweep.ts";
import { MonitorWorld } from "./monitor/container.ts";

// One system call of each kind, with one error. `npm run faults` has all of them, with every error that they may have.

test("whatever system call of a start fails: it is said where and why, nothing hangs, nothing is left; or the container is none the worse", async () => {
  const result = await sweep(life, { whole: false });
  expect(result.complaints).toEqual([]);
  expect(result.calls).toBeGreaterThan(800);
  expect(result.failed).toBeGreaterThan(200);
  expect(result.unreached).toBeLessThan(result.faults / 20);
}, 300_000);

test("whatever system call of a stop or of an exec fails: who asked is told, the container is unharmed, and the next request is served", async () => {
  for (const scene of [stop, exec]) {
    const result = await sweep(scene, { whole: false, after: true });
    expect(result.complaints, scene.name).toEqual([]);
    expect(result.faults, scene.name).toBeGreaterThan(60);
    expect(result.unreached, scene.name).toBeLessThan(result.faults / 10);
  }
}, 300_000);

// Speaks once and is silent then: nothing that comes later brings along what could not be looked at.
test.each([
  ["tee", "*/containers/*/fifo/stdout"],
  ["read", "pipe:[#]"],
] as const)("a line whose %s fails is logged all the same, before anything else is written", async (call, about) => {
  const injector = new Injector();
  const world = new MonitorWorld();
  try {
    const container = world.container({ args: ["sh", "-c", "echo ready; exec sleep 1000"] });
    const { prefix, read } = injector.command({ fault: { role: MONITOR, call, about, number: 1, error: "EIO" }, hide: [container.id, world.root, world.cgroup], lead: MONITOR, limitMs: 30_000 });
    container.under = prefix;
    await container.started();
    await container.untilLog("ready\n");
    await container.request("stop", { graceMs: 0 });
    await container.ended;
    expect(read().failed).toHaveLength(1);
  } finally {
    await world.dispose();
    injector.dispose();
  }
});
