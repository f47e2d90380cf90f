import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Random } from "../fuzz/random.ts";
import { nothing } from "./checker/judge.ts";
import { argv, expectation, stackFile } from "./rounds.ts";
import type { Wish } from "./rounds.ts";
import { kill, World } from "./world.ts";

export interface SoakOptions {
  readonly repository: string;
  readonly minutes: number;
  readonly seed: number;
  readonly say: (line: string) => void;
}

/** One look at a process. */
interface Sample {
  readonly minute: number;
  /** Anonymous resident memory, KiB: what it has allocated, without the pages of files that the kernel lends it. */
  readonly anonymous: number;
  /** Of the agent, what its heap holds after a collection, KiB: memory that V8 only has not given back yet is none of ours. */
  readonly heap: number;
  readonly descriptors: number;
}

/** Growth in an hour that counts as flat. */
const flatHeapKiB = 1024;
const flatMonitorKiB = 64;
const flatDescriptors = 2;

/** The shipped program, without numbered steps: what it does for its tests is not to be measured. */
export async function soak({ repository, minutes, seed, say }: SoakOptions): Promise<boolean> {
  const world = await World.open(repository, { shipped: true });
  const random = new Random(seed);
  const began = Date.now();
  const agent: Sample[] = [];
  const monitor: Sample[] = [];
  let wish: Wish = { version: 1, web: 3, extra: true };
  let commands = 0;
  let told = 0;
  const pids = new Set<number>();
  try {
    const run = async (args: readonly string[]): Promise<void> => {
      const { code, output } = await world.stack(...args);
      commands += 1;
      // What was killed a moment ago may be about to start again.
      if (code !== 0 && !(args[0] === "exec" && output.includes("the container does not run"))) throw new Error(`stack ${args.join(" ")} ended with ${String(code)}\n${output}`);
    };
    const write = (): void => {
      writeFileSync(join(world.project, "stack.yaml"), stackFile(wish, world.marker, world.books));
    };
    write();
    await run(argv("up"));
    while (Date.now() - began < minutes * 60_000) {
      switch (random.int(6)) {
        case 0:
          await run(argv("restart"));
          break;
        case 1:
          await run(["exec", "-T", "web", "/workload", "exit", "0", "0", "0"]);
          break;
        case 2:
          for (const p of (await world.facts()).processes) if (p.what === "container" && p.service === "web" && random.chance(50)) kill(p.pid);
          break;
        default:
          wish = { ...wish, web: 1 + random.int(4), extra: random.chance(50) };
          write();
          await run(argv("scale"));
      }
      const { processes } = await world.facts();
      const minute = (Date.now() - began) / 60_000;
      for (const p of processes) {
        if (p.what === "agent") {
          agent.push({ ...look(p.pid, minute), heap: await heapOf(world, p.pid) });
          pids.add(p.pid);
        }
        // The one whose container ends and starts again for ever.
        if (p.what === "monitor" && processes.some((c) => c.id === p.id && c.service === "flaky")) monitor.push(look(p.pid, minute));
      }
      if (minute >= told + 1) say(`minute ${Math.floor((told = minute))}: ${commands} commands, agent ${shown(agent.at(-1))}, monitor ${shown(monitor.at(-1))}`);
    }
    write();
    await run(argv("up"));
    const wrong = [...(await world.wrong(expectation(wish), 5000))];
    await run(argv("down-volumes"));
    wrong.push(...(await world.wrong(nothing, 5000)));
    for (const line of wrong) say(`WRONG: ${line}`);
    const verdicts = [
      verdict("agent, heap after a collection", agent, (s) => s.heap, flatHeapKiB, "KiB"),
      verdict("agent, anonymous memory (collected before)", agent, (s) => s.anonymous, 2 * flatHeapKiB, "KiB"),
      verdict("agent, descriptors", agent, (s) => s.descriptors, flatDescriptors, ""),
      verdict("monitor of a container that ends ten times a second, anonymous memory", monitor, (s) => s.anonymous, flatMonitorKiB, "KiB"),
      verdict("the same, descriptors", monitor, (s) => s.descriptors, flatDescriptors, ""),
    ];
    for (const { line } of verdicts) say(line);
    say(`seed ${seed}, ${commands} commands in ${minutes} min, ${pids.size} agent`);
    return wrong.length === 0 && pids.size === 1 && verdicts.every(({ flat }) => flat);
  } finally {
    await world.close();
  }
}

function look(pid: number, minute: number): Sample {
  try {
    const anonymous = Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? NaN);
    return { minute, anonymous, heap: NaN, descriptors: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return { minute, anonymous: NaN, heap: NaN, descriptors: NaN }; // it ended while we looked
  }
}

/** Asks the agent (`World.open`, shipped); half a second for the answer. */
async function heapOf(world: World, pid: number): Promise<number> {
  const path = `${world.root}.heap`;
  rmSync(path, { force: true });
  kill(pid, "SIGUSR2");
  for (let patience = 0; patience < 100; patience += 1) {
    if (existsSync(path)) return (JSON.parse(readFileSync(path, "utf8")) as { heapUsed: number }).heapUsed / 1024;
    await delay(5);
  }
  return NaN;
}

const shown = (sample: Sample | undefined): string => (sample === undefined ? "?" : `${Number.isNaN(sample.heap) ? "" : `heap ${Math.round(sample.heap)} KiB, `}${sample.anonymous} KiB, ${sample.descriptors} descriptors`);

/** The slope after the first third, by which everything has been loaded and compiled: of the medians of twelve windows, by least squares. */
function verdict(what: string, samples: readonly Sample[], of: (sample: Sample) => number, limit: number, unit: string): { readonly line: string; readonly flat: boolean } {
  const whole = samples.filter((s) => !Number.isNaN(of(s)));
  const settled = whole.slice(Math.floor(whole.length / 3));
  const size = Math.max(1, Math.floor(settled.length / 12));
  const windows = Array.from({ length: Math.floor(settled.length / size) }, (_, n) => settled.slice(n * size, (n + 1) * size));
  const points = windows.map((window) => ({ x: median(window.map((s) => s.minute)), y: median(window.map(of)) }));
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map((p) => p.x)), mean(points.map((p) => p.y))];
  const slope = points.reduce((sum, p) => sum + (p.x - x) * (p.y - y), 0) / points.reduce((sum, p) => sum + (p.x - x) ** 2, 0);
  const hour = slope * 60;
  const flat = hour <= limit;
  return { flat, line: `${what}: median ${Math.round(median(settled.map(of)))} ${unit}, ${hour.toFixed(1)} ${unit} an hour (flat: up to ${limit}), from ${settled.length} looks${flat ? "" : ": NOT FLAT"}` };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
