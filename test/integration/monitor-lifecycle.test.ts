import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ContainerState } from "../../src/runtime/formats.ts";
import { alive, MonitorWorld } from "./monitor/container.ts";

let world: MonitorWorld;
beforeEach(() => {
  world = new MonitorWorld();
});
afterEach(() => world.dispose());

interface Stopped {
  readonly state: ContainerState;
  readonly ignored: boolean;
  readonly killed: boolean;
}

describe("start and end", () => {
  test("a process's output, exit code and times are recorded", async () => {
    const container = world.container({ args: ["sh", "-c", "echo out; echo err >&2; exit 7"] });
    expect(await container.start()).toMatchObject({ ok: true, ports: [] });
    const state = await container.untilExited();
    expect(state).toMatchObject({ exitCode: 7, signal: 0, oomKilled: false, endedBy: "", error: null, pid: 0 });
    expect(Date.parse(state.finishedAt)).toBeGreaterThanOrEqual(Date.parse(state.startedAt));
    expect(container.log()).toEqual([
      { log: "out\n", stream: "stdout", time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/) as string },
      { log: "err\n", stream: "stderr", time: expect.any(String) as string },
    ]);
    // A short life may be over, and init have said so, before the monitor has written that it began.
    expect(container.events.map((e) => [e.type, e["run"], e["by"]])).toEqual(
      expect.arrayContaining([
        ["monitor-started", undefined, undefined],
        ["start", 0, undefined],
        ["exit", 0, "init"],
        ["exit", 0, "monitor"],
      ]),
    );
  });

  test("in a running monitor no memory is both writable and executable, and the tables for jumps are read-only", async () => {
    const container = world.container({ args: ["sleep", "1000"] });
    await container.start();
    const maps = readFileSync(`/proc/${container.state.monitorPid}/maps`, "utf8").trimEnd().split("\n");
    const own = maps.filter((line) => line.endsWith(" /")).map((line) => line.split(" ")[1]);
    // The program itself, which lies outside its root: headers, code, constants, what the start has relocated, data.
    expect(own).toEqual(["r--p", "r-xp", "r--p", "r--p", "rw-p"]);
    expect(maps.filter((line) => /^\S+ .w.?x/.test(line))).toEqual([]);
  });

  test.each([
    { args: ["nosuch"], code: 127, errno: 2 },
    { args: ["/etc/passwd"], code: 126, errno: 13 },
    { args: ["/etc"], code: 126, errno: 21 },
  ])("a command that cannot be executed is a failed start with $code: $args", async ({ args, code, errno }) => {
    const container = world.container({ args });
    expect(await container.start()).toMatchObject({ ok: false, error: { stage: "exec", errno } });
    expect(container.state).toMatchObject({ status: "exited", exitCode: code, endedBy: "start-failure", error: { errno } });
    expect(container.eventTypes()).toContain("start-failed");
  });

  test("a failed first start is not retried, whatever the policy", async () => {
    const container = world.container({ args: ["nosuch"], spec: { restart: { policy: "always" } } });
    expect(await container.start()).toMatchObject({ ok: false });
    expect(container.state).toMatchObject({ status: "exited", restarts: 0 });
  });

  test("a signal that ends the main process is told, with and without our init", async () => {
    for (const init of [true, false]) {
      const container = world.container({ args: init ? ["sh", "-c", "kill -USR1 $$"] : ["sleep", "1000"], spec: { init } });
      const { pid } = await container.started();
      if (!init) process.kill(pid, "SIGKILL");
      const state = await container.untilExited();
      expect(state).toMatchObject(init ? { exitCode: 138, signal: 10 } : { exitCode: 137, signal: 9 });
    }
  });

  test("nothing is left of an ended container: no process, cgroup or socket", async () => {
    const container = world.container({ args: ["sh", "-c", "sleep 1000 & exit 0"] });
    await container.started();
    const { monitorPid } = container.state;
    await container.untilExited();
    await container.until(() => !alive(monitorPid) || !existsSync(join(container.directory, "monitor.sock")), "the socket has gone");
    for (const controller of ["memory", "pids", "freezer"]) expect(existsSync(`/sys/fs/cgroup/${controller}${world.cgroup}/${container.id}`)).toBe(false);
  });

  test("a second monitor for the same container is refused while the first lives", async () => {
    const container = world.container({ args: ["sleep", "1000"] });
    const { pid } = await container.started();
    expect(await container.start()).toMatchObject({ ok: false, error: { stage: "lock container" } });
    expect(alive(pid)).toBe(true);
    expect(container.state).toMatchObject({ status: "running", pid });
  });

  test("it can be started again right after stop has answered", async () => {
    const container = world.container({ args: ["sleep", "1000"] });
    await container.started();
    await container.request("stop");
    expect(await container.start()).toMatchObject({ ok: true });
    expect(container.state).toMatchObject({ status: "running", stopRequested: false });
  });

  test("our init reaps orphans and passes signals on", async () => {
    const container = world.container({ args: ["sh", "-c", "trap 'echo got hup' HUP; (sleep 0.01 &) ; echo ready; while :; do sleep 0.02; done"] });
    const { pid } = await container.started();
    await container.untilLog("ready");
    await container.request("kill", { signal: 1 });
    await container.untilLog("got hup");
    const zombies = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    expect(zombies).toHaveLength(1);
  });
});

