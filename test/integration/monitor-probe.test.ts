import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { alive, MonitorWorld } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";

let world: MonitorWorld;
beforeEach(() => {
  world = new MonitorWorld();
});
afterEach(() => world.dispose());

interface Captured {
  readonly exitCode: number;
  readonly timedOut: boolean;
  readonly output: string;
}

const probe = (container: TestContainer, script: string, more: object = {}): Promise<Captured> =>
  container.request<Captured>("exec", { args: ["sh", "-c", script], tty: false, stdin: false, capture: 4096, isolate: true, ...more });

/** Command lines of all processes in the container's cgroup, of every hierarchy. */
function processesOf(container: TestContainer): readonly string[] {
  const pids = new Set<number>();
  const look = (directory: string): void => {
    if (!existsSync(join(directory, "cgroup.procs"))) return;
    for (const line of readFileSync(join(directory, "cgroup.procs"), "utf8").split("\n")) if (line !== "") pids.add(Number(line));
    for (const entry of readdirSync(directory, { withFileTypes: true })) if (entry.isDirectory()) look(join(directory, entry.name));
  };
  for (const hierarchy of ["", ...readdirSync("/sys/fs/cgroup")]) look(join("/sys/fs/cgroup", hierarchy, world.cgroup, container.id));
  return [...pids].filter(alive).map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim());
}

/** Groups of probes that are still there. */
function groupsOf(container: TestContainer): readonly string[] {
  return ["", ...readdirSync("/sys/fs/cgroup")].flatMap((hierarchy) => {
    const directory = join("/sys/fs/cgroup", hierarchy, world.cgroup, container.id);
    return existsSync(directory) ? readdirSync(directory).filter((name) => name.startsWith("probe-")) : [];
  });
}

async function running(): Promise<TestContainer> {
  const container = world.container({ args: ["sleep", "1000"] });
  await container.started();
  return container;
}

/** The monitor has taken the probes' groups away: it answers, and tidies up between answers. */
async function untilTidy(container: TestContainer): Promise<void> {
  const end = Date.now() + 5000;
  while (groupsOf(container).length > 0 && Date.now() < end) await container.request("state");
  expect(groupsOf(container)).toEqual([]);
}

