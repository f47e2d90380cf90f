import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { SupervisedProcess, SupervisionSpec } from "../../src/runtime/formats.ts";
import { MonitorWorld } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";

let world: MonitorWorld;
beforeEach(() => {
  world = new MonitorWorld();
  for (const name of ["setsid", "cp", "pidof", "killall"]) execFileSync("ln", ["-sf", "busybox", `${world.rootfs}/bin/${name}`]);
  // A script's process has the script's name.
  for (const [name, body] of Object.entries({ nginxd: "while :; do sleep 1000; done", fpmd: "while :; do sleep 1000; done", faild: "usleep 20000; exit 5" }))
    writeFileSync(`${world.rootfs}/bin/${name}`, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
});
afterEach(() => world.dispose());

const main: SupervisedProcess = {
  name: "main", main: true, args: [], env: {}, essential: true, oneshot: false, stop: { signal: 15, graceMs: 5000 }, ready: [], dependsOn: [],
  restart: { policy: "no", maxAttempts: 0, firstDelayMs: 0, delayMs: 5, factor: 2, maxDelayMs: 1000, jitter: 0, resetAfterMs: 10_000 },
};

/** A legacy image: a shell script starts daemons by a double fork, and stays. */
function legacy(script: string, more: Partial<SupervisionSpec>, restart: "no" | "always" = "no"): TestContainer {
  const supervision: SupervisionSpec = { processes: [main], expect: [], expectGraceMs: 300, onOrphanExit: "", graceMs: 2000, ...more };
  return world.container({ args: ["sh", "-c", `${script}; echo up; while :; do sleep 1000; done`], spec: { supervision, restart: { policy: restart } } });
}
const daemon = (name: string): string => `(setsid ${name} &)`;
const problem = (c: TestContainer): string => c.state.supervision?.problem ?? "";

describe("expect", () => {
  test("daemons that are there are no problem; one that ends makes the container unhealthy, and one that comes back makes it well", async () => {
    const c = legacy(`${daemon("nginxd")}; ${daemon("fpmd")}`, { expect: ["nginxd", "fpmd"] });
    await c.started();
    await c.until(() => c.state.supervision?.expected === true, "all are seen");
    expect(problem(c)).toBe("");
    await c.request("exec", { args: ["sh", "-c", "for p in /proc/[0-9]*; do case $(cat $p/comm 2>/dev/null) in nginxd*) kill -9 ${p#/proc/};; esac; done"], capture: 100 });
    await c.until(() => problem(c) !== "", "it is missed");
    expect(c.state.supervision).toMatchObject({ missing: ["nginxd"], problem: "nginxd, which is expected, has ended" });
    await c.request("exec", { args: ["sh", "-c", daemon("nginxd")], detach: true });
    await c.until(() => problem(c) === "", "it is back");
  });

  test("one that never comes is missed after its time", async () => {
    const c = legacy(daemon("fpmd"), { expect: ["nginxd", "fpmd"] });
    await c.started();
    await c.until(() => problem(c) !== "", "it is missed");
    expect(problem(c)).toBe("nginxd, which is expected, has not started");
  });
});

describe("on_orphan_exit", () => {
  const die = daemon("faild");

  test("log: says which has ended, and how; the middle of a double fork and background jobs are none", async () => {
    const c = legacy(`(true &) ; ${daemon("fpmd")}; ${die}`, { onOrphanExit: "log" });
    await c.started();
    await c.until(() => c.state.supervision?.orphans?.length === 1, "the end is noticed");
    expect(c.events.filter((e) => e.type === "orphan-exit").map((e) => [e["name"], e["code"]])).toEqual([["faild", 5]]);
    expect(c.state.supervision).toMatchObject({ problem: "", orphans: [{ name: "faild", code: 5 }] });
  });

  test("unhealthy: with the reason", async () => {
    const c = legacy(die, { onOrphanExit: "unhealthy" });
    await c.started();
    await c.until(() => problem(c) !== "", "it is unhealthy");
    expect(problem(c)).toMatch(/^the daemon faild \(process \d+\) has ended with 5$/);
  });

  test("restart: the container begins anew, whatever its policy", async () => {
    const c = legacy(`[ -e /second ] && exec sleep 1000; touch /second; ${die}`, { onOrphanExit: "restart" });
    await c.started();
    await c.until(() => c.state.restarts === 1 && c.state.status === "running", "it runs again");
    expect(c.events.find((e) => e.type === "exit" && e["by"] === "init")).toMatchObject({ code: 5, restart: true });
  });

  test("what exec leaves behind is nobody's daemon", async () => {
    const c = legacy("true", { onOrphanExit: "unhealthy" });
    await c.started();
    await c.untilLog("up");
    await c.request("exec", { args: ["sh", "-c", "(setsid sh -c 'exit 9' &) ; usleep 20000"], capture: 100 });
    await c.request("exec", { args: ["true"], capture: 100 });
    expect(c.events.filter((e) => e.type === "orphan-exit")).toEqual([]);
  });
});

test("daemons get the stop signal too, and the stop ends when they have gone", async () => {
  const c = legacy("(setsid sh -c \"trap 'echo daemon bye; exit 0' TERM; echo ready; while :; do usleep 1000; done\" &)", { expect: [] , onOrphanExit: "log" });
  await c.started();
  await c.untilLog("ready");
  const pid = c.state.pid;
  expect(await c.request("stop")).toMatchObject({ killed: false });
  expect(c.text()).toContain("daemon bye");
  expect(() => readFileSync(`/proc/${pid}/status`)).toThrow();
});
