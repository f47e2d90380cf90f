import { execFileSync } from "node:child_process";
import { openSync, closeSync, readSync, readdirSync, rmSync, statSync, statfsSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Finished } from "../support/command.ts";
import type { Mode } from "./program/board.ts";
import { nothing } from "./checker/judge.ts";
import type { Facts } from "./checker/facts.ts";
import { argv, commands, expectation, Known, Rounds, stackFile } from "./rounds.ts";
import type { Command, Fault, Round } from "./rounds.ts";
import { kill } from "./world.ts";
import type { World } from "./world.ts";

export interface Options {
  readonly seed: number;
  /** Ends after so many rounds, or at this time (milliseconds since the epoch), whatever is sooner. */
  readonly rounds: number;
  readonly until: number;
  /** A blow of this kind at each step in turn, instead of what the seed brings. */
  readonly every?: Mode;
  /** Rounds to do instead of those of the seed. */
  readonly replay?: readonly Round[];
  /** What goes on in the background after a command may take so long, milliseconds; 15,000. */
  readonly patienceMs?: number;
  readonly say?: (line: string) => void;
}

export interface Outcome {
  readonly rounds: number;
  readonly known: Known;
  /** What was found wrong; empty: nothing. The run ends with the first round that finds something. */
  readonly wrong: readonly string[];
  /** The rounds since nothing was left, the last of them the one that failed: enough for a replay. */
  readonly history: readonly Round[];
  readonly output: string;
}

export async function chaos(world: World, options: Options): Promise<Outcome> {
  const known = new Known();
  const rounds = new Rounds(options.seed, known);
  const driver = new Driver(world, known, options.patienceMs ?? 15_000);
  let history: Round[] = [];
  let done = 0;
  for (const planned = [...(options.replay ?? [])]; done < options.rounds && Date.now() < options.until; done += 1) {
    const round = options.replay !== undefined ? planned.shift() : options.every !== undefined ? rounds.every(options.every) : rounds.next();
    if (round === undefined) break;
    history.push(round);
    const { wrong, line, output } = await driver.round(round);
    options.say?.(line);
    if (wrong.length > 0) return { rounds: done + 1, known, wrong, history, output };
    if (round.heal === "down") history = [];
  }
  return { rounds: done, known, wrong: [], history: [], output: "" };
}

class Driver {
  readonly #world: World;
  readonly #known: Known;
  readonly #patienceMs: number;
  readonly #native = new Map<string, number>();
  #traced = 0;
  /** Monitors that were killed since the books were looked at. */
  #killed = 0;
  #amnesty = false;

  constructor(world: World, known: Known, patienceMs: number) {
    this.#world = world;
    this.#patienceMs = patienceMs;
    this.#known = known;
  }

