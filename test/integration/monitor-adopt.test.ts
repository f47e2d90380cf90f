import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { alive, MonitorWorld, until } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";

let world: MonitorWorld;
beforeEach(() => {
  world = new MonitorWorld();
});
afterEach(() => world.dispose());

/** Kills the monitor, and resolves when the kernel has let go of its lock. */
async function killMonitor(container: TestContainer): Promise<void> {
  const { monitorPid } = container.state;
  process.kill(monitorPid, "SIGKILL");
  await gone(monitorPid);
}

/** A process that is not ours: nobody tells us its end. */
async function gone(pid: number): Promise<void> {
  while (alive(pid)) await setImmediate();
}

describe("a killed monitor", () => {
  test("loses no line and writes none twice under a fast logger", async () => {
    const container = world.container({ args: ["sh", "-c", "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo line $i; done; echo end $i; sleep 1000"] });
    const { pid } = await container.started();
    const log = `${container.directory}/log/container.log`;
    for (let round = 0; round < 5; round++) {
      const { size } = statSync(log);
      await container.until(() => statSync(log).size > size + 100_000, "it logs");
      await killMonitor(container);
      expect(await container.start("--adopt")).toMatchObject({ ok: true, pid });
    }
    writeFileSync(`/proc/${pid}/root/stop`, "");
    await container.until(() => readFileSync(log, "latin1").slice(-200).includes('"end '), "it ends");
    const lines = container.log().map((line) => line.log);
    const last = Number(lines.pop()?.slice(4));
    expect(last).toBeGreaterThan(5000);
    expect(lines).toEqual(Array.from({ length: last }, (_, i) => `line ${i + 1}\n`));
    expect(container.state).toMatchObject({ status: "running", pid, restarts: 0 });
  });

  test("leaves the container running; nobody writes into the void meanwhile", async () => {
    const container = world.container({ args: ["sh", "-c", "echo before; read x < /go 2>/dev/null; while [ ! -e /tmp/go ]; do usleep 10000; done; echo while-away; touch /tmp/done; sleep 1000"] });
    const { pid } = await container.started();
    await container.untilLog("before");
    await killMonitor(container);
    expect(alive(pid)).toBe(true);
    writeFileSync(`/proc/${pid}/root/tmp/go`, "");
    await until([`/proc/${pid}/root/tmp`], () => existsSync(`/proc/${pid}/root/tmp/done`), "it wrote");
    expect(await container.start("--adopt")).toMatchObject({ ok: true, pid });
    await container.untilLog("while-away");
  });

  test("an exit that happened meanwhile is known by init's record, and the policy goes on", async () => {
    const container = world.container({ args: ["sh", "-c", "echo run; read x; sleep 1000"], spec: { restart: { policy: "on-failure" } } });
    const { pid } = await container.started();
    await container.untilLog("run");
    await killMonitor(container);
    const main = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim());
    process.kill(main, "SIGTERM");
    await until([container.directory], () => container.events.some((e) => e["by"] === "init"), "init has told");
    // It may stay until somebody has read what lies in the pipes still.
    expect(await container.start("--adopt")).toEqual(expect.objectContaining({ ok: true }));
    await container.until(() => container.state.restarts === 1, "it was started again");
    expect(container.events.filter((e) => e.type === "exit").map((e) => [e["by"], e["code"], e["signal"]])).toEqual([
      ["init", 143, 15],
      ["monitor", 143, 15],
    ]);
    expect(container.state).toMatchObject({ status: "running", restarts: 1 });
  });

  test("taken over in the very moment of its end, a container is started again, with control groups of its own", async () => {
    for (let round = 0; round < 20; round += 1) {
      const container = world.container({ args: ["sleep", "1000"], spec: { restart: { policy: "always" } } });
      const { pid } = await container.started();
      await killMonitor(container);
      process.kill(pid, "SIGKILL");
      await container.start("--adopt");
      await container.until(() => container.state.status === "running" && container.state.pid !== pid, "it runs again");
      expect(container.events.map((e) => e.type)).not.toContain("start-failed");
      await container.request("stop", { timeoutMs: 0 });
    }
  });

  test("what a container wrote last is kept for the next monitor, also when it has ended meanwhile", async () => {
    const container = world.container({ args: ["sh", "-c", "echo before; while [ ! -e /tmp/go ]; do usleep 10000; done; echo one; echo two; echo three >&2; exit 4"] });
    const { pid } = await container.started();
    await container.untilLog("before");
    await killMonitor(container);
    writeFileSync(`/proc/${pid}/root/tmp/go`, "");
    await until([container.directory], () => container.events.some((e) => e["by"] === "init"), "init has told");
    expect(alive(pid), "init holds the output").toBe(true);
    await container.start("--adopt");
    await container.until(() => container.state.status === "exited", "it has ended");
    expect(container.state.exitCode).toBe(4);
    expect(container.log().map((line) => line.log).sort()).toEqual(["before\n", "one\n", "three\n", "two\n"]);
  });

  test("a line without an end is not waited for", async () => {
    const container = world.container({ args: ["sh", "-c", "echo before; while [ ! -e /tmp/go ]; do usleep 10000; done; printf after; exit 4"] });
    const { pid } = await container.started();
    await container.untilLog("before");
    await killMonitor(container);
    writeFileSync(`/proc/${pid}/root/tmp/go`, "");
    await gone(pid);
    await container.start("--adopt");
    await container.until(() => container.state.status === "exited", "it has ended");
    expect(container.state.exitCode).toBe(4);
  });

  test("stop, exec and the exit code work as before under the new monitor", async () => {
    for (const init of [true, false]) {
      const container = world.container({ args: ["sh", "-c", "trap 'exit 6' TERM; echo ready; while :; do sleep 0.02; done"], spec: { init } });
      await container.started();
      await container.untilLog("ready");
      await killMonitor(container);
      await container.start("--adopt");
      expect(await container.request("exec", { args: ["echo", "hi"], tty: false, stdin: false, capture: 10 })).toMatchObject({ output: "hi\n" });
      expect(await container.request("stop")).toMatchObject({ killed: false, state: { exitCode: 6, signal: 0 } });
    }
  });

  test("a restart under the new monitor has the same files", async () => {
    const container = world.container({ args: ["sh", "-c", "[ -e /again ] && echo again; touch /again; exec sleep 1000"], spec: { restart: { policy: "always" } } });
    const { pid } = await container.started();
    await container.until(() => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8") !== "", "main runs");
    await until([`/proc/${pid}/root`], () => {
      try {
        return readFileSync(`/proc/${pid}/root/again`).length === 0;
      } catch {
        return false;
      }
    }, "it wrote");
    await killMonitor(container);
    await container.start("--adopt");
    expect(await container.request("restart")).toMatchObject({ state: { status: "running", restarts: 1 } });
    await container.untilLog("again");
  });

  test("a killed monitor and a killed container: recorded as what is known, and nothing is left", async () => {
    const container = world.container({ args: ["sleep", "1000"] });
    const { pid } = await container.started();
    await killMonitor(container);
    process.kill(pid, "SIGKILL");
    await gone(pid);
    expect(await container.start("--adopt")).toEqual(expect.objectContaining({ ok: true }));
    // Who reaps it now may be quicker than we are; before Linux 6.15 nobody tells then.
    const { exitCode, signal } = await container.untilExited();
    expect([[137, 9], [-1, 0]]).toContainEqual([exitCode, signal]);
  });

  test("a terminal survives", async () => {
    const container = world.container({ args: ["sh"], spec: { tty: true, stdin: true } });
    const { pid } = await container.started();
    await killMonitor(container);
    expect(alive(pid)).toBe(true);
    expect(await container.start("--adopt")).toMatchObject({ ok: true, pid });
    const connection = await container.connect();
    await connection.request("attach", { stdin: true, stdout: true, stderr: true });
    connection.frame(0, "echo st''ill here\n");
    await connection.untilOutput("still here");
  });
});

test("there is nothing to adopt of a container that has ended", async () => {
  const container = world.container({ args: ["true"] });
  await container.started();
  await container.untilExited();
  expect(await container.start("--adopt")).toMatchObject({ ok: false, error: { stage: "adopt" } });
});
