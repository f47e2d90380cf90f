// What keep.mjs measures. A side is one of the two contestants; see stack-side.mjs for its shape. `side.helper` is started.c.
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, watch } from "node:fs";
import { join } from "node:path";
import { processes } from "./processes.mjs";

const row = (name, unit, target) => ({ name, unit, ...(target === undefined ? {} : { target }), values: {} });
const add = (r, side, value) => (r.values[side.name] ??= []).push(value);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** CLOCK_MONOTONIC, as the helper's. */
const monotonic = () => Number(process.hrtime.bigint());
const read = (path) => (existsSync(path) ? readFileSync(path, "utf8") : "");

/** An empty directory that containers see as /out, with the helper in it. */
function output(side) {
  const out = join(side.directory, "out");
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  copyFileSync(side.helper, join(out, "started"));
  return {
    volumes: `volumes: ["./out:/out"]`,
    times: (file) => read(join(out, file)).trim().split("\n").filter((line) => line !== "").map(Number),
    /** Until the file has so many lines. */
    async until(file, count) {
      for (const deadline = Date.now() + 60_000; ; ) {
        if (this.times(file).length >= count) return this.times(file);
        if (Date.now() > deadline) throw new Error(`${file}: not ${count} starts within a minute`);
        await changed(out, 1000);
      }
    },
  };
}

/** A write to something in the directory, or so many milliseconds. */
function changed(directory, ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      watcher.close();
      resolve();
    };
    const watcher = watch(directory, done);
    const timer = setTimeout(done, ms);
  });
}

async function withProject(side, name, text, work) {
  side.project(name, text);
  side.compose("up", "-d");
  try {
    await work();
  } finally {
    side.use(name);
    side.compose("down", "-t", "0");
  }
}

/** From `kill -9` of the main process to the first instruction of its successor; no back-off is due after a run of ten seconds. */
export async function restarts(sides, rounds) {
  const result = row("`kill -9` of the main process → its successor is executed", "ms", 15);
  for (const side of sides) {
    const out = output(side);
    await withProject(side, "restarting", `services:\n  s1:\n    image: ${side.image("busybox:1")}\n    restart: always\n    command: ["/out/started", "/out/times"]\n    ${out.volumes}\n`, async () => {
      await out.until("times", 1);
      for (let round = 1; round <= rounds; round += 1) {
        await pause(10_200);
        const at = monotonic();
        process.kill(side.mainPid("restarting", "s1"), "SIGKILL");
        add(result, side, ((await out.until("times", round + 1))[round] - at) / 1e6);
      }
    });
  }
  return [result];
}

/** The same of one declared process, which init starts again; after a run of 300 ms that is success enough. */
export async function subProcesses(sides, rounds) {
  const result = row("`kill -9` of a declared process → its successor is executed", "ms", 3);
  for (const side of sides.filter((each) => each.name === "stack")) {
    const out = output(side);
    const processOf = (name) => `{command: [/out/started, /out/${name}], restart: always, restart_policy: {first_delay: 0s, reset_after: 200ms}}`;
    const text = `services:\n  s1:\n    image: ${side.image("busybox:1")}\n    ${out.volumes}\n    x-stack:\n      processes:\n        one: ${processOf("one")}\n        two: ${processOf("two")}\n`;
    await withProject(side, "processes", text, async () => {
      await out.until("one", 1);
      await out.until("two", 1);
      for (let round = 1; round <= rounds; round += 1) {
        await pause(300);
        const { pid } = processes().find((p) => p.command === "/out/started /out/one ");
        const at = monotonic();
        process.kill(pid, "SIGKILL");
        add(result, side, ((await out.until("one", round + 1))[round] - at) / 1e6);
      }
    });
  }
  return [result];
}

/** A job, and a service that waits for it to complete. */
export async function gates(sides, rounds) {
  const began = row("end of a job → the start of its dependent is begun", "ms", 5);
  const executed = row("end of a job → its dependent is executed", "ms");
  for (const side of sides) {
    for (let round = 0; round < rounds; round += 1) {
      const out = output(side);
      const service = (name, more) => `  ${name}:\n    image: ${side.image("busybox:1")}\n    ${out.volumes}\n    ${more}\n`;
      const text = `services:\n${service("job", `command: ["/out/started", "/out/job", "300"]`)}${service("after", `command: ["/out/started", "/out/after"]\n    depends_on: {job: {condition: service_completed_successfully}}`)}`;
      await withProject(side, "gates", text, async () => {
        const [, end] = await out.until("job", 2);
        const [start] = await out.until("after", 1);
        add(executed, side, (start - end) / 1e6);
        if (side.name !== "stack") return;
        const timings = JSON.parse(side.compose("analyze", "--format", "json").stdout);
        const starting = timings.operations.find(({ id }) => id === "start-container gates-after-1");
        // The record's times are of the clock on the wall.
        const wall = Date.parse(timings.began) + starting.time.start;
        add(began, side, wall - (Date.now() - (monotonic() - end) / 1e6));
      });
    }
  }
  return [began, executed];
}

