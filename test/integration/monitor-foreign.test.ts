import { existsSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MonitorWorld } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";

let world: MonitorWorld;
beforeEach(() => {
  world = new MonitorWorld();
});
afterEach(() => world.dispose());

const installed = ["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/bin/runc"].some((path) => existsSync(path));

function foreign(script: string, spec: object = {}): TestContainer {
  return world.container({ args: ["sh", "-c", script], spec: { runtime: "runc", ...spec } });
}

describe.skipIf(!installed)("a container that runc makes", () => {
  test("is logged, and its exit code is recorded", async () => {
    const container = foreign("echo $$; echo err >&2; exit 5");
    await container.started();
    expect(await container.untilExited()).toMatchObject({ exitCode: 5, signal: 0 });
    expect(container.log().map((line) => [line.stream, line.log])).toEqual(expect.arrayContaining([["stdout", "1\n"], ["stderr", "err\n"]]));
    expect(existsSync(`/sys/fs/cgroup/memory${world.cgroup}/${container.id}`)).toBe(false);
  });

  test("restarts with the same files", async () => {
    const container = foreign("[ -e /n ] && echo again && exec sleep 1000; touch /n; exit 1", { restart: { policy: "on-failure" } });
    await container.started();
    await container.untilLog("again");
    await container.until(() => container.state.status === "running" && container.state.restarts === 1, "the second run");
  });

  test("stops in order, and says why a command is not found", async () => {
    const container = foreign("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    await container.started();
    await container.untilLog("ready");
    expect(await container.request("stop")).toMatchObject({ killed: false, state: { exitCode: 0 } });
    const missing = world.container({ args: ["nosuch"], spec: { runtime: "runc" } });
    expect(await missing.start()).toMatchObject({ ok: false, error: { stage: "exec", errno: 2 } });
    expect(missing.state.exitCode).toBe(127);
  });

  test("runs further commands, with user and terminal", async () => {
    const container = foreign("exec sleep 1000");
    await container.started();
    expect(await container.request("exec", { args: ["sh", "-c", "id -u; exit 3"], user: "web", tty: false, stdin: false, capture: 100 })).toMatchObject({ exitCode: 3, output: "1000\n" });
    const connection = await container.connect();
    await connection.request("exec", { args: ["sh"], tty: true, stdin: true, rows: 30, cols: 90 });
    // runc passes the size on a moment after it has started the command.
    connection.frame(0, "until [ \"$(stty size)\" = '30 90' ]; do :; done; stty size; exit 4\n");
    const { stdout, last } = await connection.streams();
    expect(stdout).toMatch(/\n30 90/); // its line editor may draw anew right after
    expect(last).toEqual({ exit: { code: 4, signal: 0 } });
  });

  test("has a terminal of its own", async () => {
    const container = world.container({ args: ["sh"], spec: { runtime: "runc", tty: true, stdin: true } });
    await container.started();
    const connection = await container.connect();
    await connection.request("attach", { stdin: true, stdout: true, stderr: true, rows: 20, cols: 70 });
    connection.frame(0, "stty size; exit 6\n");
    await connection.streams();
    expect((await container.untilExited()).exitCode).toBe(6);
    expect(container.text()).toContain("20 70");
  });
});

test("a runtime that is not installed is named", async () => {
  const container = world.container({ args: ["true"], spec: { runtime: "no-such-runtime" } });
  expect(await container.start()).toMatchObject({ ok: false, error: { errno: 2, message: expect.stringContaining("no-such-runtime is not installed") as string } });
  expect(readFileSync(`${container.directory}/state.json`, "utf8")).toContain("start-failure");
});
