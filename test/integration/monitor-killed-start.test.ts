import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Call } from "../support/faults/injector.ts";
import { Injector } from "../support/faults/injector.ts";
import { MONITOR } from "../support/faults/scene.ts";
import { alive, MonitorWorld } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";

// A monitor is killed before each system call that it makes from the container's first process on until it has told its
// starter: most of them come before the container's program is executed, some while it runs and is in no record.

let world: MonitorWorld;
let injector: Injector;
beforeAll(() => {
  world = new MonitorWorld();
  injector = new Injector();
});
afterAll(async () => {
  await world.dispose();
  injector.dispose();
});

const books = (name: string): string => join(world.root, `book-${name}`);

/** Writes down each of its runs where that outlives it. */
function subject(name: string, options: { readonly init: boolean; readonly ends: boolean }): TestContainer {
  const container = world.container({ args: ["sh", "-c", `echo run >> /book/runs; echo one; echo two >&2; echo three; ${options.ends ? "exit 7" : "exec sleep 1000"}`], spec: { init: options.init } });
  mkdirSync(books(name), { recursive: true });
  const config = JSON.parse(readFileSync(join(container.directory, "config.json"), "utf8")) as { mounts: object[] };
  config.mounts.push({ destination: "/book", type: "bind", source: books(name), options: ["bind", "rprivate"] });
  container.write("config.json", config);
  return container;
}

const hidden = (container: TestContainer): readonly string[] => [container.id, world.root, world.cgroup];
const runs = (name: string): string => (existsSync(join(books(name), "runs")) ? readFileSync(join(books(name), "runs"), "utf8") : "");

/** What a monitor does from the birth of the container's first process until it has said that it runs. */
async function steps(init: boolean): Promise<readonly Call[]> {
  const container = subject("list", { init, ends: true });
  const { prefix, read } = injector.command({ list: true, hide: hidden(container), lead: MONITOR, limitMs: 20_000 });
  container.under = prefix;
  await container.started();
  await container.ended;
  const calls = read().calls.filter((call) => call.role === MONITOR);
  const born = calls.findIndex((call) => call.call === "clone3");
  const told = calls.findIndex((call) => call.call === "write" && call.about.startsWith("socket:"));
  expect(born).toBeGreaterThan(0);
  expect(told).toBeGreaterThan(born + 20);
  return calls.slice(born + 1, told + 1).filter(({ call }) => !/^(munmap|mmap|brk|madvise|rt_sigprocmask|close|mprotect)$/.test(call));
}

for (const { init, ends } of [
  { init: true, ends: true },
  { init: true, ends: false },
  { init: false, ends: false },
])
  test(`killed at any step of a start (init: ${init}; ${ends ? "a job" : "a service"}): its container runs once, and no line is lost`, async () => {
    let executed = 0;
    const all = await steps(init);
    for (const [at, step] of all.entries()) {
      const name = `${init}-${ends}-${at}`;
      const where = `${step.call} ${step.about}, the ${step.number}.`;
      const container = subject(name, { init, ends });
      const { prefix, read } = injector.command({ fault: { ...step, error: "EIO", kill: true }, hide: hidden(container), limitMs: 20_000 });
      container.under = prefix;
      const told = await container.start().then(() => true, () => false);
      expect(told, `${where}: it is killed`).toBe(false);
      container.under = [];
      const injected = container.ended;
      const adopted = await container.start("--adopt");
      if (!adopted.ok) {
        expect(adopted.error.stage, where).toBe("adopt");
        expect(container.eventTypes(), where).not.toContain("start");
        await container.started();
      } else executed += 1;
      await container.until(() => container.log().length >= 3, `${where}: three lines`);
      if (ends) expect((await container.untilExited()).exitCode, where).toBe(7);
      else {
        expect(container.state, where).toMatchObject({ status: "running", restarts: 0 });
        await container.request("stop", { graceMs: 0 });
      }
      expect(container.log().map((line) => line.log).sort(), where).toEqual(["one\n", "three\n", "two\n"]);
      expect(runs(name), where).toBe("run\n");
      expect(container.eventTypes().filter((type) => type === "start"), where).toHaveLength(1);
      await injected;
      const report = read();
      expect(report.failed, where).toHaveLength(1);
      expect(report.left, where).toEqual([]);
      expect(alive(container.state.monitorPid) && container.state.status === "exited" && container.state.pid > 0).toBe(false);
    }
    expect(executed, "some were executed already").toBeGreaterThan(3);
    expect(executed).toBeLessThan(all.length);
  }, 120_000);