describe("a probe of its own cgroup", () => {
  test("its verdict and output are told, and nothing of it is left", async () => {
    const container = await running();
    expect(await probe(container, "echo fine; exit 3")).toMatchObject({ exitCode: 3, timedOut: false, output: "fine\n" });
    await untilTidy(container);
    expect(processesOf(container).filter((line) => !/stack-init|sleep 1000/.test(line))).toEqual([]);
  });

  test("what it started and left behind in other sessions ends with it", async () => {
    const container = await running();
    const result = await probe(container, "for i in 1 2 3; do (trap '' HUP TERM; exec sleep 555$i) & done; echo done");
    expect(result).toMatchObject({ exitCode: 0, output: "done\n" });
    await untilTidy(container);
    expect(processesOf(container).filter((line) => line.includes("sleep 555"))).toEqual([]);
    expect(container.state.status).toBe("running");
  });

  test("one that hangs is killed when its time is over, with its children", async () => {
    const container = await running();
    const began = Date.now();
    expect(await probe(container, "sleep 7771 & sleep 7772", { timeoutMs: 200 })).toMatchObject({ timedOut: true });
    expect(Date.now() - began).toBeLessThan(3000);
    await untilTidy(container);
    expect(processesOf(container).filter((line) => line.includes("sleep 777"))).toEqual([]);
  });

  test("one that forks for ever is stopped, and the container and its monitor live on", async () => {
    const container = await running();
    expect(await probe(container, "bomb() { bomb | bomb & }; bomb; sleep 1000", { timeoutMs: 500 })).toMatchObject({ timedOut: true });
    await untilTidy(container);
    expect(processesOf(container).length).toBe(2);
    expect(await probe(container, "echo still here")).toMatchObject({ exitCode: 0, output: "still here\n" });
  });

  test("one that writes without end costs the monitor little, and its last words are kept", async () => {
    const container = await running();
    const cpu = (): number => {
      const fields = readFileSync(`/proc/${container.state.monitorPid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      return Number(fields[11]) + Number(fields[12]);
    };
    const before = cpu();
    const result = await probe(container, "yes spam", { timeoutMs: 1000 });
    expect(result.timedOut).toBe(true);
    expect(result.output).toMatch(/^(s?p?a?m?\n)?(spam\n)+/);
    expect(result.output.length).toBeLessThanOrEqual(4096);
    expect((cpu() - before) * 10).toBeLessThan(300); // milliseconds of this second
    expect(await probe(container, "head -c 3000000 /dev/zero | tr '\\0' x; echo end")).toMatchObject({ exitCode: 0 });
  });

  test("it ends when the one who asked has gone", async () => {
    const container = await running();
    const connection = await container.connect();
    connection.write({ v: 1, op: "exec", args: ["sh", "-c", "touch /begun; sleep 8881"], tty: false, stdin: false, capture: 10, isolate: true });
    while ((await container.request<{ errno: number }>("probe", { kind: "file", path: "/begun" })).errno !== 0);
    connection.close();
    await untilTidy(container);
    expect(processesOf(container).filter((line) => line.includes("8881"))).toEqual([]);
  });

  test("a file is found in the container's own root, and links do not lead out of it", async () => {
    const container = world.container({ args: ["sh", "-c", "touch /run-here; ln -s /etc/hostname-of-nobody /dangling; ln -s ../../../../../../etc/debian_version /out; sleep 1000"] });
    await container.started();
    const look = async (path: string): Promise<number> => (await container.request<{ errno: number }>("probe", { kind: "file", path })).errno;
    while ((await look("/run-here")) !== 0);
    expect([await look("/nothing"), await look("/out"), await look("/etc/passwd")]).toEqual([2, 2, 0]);
  });
});

describe("a run that failed", () => {
  const crash = (container: TestContainer): Record<string, unknown> => JSON.parse(readFileSync(join(container.directory, "crash.json"), "utf8")) as Record<string, unknown>;

  test("leaves its reason and its last words, whatever the log driver, while the next run goes on", async () => {
    const container = world.container({
      args: ["sh", "-c", "[ -e /second ] && { echo fine; exec sleep 1000; }; touch /second; echo starting; echo cannot open db >&2; kill -SEGV $$"],
      spec: { restart: { policy: "always" }, log: { driver: "none" } },
    });
    await container.started();
    await container.until(() => container.state.status === "running" && container.state.restarts === 1, "the second run");
    expect(crash(container)).toMatchObject({ version: 1, run: 0, exitCode: 139, signal: 11, oomKilled: false, endedBy: "", error: null });
    expect(crash(container)["output"]).toContain("cannot open db\n");
    expect(container.state).toMatchObject({ exitCode: 139, signal: 11, endedBy: "", reason: "" });
  });

  test("only the end of a long output is kept", async () => {
    const container = world.container({ args: ["sh", "-c", "seq 1 20000; exit 1"] });
    await container.started();
    await container.untilExited();
    const output = String(crash(container)["output"]);
    expect(output.length).toBeLessThanOrEqual(4096);
    expect(output.endsWith("19999\n20000\n")).toBe(true);
  });

  test("by health: who ended it and why is in the record; a stop by hand is no crash", async () => {
    const container = world.container({ args: ["sleep", "1000"], spec: { restart: { policy: "always" } } });
    await container.started();
    await container.request("restart", { graceMs: 0, by: "health", reason: "unhealthy: connection refused" });
    expect(crash(container)).toMatchObject({ endedBy: "health", reason: "unhealthy: connection refused", run: 0 });
    await container.request("stop", { graceMs: 0 });
    expect(crash(container)).toMatchObject({ run: 0 });
  });

  test("a start that fails names its step", async () => {
    const container = world.container({ args: ["/no/such"] });
    await container.start();
    expect(crash(container)).toMatchObject({ endedBy: "start-failure", exitCode: 127, output: "" });
    expect(crash(container)["error"]).toMatchObject({ stage: "exec", errno: 2 });
  });

  test("attempts are limited under every policy", async () => {
    const container = world.container({ args: ["sh", "-c", "exit 4"], spec: { restart: { policy: "always", maxAttempts: 2, delayMs: 1 } } });
    await container.started();
    expect(await container.untilExited()).toMatchObject({ exitCode: 4, restarts: 2, failures: 3 });
  });
});
