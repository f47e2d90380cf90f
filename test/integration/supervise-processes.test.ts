import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { SupervisedProcess, SupervisionSpec } from "../../src/runtime/formats.ts";
import { alive, MonitorWorld } from "./monitor/container.ts";
import type { ContainerOptions, Event, TestContainer } from "./monitor/container.ts";

let world: MonitorWorld;
beforeEach(() => {
  world = new MonitorWorld();
});
afterEach(() => world.dispose());

const always: SupervisedProcess["restart"] = { policy: "always", maxAttempts: 0, firstDelayMs: 0, delayMs: 5, factor: 2, maxDelayMs: 1000, jitter: 0, resetAfterMs: 10_000 };
const once: SupervisedProcess["restart"] = { ...always, policy: "no" };

function shell(name: string, script: string, more: Partial<SupervisedProcess> = {}): SupervisedProcess {
  return { name, main: false, args: ["sh", "-c", script], env: {}, restart: once, essential: false, oneshot: false, stop: { signal: 15, graceMs: 5000 }, ready: [], dependsOn: [], ...more };
}
const main: SupervisedProcess = { ...shell("main", ""), main: true, args: [], essential: true };

function container(processes: readonly SupervisedProcess[], more: Partial<SupervisionSpec> = {}, options: Partial<ContainerOptions> = {}): TestContainer {
  const supervision: SupervisionSpec = { processes, expect: [], expectGraceMs: 10_000, onOrphanExit: "", graceMs: 2000, ...more };
  return world.container({ args: ["sleep", "1000"], ...options, spec: { ...options.spec, supervision } });
}

function stateOf(c: TestContainer, name: string): NonNullable<NonNullable<TestContainer["state"]["supervision"]>["processes"]>[number] | undefined {
  return c.state.supervision?.processes?.find((process) => process.name === name);
}
const untilStatus = (c: TestContainer, name: string, status: string): Promise<void> => c.until(() => stateOf(c, name)?.status === status, `${name} is ${status}`);
const of = (c: TestContainer, type: string, name: string): readonly Event[] => c.events.filter((e) => e.type === type && e["process"] === name);
const order = (c: TestContainer, type: string): readonly unknown[] => c.events.filter((e) => e.type === type).map((e) => e["process"]);
/** The host's number of a process that init sees under another. */
function hostPid(c: TestContainer, inside: number): number {
  for (const child of readFileSync(`/proc/${c.state.pid}/task/${c.state.pid}/children`, "utf8").trim().split(" "))
    if (readFileSync(`/proc/${child}/status`, "utf8").match(/^NSpid:.*\s(\d+)$/m)?.[1] === String(inside)) return Number(child);
  throw new Error(`init has no child ${inside}`);
}