/** Processor time that one health check by exec costs everybody: the agent, the monitor, and whatever they start. */
export async function probes(sides, count) {
  const result = row("processor time of a health check by exec", "ms", 5);
  for (const side of sides.filter((each) => each.name === "stack")) {
    const out = output(side);
    const check = `healthcheck: {test: ["CMD", "/out/started", "/out/probes", "0"], interval: 50ms}`;
    const text = `services:\n  s1:\n    image: ${side.image("busybox:1")}\n    command: ["/out/started", "/out/times"]\n    ${out.volumes}\n    ${check}\n`;
    await withProject(side, "probes", text, async () => {
      // Each probe writes two lines: its start and its end.
      const first = (await out.until("probes", 20)).length;
      const before = busyNs(side);
      const last = (await out.until("probes", first + 2 * count)).length;
      add(result, side, ((busyNs(side) - before) / 1e6 / (last - first)) * 2);
    });
  }
  return [result];
}

/** Nanoseconds on a processor of the agent and the monitors, their threads and the children that they have waited for. */
function busyNs(side) {
  let ns = 0;
  for (const { pid } of side.own(["agent", "monitor"])) {
    for (const task of readdirSync(`/proc/${pid}/task`)) ns += Number(read(`/proc/${pid}/task/${task}/schedstat`).split(" ")[0]);
    const [, fields] = /\) (.*)$/.exec(read(`/proc/${pid}/stat`).trim());
    const [cutime, cstime] = fields.split(" ").slice(13, 15).map(Number);
    ns += (cutime + cstime) * 1e7;
  }
  return ns;
}

/** How often the agent of ten containers without probes is woken while nothing happens. */
export async function idle(sides, ms) {
  const agent = row(`wake-ups of the idle agent in ${ms / 1000} s`, "", 0);
  const monitors = row(`wake-ups of ten idle monitors in ${ms / 1000} s`, "", 0);
  const inits = row(`wake-ups of ten idle inits in ${ms / 1000} s`, "", 0);
  for (const side of sides.filter((each) => each.name === "stack")) {
    await withProject(side, "idle", ten(side), async () => {
      await pause(3000); // what a start leaves behind (timers, garbage) is over
      for (const [kind, r] of [["agent", agent], ["monitor", monitors], ["init", inits]]) {
        const before = wakeUps(side, kind);
        await pause(ms);
        add(r, side, wakeUps(side, kind) - before);
      }
    });
  }
  return [agent, monitors, inits];
}

/** Of all threads: how often each was put on a processor. */
function wakeUps(side, kind) {
  let count = 0;
  for (const { pid } of side.own([kind])) for (const task of readdirSync(`/proc/${pid}/task`)) count += Number(read(`/proc/${pid}/task/${task}/schedstat`).split(" ")[2]);
  return count;
}

const ten = (side, count = 10) => `services:\n  s1:\n    image: ${side.image("busybox:1")}\n    command: [sleep, "100000"]\n    scale: ${count}\n`;

export async function memoryOf(sides, counts) {
  const rows = [];
  const limits = { 10: 60, 200: 90 };
  const each = { monitor: row("resident memory of a monitor", "MB", 1), init: row("resident memory of our init", "MB", 1) };
  const own = { monitor: row("of it nobody else's (private)", "MB"), init: row("of it nobody else's (private) ", "MB") };
  for (const count of counts) {
    const agent = row(`resident memory of the agent, ${count} containers`, "MB", limits[count]);
    const all = row(`memory of the tool's own processes, ${count} containers (PSS)`, "MB");
    rows.push(agent, all);
    for (const side of sides) {
      await withProject(side, "memory", ten(side, count), async () => {
        await pause(3000);
        add(all, side, side.memory());
        if (side.name !== "stack") return;
        for (const { pid } of side.own(["agent"])) add(agent, side, resident(pid));
        for (const kind of ["monitor", "init"])
          for (const { pid } of side.own([kind])) {
            add(each[kind], side, resident(pid));
            add(own[kind], side, private_(pid));
          }
      });
    }
  }
  return [...rows, each.monitor, own.monitor, each.init, own.init];
}

const resident = (pid) => Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024;

function private_(pid) {
  const rollup = read(`/proc/${pid}/smaps_rollup`);
  return ["Private_Clean", "Private_Dirty"].reduce((sum, name) => sum + Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? 0), 0) / 1024;
}
