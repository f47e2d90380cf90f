import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { alive, MonitorWorld } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";

let world: MonitorWorld;
beforeEach(() => {
  world = new MonitorWorld();
});
afterEach(() => world.dispose());

/** Process id of the main process, the only child of our init. */
function mainOf(container: TestContainer): number {
  const { pid } = container.state;
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0]);
}

async function untilRun(container: TestContainer, restarts: number): Promise<void> {
  await container.until(() => container.state.status === "running" && container.state.restarts >= restarts, `run ${restarts}`);
}

describe("restart", () => {
  test("a killed main process is back at once, with the same address space of files and the same monitor", async () => {
    const container = world.container({ args: ["sh", "-c", "touch /made; ls /made; exec sleep 1000"], spec: { restart: { policy: "always" } } });
    await container.started();
    await container.untilLog("/made");
    const before = container.state;
    process.kill(mainOf(container), "SIGKILL");
    await untilRun(container, 1);
    const after = container.state;
    expect(after.pid).not.toBe(before.pid);
    expect(after).toMatchObject({ monitorPid: before.monitorPid, exitCode: 137, signal: 9, restarts: 1, failures: 1 });
    const [exit, start] = [container.events.find((e) => e.type === "exit"), container.events.filter((e) => e.type === "start")[1]];
    expect(Date.parse(start?.t ?? "") - Date.parse(exit?.t ?? "")).toBeLessThan(200);
  });

  test("delays grow, up to the longest, and each is announced", async () => {
    const container = world.container({ args: ["false"], spec: { restart: { policy: "always", delayMs: 20, factor: 3, maxDelayMs: 70 } } });
    await container.started();
    await container.until(() => container.events.filter((e) => e.type === "restart-scheduled").length >= 3, "three delays");
    const scheduled = container.events.filter((e) => e.type === "restart-scheduled").slice(0, 3);
    const delays = scheduled.map((e) => Date.parse(String(e["at"])) - Date.parse(e.t));
    expect(delays.map((d, i) => Math.abs(d - ([20, 60, 70][i] ?? 0)) <= 2)).toEqual([true, true, true]);
    expect(scheduled.map((e) => e["failures"])).toEqual([2, 3, 4]);
  });

  test("on-failure gives up after its attempts, and leaves a success alone", async () => {
    const failing = world.container({ args: ["sh", "-c", "exit 9"], spec: { restart: { policy: "on-failure", maxAttempts: 2, delayMs: 1 } } });
    await failing.started();
    expect(await failing.untilExited()).toMatchObject({ exitCode: 9, restarts: 2 });
    const fine = world.container({ args: ["true"], spec: { restart: { policy: "on-failure", maxAttempts: 2 } } });
    await fine.started();
    expect(await fine.untilExited()).toMatchObject({ exitCode: 0, restarts: 0 });
  });

  test("a long run forgets the failures before it", async () => {
    const container = world.container({ args: ["sh", "-c", "read n < /n; n=$((n+1)); echo $n > /n; [ $n -lt 4 ] && exit 1; sleep 0.3; exit 1"], spec: { restart: { policy: "always", delayMs: 1, resetAfterMs: 200 } } });
    await container.started();
    await untilRun(container, 5);
    expect(container.state.failures).toBeLessThanOrEqual(2);
  });

  test("a stop while a restart is pending cancels it", async () => {
    const container = world.container({ args: ["false"], spec: { restart: { policy: "always", delayMs: 100_000, maxDelayMs: 100_000 } } });
    await container.started();
    await container.until(() => container.state.status === "restarting" && container.state.pid === 0, "it waits");
    expect(await container.request("stop")).toMatchObject({ killed: false, state: { status: "exited", exitCode: 1, stopRequested: true, nextRestartAt: "" } });
  });

  test("stop and kill by hand are not undone by the policy", async () => {
    for (const op of ["stop", "kill"]) {
      const container = world.container({ args: ["sleep", "1000"], spec: { restart: { policy: "always" } } });
      await container.started();
      await container.request(op, op === "kill" ? { signal: 9 } : {});
      expect(await container.untilExited()).toMatchObject({ restarts: 0, endedBy: op });
    }
  });

  test("restart stops and starts in the same monitor", async () => {
    const container = world.container({ args: ["sleep", "1000"] });
    const { pid } = await container.started();
    const { monitorPid } = container.state;
    expect(await container.request("restart")).toMatchObject({ ok: true, state: { status: "running", monitorPid, restarts: 1, stopRequested: false } });
    expect(alive(pid)).toBe(false);
    expect(alive(container.state.pid)).toBe(true);
  });

  test("restart of a container that waits for its next try starts it now", async () => {
    const container = world.container({ args: ["sh", "-c", "[ -e /second ] && exec sleep 1000; touch /second; exit 1"], spec: { restart: { policy: "always", firstDelayMs: 100_000, maxDelayMs: 100_000 } } });
    await container.started();
    await container.until(() => container.state.status === "restarting", "it waits");
    expect(await container.request("restart")).toMatchObject({ state: { status: "running" } });
  });

  test("the policy can be changed while it runs, and a later monitor knows", async () => {
    const container = world.container({ args: ["sleep", "1000"], spec: { restart: { policy: "always" } } });
    await container.started();
    await container.request("update", { restart: { policy: "no" }, stop: { graceMs: 1 } });
    process.kill(mainOf(container), "SIGKILL");
    expect(await container.untilExited()).toMatchObject({ exitCode: 137, restarts: 0 });
    expect(JSON.parse(readFileSync(`${container.directory}/monitor.json`, "utf8"))).toMatchObject({ restart: { policy: "no", delayMs: 100 }, stop: { signal: 15, graceMs: 1 } });
  });

  test("limits can be changed while it runs", async () => {
    const container = world.container({ args: ["sleep", "1000"], resources: { memory: { limit: 64 << 20 } } });
    await container.started();
    const limit = (): string => readFileSync(`/sys/fs/cgroup/memory${world.cgroup}/${container.id}/memory.limit_in_bytes`, "utf8").trim();
    expect(limit()).toBe(String(64 << 20));
    await container.request("update", { resources: { memory: { limit: 32 << 20 } } });
    expect(limit()).toBe(String(32 << 20));
  });
});

describe("out of memory", () => {
  test("the kernel's kill is told as such", async () => {
    const container = world.container({ args: ["sh", "-c", "dd if=/dev/zero of=/dev/shm/fill bs=1M count=60; x=$(yes | head -c 60000000); echo survived"], resources: { memory: { limit: 24 << 20, swap: 24 << 20 } } });
    await container.started();
    const state = await container.untilExited();
    expect(state.oomKilled).toBe(true);
    expect(container.eventTypes()).toContain("oom");
    expect(container.text()).not.toContain("survived");
  });
});