describe("order", () => {
  test("one-shots come first, dependents when what they need is ready, and a stop goes the other way", async () => {
    const c = container([
      shell("web", "sleep 1000", { dependsOn: [{ process: "db", condition: "ready" }, { process: "prep", condition: "completed" }] }),
      shell("db", "touch /db.ready; sleep 1000", { ready: [{ kind: "file", path: "/db.ready" }], dependsOn: [{ process: "prep", condition: "completed" }] }),
      shell("prep", "echo prepared", { oneshot: true }),
    ]);
    await c.started();
    await untilStatus(c, "web", "running");
    expect(order(c, "process-start")).toEqual(["prep", "db", "web"]);
    expect(of(c, "process-ready", "db")).toHaveLength(1);
    const stopped = await c.request<{ killed: boolean }>("stop");
    expect(stopped.killed).toBe(false);
    expect(order(c, "process-exit")).toEqual(["prep", "web", "db"]);
  });

  test("a failed one-shot fails what waits for it, and says so", async () => {
    const c = container([shell("prep", "exit 3", { oneshot: true }), shell("web", "sleep 1000", { essential: true, dependsOn: [{ process: "prep", condition: "completed" }] })]);
    await c.started();
    expect(await c.untilExited()).toMatchObject({ exitCode: 3 });
    expect(stateOf(c, "web")).toMatchObject({ status: "fatal", reason: "prep, on which it depends, has failed" });
  });

  test("ready by what somebody else asks: when it is told, of this very start, and not by what init asks itself", async () => {
    const db = shell("db", "sleep 1000", { restart: always, ready: [{ kind: "told", text: "log /up/" }, { kind: "file", path: "/there" }] });
    const c = container([db, shell("web", "sleep 1000", { dependsOn: [{ process: "db", condition: "ready" }] }), shell("late", "sleep 1000", { ready: [{ kind: "told", text: "log /never/", timeoutMs: 100 }], restart: { ...always, policy: "on-failure", maxAttempts: 1 } })]);
    await c.started();
    await untilStatus(c, "late", "fatal");
    expect(stateOf(c, "late")?.reason).toBe("not ready within 100 ms: log /never/");
    const told = (probe: number, restarts: number): Promise<unknown> => c.request("process", { process: "db", action: "ready", probe, restarts });
    await c.until(() => of(c, "process-start", "db").length === 1, "it is executed");
    await expect(told(0, 1)).rejects.toThrow("nobody waits for this");
    await expect(told(1, 0)).rejects.toThrow("nobody waits for this");
    await told(0, 0);
    await expect(told(0, 0)).rejects.toThrow("nobody waits for this");
    expect(stateOf(c, "db")).toMatchObject({ status: "starting", ready: false });
    await c.request("exec", { args: ["touch", "/there"], capture: 10 });
    await untilStatus(c, "web", "running");
    await expect(told(0, 0)).rejects.toThrow("nobody waits for this");
  });

  test.each([
    ["tcp", { kind: "tcp" as const, port: 8080 }],
    ["http", { kind: "http" as const, port: 8080, path: "/page", status: [[200, 299]] as const }],
    ["exec", { kind: "exec" as const, args: ["sh", "-c", "nc 127.0.0.1 8080 < /dev/null"] }],
  ])("ready by %s: not before, and then at once", async (_kind, probe) => {
    const c = container([shell("web", "mkdir -p /www; echo page > /www/page; read go < /go; exec httpd -f -p 127.0.0.1:8080 -h /www", { ready: [probe], dependsOn: [{ process: "fifo", condition: "completed" }] }), shell("fifo", "mkfifo /go", { oneshot: true })]);
    execFileSync("ln", ["-sf", "busybox", `${world.rootfs}/bin/mkfifo`]);
    await c.started();
    await c.until(() => of(c, "process-start", "web").length === 1 && stateOf(c, "web")?.status === "starting", "web is executed");
    expect(stateOf(c, "web")?.ready).toBe(false);
    await c.request("exec", { args: ["sh", "-c", "until [ -p /go ]; do usleep 1000; done; echo go > /go"], capture: 100 });
    await untilStatus(c, "web", "running");
  });

  test("a process that is not ready in its time is ended, and its policy decides", async () => {
    const c = container([shell("web", "sleep 1000", { ready: [{ kind: "tcp", port: 1, timeoutMs: 50 }], restart: { ...always, policy: "on-failure", maxAttempts: 1 } }), shell("other", "sleep 1000")]);
    await c.started();
    await untilStatus(c, "web", "fatal");
    expect(stateOf(c, "web")).toMatchObject({ restarts: 1, reason: "not ready within 50 ms: tcp 1" });
    expect(stateOf(c, "other")?.status).toBe("running");
  });
});

describe("restart", () => {
  test("a process that was killed is executed again, and nothing else is touched", async () => {
    const c = container([main, shell("a", "exec sleep 1000", { restart: always }), shell("b", "sleep 1000")]);
    await c.started();
    await untilStatus(c, "a", "running");
    const before = c.state;
    process.kill(hostPid(c, stateOf(c, "a")?.pid ?? 0), "SIGKILL");
    await c.until(() => stateOf(c, "a")?.restarts === 1 && stateOf(c, "a")?.status === "running", "a runs again");
    expect(stateOf(c, "a")).toMatchObject({ exitCode: 137, signal: 9 });
    expect(c.state).toMatchObject({ pid: before.pid, restarts: 0 });
    expect(stateOf(c, "b")?.pid).toBe(before.supervision?.processes?.find((p) => p.name === "b")?.pid);
  });

  test("one that fails again and again waits longer each time, is given up after its attempts, and the container goes on", async () => {
    const c = container([shell("bad", "exit 4", { restart: { ...always, policy: "on-failure", maxAttempts: 3, delayMs: 20 } }), shell("good", "sleep 1000")]);
    await c.started();
    await untilStatus(c, "bad", "fatal");
    expect(stateOf(c, "bad")).toMatchObject({ restarts: 3, exitCode: 4 });
    const starts = of(c, "process-start", "bad").map((e) => Date.parse(e.t));
    expect((starts[3] ?? 0) - (starts[2] ?? 0)).toBeGreaterThanOrEqual(40);
    expect(stateOf(c, "good")?.status).toBe("running");
  });

  test("the end of an essential process ends the container with its code; others are stopped in order", async () => {
    const c = container([shell("web", "sleep 0.05; exit 7", { essential: true }), shell("log", "trap 'echo bye; exit 0' TERM; while :; do usleep 1000; done")]);
    await c.started();
    expect(await c.untilExited()).toMatchObject({ exitCode: 7 });
    expect(c.text()).toContain("bye");
  });

  test("a command that is not there is fatal with the reason, and not tried again", async () => {
    const c = container([{ ...shell("gone", ""), args: ["/no/such/program"], restart: always }, shell("good", "sleep 1000")]);
    await c.started();
    await untilStatus(c, "gone", "fatal");
    expect(stateOf(c, "gone")).toMatchObject({ exitCode: 127, restarts: 0, reason: expect.stringContaining("/no/such/program") as string });
  });

  test("the container's own command that is not there fails the start, as without processes", async () => {
    const c = container([main, shell("a", "sleep 1000")], {}, { args: ["/nothing"] });
    expect(await c.start()).toMatchObject({ ok: false, error: { stage: "exec" } });
    expect(c.state).toMatchObject({ status: "exited", exitCode: 127 });
  });

  test("what a killed process left behind is gone before it is started again", async () => {
    const c = container([shell("master", "sleep 1000 & echo $! > /worker; wait", { restart: always })]);
    await c.started();
    await untilStatus(c, "master", "running");
    await c.until(() => stateOf(c, "master")?.status === "running" && readFileSync(`/proc/${hostPid(c, stateOf(c, "master")?.pid ?? 0)}/task/${hostPid(c, stateOf(c, "master")?.pid ?? 0)}/children`, "utf8") !== "", "it has a worker");
    const host = hostPid(c, stateOf(c, "master")?.pid ?? 0);
    const worker = Number(readFileSync(`/proc/${host}/task/${host}/children`, "utf8").trim());
    process.kill(host, "SIGKILL");
    await c.until(() => stateOf(c, "master")?.restarts === 1 && stateOf(c, "master")?.status === "running", "it runs again");
    expect(alive(worker)).toBe(false);
  });
});