  async round(round: Round): Promise<{ readonly wrong: readonly string[]; readonly line: string; readonly output: string }> {
    const world = this.#world;
    const began = Date.now();
    writeFileSync(join(world.project, "stack.yaml"), stackFile(round.wish, world.marker, world.books));
    const fault = await this.#inflict(round.fault);
    if (round.blow !== undefined) world.board.arm(round.blow);
    const wrong: string[] = [];
    let attacked: Finished | undefined;
    try {
      attacked = await this.#attack(round);
    } catch (error) {
      wrong.push(String(error));
    }
    world.board.disarm();
    await fault();
    const { fallen } = world.board;
    if (round.blow?.step !== undefined) this.#known.tried.set(round.blow.step, (this.#known.tried.get(round.blow.step) ?? 0) + 1);
    if (round.blow !== undefined && fallen !== undefined) {
      this.#known.hit.set(fallen.step, (this.#known.hit.get(fallen.step) ?? 0) + 1);
      if (round.blow.role === "monitor") this.#killed += 1;
      if (round.blow.mode === "fail") this.#amnesty = true; // a failed write loses what it was to write
    }
    // What is in a pipe goes with the last who holds it open: monitor and container.
    if (round.fault.kind !== "none" || round.also.includes("containers")) this.#amnesty = true;
    this.#learn(round.command);
    if (/^\s+at .*\.(js|cjs|ts):\d+/m.test(attacked?.output ?? "")) wrong.push("the command showed a stack of calls");
    if (round.reboot) {
      await world.reboot();
      this.#amnesty = true;
    }
    wrong.push(...(await this.#nobodyLost(round)));
    const healed = await this.#heal(round);
    this.#learn(round.heal === "up" ? "up" : "down-volumes");
    wrong.push(...healed.wrong);
    const what = fallen === undefined || round.blow === undefined ? (round.blow === undefined ? round.fault.kind : "missed") : `${round.blow.mode} ${fallen.step}`;
    const line = `${round.number} ${round.command} [${what}]${round.also.length > 0 ? ` with ${round.also.join("+")}` : ""}${round.reboot ? " reboot" : ""} → ${attacked?.code ?? "?"}, ${round.heal} ${healed.code ?? "?"}, ${Date.now() - began} ms${wrong.length > 0 ? " WRONG" : ""}`;
    return { wrong, line, output: `${attacked?.output ?? ""}\n--- ${round.heal}\n${healed.output}` };
  }

  async #attack(round: Round): Promise<Finished> {
    const running = this.#world.start(argv(round.command));
    const { blow } = round;
    // A blow at no step falls at a time: a pseudo-random one, by the round's number.
    const due = Date.now() + (blow === undefined && round.also.length > 0 ? (round.number * 37) % 300 : Infinity);
    const life = { over: false };
    const ended = running.ended.finally(() => {
      life.over = true;
    });
    ended.catch(() => undefined);
    let struck = round.also.length === 0;
    while (!life.over && !struck) {
      if ((blow !== undefined && this.#world.board.fallen !== undefined) || Date.now() >= due) {
        struck = true;
        await this.#strike(round.also, running.pid);
      } else await delay(2);
    }
    const finished = await ended;
    if (!struck && blow === undefined) await this.#strike(round.also, undefined);
    return finished;
  }

  async #strike(who: Round["also"], command: number | undefined): Promise<void> {
    const { processes } = await this.#world.facts();
    for (const victim of who) {
      if (victim === "command" && command !== undefined) kill(command);
      const kind = { agent: "agent", monitors: "monitor", containers: "container", command: undefined }[victim];
      for (const p of processes) {
        if (p.what !== kind) continue;
        kill(p.pid);
        if (kind === "monitor") this.#killed += 1;
      }
    }
  }

  /** Returns what takes the fault away again. */
  async #inflict(fault: Fault): Promise<() => Promise<void>> {
    switch (fault.kind) {
      case "none":
        return () => Promise.resolve();
      case "disk": {
        const ballast = join(this.#world.root, "ballast");
        fill(ballast, this.#world.root, fault.pages);
        return () => {
          rmSync(ballast, { force: true });
          return Promise.resolve();
        };
      }
      case "descriptors":
      case "memory": {
        const { processes } = await this.#world.facts();
        for (const p of processes) if (p.what === fault.of) limit(p.pid, fault.kind, fault.margin);
        return async () => {
          for (const p of (await this.#world.facts()).processes) if (p.what === fault.of) unlimit(p.pid);
        };
      }
    }
  }

  #learn(command: Command): void {
    const { board } = this.#world;
    for (const [step, count] of board.native()) {
      if ((this.#native.get(step) ?? 0) < count) this.#known.add(command, step);
      this.#native.set(step, count);
    }
    const size = statSync(board.trace).size;
    const fresh = Buffer.alloc(size - this.#traced);
    const fd = openSync(board.trace, "r");
    readSync(fd, fresh, 0, fresh.length, this.#traced);
    closeSync(fd);
    this.#traced = size;
    for (const step of fresh.toString().split("\n")) if (step !== "") this.#known.add(command, step);
  }

  /** Whatever runs is known: `ps` names every container that the kernel has a process of. */
  async #nobodyLost(round: Round): Promise<readonly string[]> {
    if (round.number % 4 !== 0) return [];
    const before = runningIds(await this.#world.facts());
    const { code, output, stdout } = await this.#world.stack("ps", "-a", "-q", "--no-trunc");
    if (code !== 0) return [`ps -a ended with ${code}:\n${output}`];
    const after = runningIds(await this.#world.facts());
    const shown = new Set(stdout.split("\n"));
    return [...before].filter((id) => after.has(id) && !shown.has(id)).map((id) => `ps -a does not know container ${id.slice(0, 12)}, which runs`);
  }

  async #heal(round: Round): Promise<{ readonly wrong: readonly string[]; readonly code: number | null; readonly output: string }> {
    const world = this.#world;
    const wrong: string[] = [];
    let result: Finished;
    try {
      result = await world.stack(...(round.heal === "up" ? argv("up") : argv("down-volumes")));
    } catch (error) {
      return { wrong: [String(error)], code: null, output: String(error) };
    }
    if (result.code !== 0) wrong.push(`${round.heal} ended with ${result.code}`);
    wrong.push(...(await world.wrong(round.heal === "up" ? expectation(round.wish) : nothing, this.#patienceMs)));
    wrong.push(...(await world.wrongBooks({ killed: this.#killed, amnesty: this.#amnesty })));
    this.#killed = 0;
    this.#amnesty = false;
    return { wrong, code: result.code, output: result.output };
  }
}

const runningIds = (facts: Facts): ReadonlySet<string> => new Set(facts.processes.filter((p) => p.what === "container" && p.innerPid === 1 && p.id !== "").map((p) => p.id));

/** Fills the file system but for some pages. */
function fill(path: string, root: string, pages: number): void {
  const { bavail, bsize } = statfsSync(root);
  const fd = openSync(path, "w");
  const block = Buffer.alloc(bsize * 64);
  try {
    for (let left = (bavail - pages) * bsize; left > 0; left -= block.length) writeSync(fd, block, 0, Math.min(left, block.length));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  } finally {
    closeSync(fd);
  }
}

/** Soft limits alone: raising them again takes no privilege. */
function limit(pid: number, what: "descriptors" | "memory", margin: number): void {
  try {
    const [option, used] =
      what === "descriptors" ? ["--nofile", Math.max(...readdirSync(`/proc/${pid}/fd`).map(Number)) + 1] : ["--as", Number(execFileSync("sed", ["-n", "s/^VmSize:\\s*\\([0-9]*\\) kB/\\1/p", `/proc/${pid}/status`], { encoding: "utf8" })) * 1024];
    execFileSync("prlimit", ["--pid", String(pid), `${option}=${used + margin}:`], { stdio: "ignore" });
  } catch {
    // it ended
  }
}

function unlimit(pid: number): void {
  for (const option of ["--nofile", "--as"])
    try {
      const hard = execFileSync("prlimit", ["--pid", String(pid), option, "--noheadings", "--raw", "--output", "HARD"], { encoding: "utf8" }).trim();
      execFileSync("prlimit", ["--pid", String(pid), `${option}=${hard}:`], { stdio: "ignore" });
    } catch {
      // it ended
    }
}

/** Steps known, and at how many a blow has fallen, by role. */
export function coverage(known: Known): string {
  const by = (role: string): string => {
    const steps = [...known.steps].filter((step) => step.startsWith(`${role} `));
    return `${role} ${steps.filter((step) => known.hit.has(step)).length}/${steps.length}`;
  };
  return `steps hit of steps known: ${["agent", "monitor", "child", "cli"].map(by).join(", ")}; commands ${commands.length}`;
}
