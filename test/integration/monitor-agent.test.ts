import { readFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { alive, MonitorWorld, until } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";
import type { Connection } from "./monitor/connection.ts";

let world: MonitorWorld;
let containers: TestContainer[];
let sessions: Connection[];

const path = (name: string): string => join(world.root, name);
const starts = (): readonly string[] => (existsSync(path("starts")) ? readFileSync(path("starts"), "utf8").trim().split("\n") : []);

beforeEach(async () => {
  world = new MonitorWorld();
  // A stand-in for the agent: says that it has started, and with what, and holds its lock until `over` is written.
  writeFileSync(path("agent"), `#!/bin/sh\nexec 9>${path("agent.lock")}\nflock -n 9 || exit 1\necho "$$ $PROJECT" >> ${path("starts")}\necho "I am back" >&2\nread x < ${path("over")}\n`, { mode: 0o755 });
  const { execFileSync } = await import("node:child_process");
  execFileSync("mkfifo", [path("over")]);
  const agent = { argv: [path("agent")], env: ["PROJECT=shop", "PATH=/usr/bin:/bin"], lock: path("agent.lock"), respawnLock: path("respawn.lock"), log: path("agent.log") };
  containers = [1, 2, 3].map(() => world.container({ args: ["sleep", "1000"], spec: { agent } }));
  await Promise.all(containers.map((container) => container.started()));
  sessions = await Promise.all(containers.map((container) => container.connect()));
  for (const session of sessions) await session.request("subscribe", { role: "agent" });
});
afterEach(async () => {
  // After a failed test, too, no stand-in may wait for ever.
  for (const line of starts()) {
    const pid = Number(line.split(" ")[0]);
    if (pid > 0 && alive(pid)) process.kill(pid, "SIGKILL");
  }
  await world.dispose();
});

describe("the agent of a project", () => {
  test("is brought back by one of its monitors when it goes without goodbye", async () => {
    for (const session of sessions) session.close();
    await until([world.root], () => / shop$/.test(starts()[0] ?? ""), "an agent starts");
    expect(starts()[0]).toMatch(/^\d+ shop$/);
    // The others look too, within their 200 ms; they must find it living.
    await Promise.all(containers.map((container) => container.request("exec", { args: ["sleep", "0.5"], tty: false, stdin: false, capture: 1 })));
    expect(starts()).toHaveLength(1);
    // What it says is to be read somewhere.
    expect(readFileSync(path("agent.log"), "utf8")).toBe("I am back\n");
    writeFileSync(path("over"), "\n");
  });

  test("is left alone when it says goodbye", async () => {
    for (const session of sessions) session.write({ bye: true });
    for (const session of sessions) session.close();
    await Promise.all(containers.map((container) => container.request("exec", { args: ["sleep", "0.5"], tty: false, stdin: false, capture: 1 })));
    expect(starts()).toEqual([]);
  });

  test("is not started while another subscriber with its role is there", async () => {
    const [first, second] = [sessions[0], await containers[0]?.connect()];
    await second?.request("subscribe", { role: "agent" });
    for (const session of sessions.slice(1)) session.write({ bye: true });
    first?.close();
    await containers[0]?.request("exec", { args: ["sleep", "0.5"], tty: false, stdin: false, capture: 1 });
    expect(starts()).toEqual([]);
    second?.write({ bye: true });
  });
});