describe("by hand", () => {
  test("stop, start, restart and kill one; the container and the others go on", async () => {
    const c = container([shell("a", "exec sleep 1000", { restart: always, essential: true }), shell("b", "exec sleep 1000")]);
    await c.started();
    await untilStatus(c, "a", "running");
    await c.request("process", { process: "a", action: "stop" });
    expect(stateOf(c, "a")).toMatchObject({ status: "stopped", pid: 0 });
    await c.request("process", { process: "a", action: "start" });
    expect(stateOf(c, "a")).toMatchObject({ status: "running", restarts: 1 });
    const first = stateOf(c, "a")?.pid;
    await c.request("process", { process: "a", action: "restart" });
    expect(stateOf(c, "a")?.pid).not.toBe(first);
    await c.request("process", { process: "b", action: "kill", signal: 9 });
    await untilStatus(c, "b", "stopped");
    expect(c.state).toMatchObject({ status: "running", restarts: 0 });
    await expect(c.request("process", { process: "nobody", action: "stop" })).rejects.toThrow("there is no process nobody");
  });

  test("one that ignores its stop signal is killed after its grace, with all that it started", async () => {
    const c = container([shell("deaf", "trap '' TERM; sleep 1000 & while :; do sleep 1; done", { stop: { signal: 15, graceMs: 60 } }), shell("b", "exec sleep 1000")]);
    await c.started();
    await untilStatus(c, "deaf", "running");
    // It runs from its execve on; that the signal is ignored shows by what comes after.
    const host = hostPid(c, stateOf(c, "deaf")?.pid ?? 0);
    while (readFileSync(`/proc/${host}/task/${host}/children`, "utf8") === "") await setImmediate();
    await c.request("process", { process: "deaf", action: "stop" });
    expect(of(c, "process-killed", "deaf")).toHaveLength(1);
    expect(stateOf(c, "deaf")).toMatchObject({ status: "stopped", signal: 9 });
  });
});