test("PID 1 shows nothing of the host: not its paths, not its starter's environment, not a file to write", async () => {
  const container = world.container({ args: ["sh", "-c", "cat /proc/1/cmdline /proc/1/comm; ls -l /proc/1/exe /proc/1/fd; cat /proc/1/environ; exec sleep 1000"] });
  await container.started();
  const { pid, monitorPid } = container.state;
  await container.until(() => container.log().length > 3, "it looked");
  expect(container.text()).toMatch(/^stack-init\0+stack-init\n/);
  expect(container.text()).not.toContain(world.root);
  expect(readFileSync(`/proc/${monitorPid}/environ`, "utf8")).not.toContain("PATH");
  const write = await container.request<{ exitCode: number; output: string }>("exec", { args: ["sh", "-c", "echo x >> /proc/1/exe"], privileged: true, tty: false, stdin: false, capture: 1000 });
  expect(write.exitCode).not.toBe(0);
  expect(write.output).toMatch(/Read-only file system|Permission denied|Text file busy/);
  expect(alive(pid)).toBe(true);
});

test("what was asked for and cannot be had is said at the start", async () => {
  const container = world.container({ args: ["true"], resources: { unified: { "nosuch.knob": "1" } } });
  const status = await container.start();
  expect(JSON.stringify(status)).toContain("nosuch");
});

describe("stop", () => {
  test("the stop signal ends a process that knows nothing of signals, at once", async () => {
    const container = world.container({ args: ["sleep", "1000"] });
    await container.started();
    const before = Date.now();
    const reply = await container.request<Stopped>("stop");
    expect(reply).toMatchObject({ ignored: false, killed: false, state: { status: "exited", exitCode: 143, signal: 15, endedBy: "stop", stopRequested: true } });
    expect(Date.now() - before).toBeLessThan(1000);
  });

  test("a process that ends in order is given its time", async () => {
    const container = world.container({ args: ["sh", "-c", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"] });
    await container.started();
    await container.untilLog("ready");
    expect(await container.request<Stopped>("stop")).toMatchObject({ ignored: false, killed: false, state: { exitCode: 0 } });
    expect(container.text()).toContain("bye\n");
  });

  test("without init, PID 1 that cannot see the signal is killed without waiting, and that is said", async () => {
    const container = world.container({ args: ["sleep", "1000"], spec: { init: false } });
    await container.started();
    const before = Date.now();
    const reply = await container.request<Stopped>("stop", { graceMs: 60_000 });
    expect(reply).toMatchObject({ ignored: true, killed: true, state: { exitCode: 137, endedBy: "stop" } });
    expect(Date.now() - before).toBeLessThan(5000);
    expect(container.eventTypes()).toEqual(expect.arrayContaining(["stop-requested", "signal-ignored", "killed"]));
  });

  test("without init, PID 1 that catches the signal only a moment after its start still gets it", async () => {
    const container = world.container({ args: ["sh", "-c", "sleep 0.3; trap 'echo late; exit 3' TERM; while :; do sleep 0.02; done"], spec: { init: false } });
    await container.started();
    expect(await container.request<Stopped>("stop", { graceMs: 60_000 })).toMatchObject({ ignored: false, killed: false, state: { exitCode: 3 } });
    expect(container.text()).toContain("late");
  });

  test("who ignores the signal is killed when the grace is over", async () => {
    const container = world.container({ args: ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"] });
    await container.started();
    await container.untilLog("ready");
    expect(await container.request<Stopped>("stop", { graceMs: 200 })).toMatchObject({ ignored: false, killed: true, state: { exitCode: 137, signal: 9 } });
  });

  test("a second, more impatient stop shortens the grace; both are answered", async () => {
    const container = world.container({ args: ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"] });
    await container.started();
    await container.untilLog("ready");
    const first = container.request<Stopped>("stop", { graceMs: -1 });
    const second = container.request<Stopped>("stop", { graceMs: 0 });
    expect((await second).killed).toBe(true);
    expect((await first).killed).toBe(true);
  });

  test("a paused container can be stopped", async () => {
    const container = world.container({ args: ["sleep", "1000"] });
    await container.started();
    await container.request("pause");
    expect(container.state.status).toBe("paused");
    expect(await container.request<Stopped>("stop")).toMatchObject({ killed: false, state: { exitCode: 143 } });
  });

  test("wait and subscribe tell the end", async () => {
    const container = world.container({ args: ["sleep", "1000"] });
    await container.started();
    const subscriber = await container.connect();
    expect(await subscriber.request("subscribe")).toMatchObject({ state: { status: "running" } });
    const wait = container.request("wait");
    await container.request("kill", { signal: 9 });
    expect(await wait).toMatchObject({ state: { status: "exited", exitCode: 137 } });
    expect(await subscriber.line()).toMatchObject({ event: "state", state: { status: "exited" } });
    expect(await subscriber.line()).toBeUndefined();
  });
});

describe("pause", () => {
  test("a paused container stands still until it is unpaused", async () => {
    const container = world.container({ args: ["sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done"] });
    await container.started();
    await container.untilLog("1\n");
    await container.request("pause");
    const before = container.log().length;
    await expect(container.request("exec", { args: ["true"], tty: false, stdin: false })).rejects.toThrow(/paused/);
    await expect(container.request("pause")).rejects.toThrow(/already/);
    expect(container.log().length - before).toBeLessThanOrEqual(1);
    await container.request("unpause");
    await container.until(() => container.log().length > before + 2, "it goes on");
  });
});