describe("confinement", () => {
  test("user, environment and directory are the process's own; rights are the container's", async () => {
    const status = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status";
    const c = container([
      shell("own", `id -u; id -G; echo $A $B $HOME; pwd; ${status}; echo done`, { user: "web", env: { A: "1", B: null, HOME: null }, cwd: "/tmp", oneshot: true }),
      shell("plain", `${status}; echo done`, { oneshot: true }),
      { ...main, dependsOn: [{ process: "own", condition: "completed" }, { process: "plain", condition: "completed" }] },
    ], {}, { env: ["A=0", "B=2"], args: ["sh", "-c", `${status}; echo main done; exec sleep 1000`] });
    execFileSync("ln", ["-sf", "busybox", `${world.rootfs}/bin/grep`]);
    await c.started();
    await c.untilLog("main done");
    const lines = (name: string | undefined): readonly string[] => c.log().filter((line) => line.attrs?.["process"] === name).map((line) => line.log.trim().replace(/\s+/g, " "));
    expect(lines("own").slice(0, 4)).toEqual(["1000", "1000 50", "1 /home/web", "/tmp"]);
    expect(lines("own")).toContain("CapEff: 0000000000000000");
    expect(lines("plain").slice(0, 4)).toEqual(lines(undefined).slice(0, 4));
    expect(lines("plain").find((l) => l.startsWith("CapBnd"))).toBe(lines("own").find((l) => l.startsWith("CapBnd")));
  });

  test("PID 1 cannot be traced or read, and only CAP_KILL is in effect in it", async () => {
    const c = container([shell("look", "cat /proc/1/environ; ls -l /proc/1/fd; echo looked", { oneshot: true }), main]);
    await c.started();
    await c.untilLog("looked");
    expect(c.text()).toMatch(/Permission denied|can't open/);
    expect(readFileSync(`/proc/${c.state.pid}/status`, "utf8")).toMatch(/^CapEff:\s+0000000000000020$/m);
  });
});

describe("what processes may do to init", () => {
  test("a storm of orphans is reaped, and restarts go on", async () => {
    const c = container([shell("storm", "i=0; while [ $i -lt 300 ]; do (true & ) ; i=$((i+1)); done; echo over; sleep 1000"), shell("a", "exec sleep 1000", { restart: always })]);
    await c.started();
    await c.untilLog("over");
    await c.request("process", { process: "a", action: "restart" });
    const children = readFileSync(`/proc/${c.state.pid}/task/${c.state.pid}/children`, "utf8").trim().split(" ");
    expect(children).toHaveLength(2);
  });

  test("a fork bomb within its limit harms neither the others nor the stop", async () => {
    const c = container([shell("bomb", "while :; do sleep 1000 & done 2>/dev/null", { restart: always }), shell("a", "exec sleep 1000")], {}, { resources: { pids: { limit: 60 } } });
    await c.started();
    await c.until(() => stateOf(c, "bomb")?.failures !== 0 || readFileSync(`/proc/${c.state.pid}/status`, "utf8") !== "", "it bombs");
    await c.request("process", { process: "bomb", action: "kill", signal: 9 });
    await untilStatus(c, "bomb", "stopped");
    expect(stateOf(c, "a")?.status).toBe("running");
    expect(await c.request("stop")).toMatchObject({ state: { status: "exited" } });
  });

  test("megabytes without a newline, and closed streams, cost nothing but their lines", async () => {
    const c = container([shell("long", "dd if=/dev/zero bs=1024 count=2048 2>/dev/null; echo; echo end"), shell("mute", "exec <&- >&- 2>&-; exec sleep 1000"), shell("a", "sleep 1000")]);
    await c.started();
    await c.until(() => c.log().some((line) => line.log === "end\n"), "the end is logged");
    expect(c.log().filter((line) => line.attrs?.["process"] === "long").reduce((sum, line) => sum + line.log.length, 0)).toBeGreaterThanOrEqual(2048 * 1024);
    expect(stateOf(c, "mute")?.status).toBe("running");
  });
});

describe("the monitor dies", () => {
  test("restarts go on without it, and a new one knows all", async () => {
    const c = container([shell("a", "echo run; exec sleep 1000", { restart: always }), shell("b", "exec sleep 1000")]);
    await c.started();
    await untilStatus(c, "a", "running");
    await c.until(() => c.log().some((line) => line.log === "run\n"), "it has said so");
    const host = hostPid(c, stateOf(c, "a")?.pid ?? 0);
    process.kill(c.state.monitorPid, "SIGKILL");
    process.kill(host, "SIGKILL");
    await c.until(() => of(c, "process-start", "a").length === 2, "init has started it again");
    expect(await c.start("--adopt")).toMatchObject({ ok: true });
    await c.until(() => stateOf(c, "a")?.restarts === 1, "the new monitor knows");
    await c.request("process", { process: "b", action: "restart" });
    expect(stateOf(c, "b")).toMatchObject({ restarts: 1, status: "running" });
    await c.until(() => c.log().filter((line) => line.log === "run\n").length === 2, "what was written meanwhile is logged");
  });
});

test("a stop ends as soon as all are gone, and leaves no cgroup", async () => {
  const c = container([shell("a", "exec sleep 1000"), shell("b", "exec sleep 1000", { dependsOn: [{ process: "a", condition: "started" }] })]);
  await c.started();
  await untilStatus(c, "b", "running");
  const path = readFileSync(`/proc/${hostPid(c, stateOf(c, "a")?.pid ?? 0)}/cgroup`, "utf8").match(/^0::(.*)$/m)?.[1] ?? "";
  expect(path.endsWith("/p-a")).toBe(true);
  const began = Date.now();
  await c.request("stop");
  expect(Date.now() - began).toBeLessThan(1500);
  expect(existsSync(`/sys/fs/cgroup/unified${path}`) || existsSync(`/sys/fs/cgroup${path}`)).toBe(false);
});
