/**
 * One machine for a test file: a network namespace, a data root and a home of its own, with the images of the
 * examples if asked for. When the tests are over, whatever a failed one left is taken away by force.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect } from "vitest";
import { Running } from "./command.ts";
import type { CommandOptions, Finished } from "./command.ts";
import { cacheRoot, imageLayout } from "./images/index.ts";
import { NetworkNamespace } from "./namespace.ts";
import { recorded, untilRecorded } from "./records.ts";
import type { Recorded } from "./records.ts";
import { Sweep } from "./sweep.ts";
import type { Remains } from "./sweep.ts";

export const repository = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const program = join(repository, "dist/stack");

export interface MachineOptions {
  /** Put the images of the examples into the store. */
  readonly images?: boolean;
  /** Copy this example; `machine.directory` is the copy. */
  readonly example?: string;
}

export class Machine {
  readonly scratch: string;
  readonly root: string;
  /** Where commands run: the stack files of the test. */
  readonly directory: string;
  readonly network: NetworkNamespace;
  readonly sweep: Sweep;
  /** Links of the namespace that the test itself made. */
  readonly links: string[] = [];

  constructor(scratch: string, network: NetworkNamespace) {
    this.scratch = scratch;
    this.root = join(scratch, "root");
    this.directory = join(scratch, "project");
    this.network = network;
    mkdirSync(this.root, { mode: 0o700 });
    mkdirSync(this.directory);
    mkdirSync(join(scratch, "home"));
    this.sweep = new Sweep(this.root);
  }

  get env(): Readonly<Record<string, string>> {
    return {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: join(this.scratch, "home"),
      STACK_ROOT: this.root,
      LANG: "C.UTF-8",
      ...(process.env["ASAN_OPTIONS"] === undefined ? {} : { ASAN_OPTIONS: process.env["ASAN_OPTIONS"] }),
    };
  }

  /** Any command, inside the machine's network. */
  command(argv: readonly string[], options: CommandOptions = {}): Running {
    return new Running([...this.network.enter, ...argv], { cwd: this.directory, ...options, env: { ...this.env, ...options.env } });
  }

  /** `stack ARGS…`, running. */
  start(args: readonly string[], options: CommandOptions = {}): Running {
    return this.command([program, ...args], options);
  }

  /** `stack ARGS…` to its end, whatever that is. */
  async stack(...args: readonly string[]): Promise<Finished> {
    return this.start(args).ended;
  }

  /** `stack ARGS…`, which has to succeed; its standard output. */
  async ok(...args: readonly string[]): Promise<string> {
    const result = await this.stack(...args);
    expect(result.code, `stack ${args.join(" ")}\n${result.output}`).toBe(0);
    return result.stdout;
  }

  /** One JSON object a line, as `ps` and `events` print them; or one array. */
  async json<T>(...args: readonly string[]): Promise<readonly T[]> {
    const text = (await this.ok(...args, "--format", "json")).trim();
    if (text === "") return [];
    return text.startsWith("[") ? (JSON.parse(text) as T[]) : text.split("\n").map((line) => JSON.parse(line) as T);
  }

  /** Containers by their files, sorted by name. */
  get containers(): readonly Recorded[] {
    return recorded(this.root);
  }

  container(name: string): Recorded {
    const found = this.containers.find((c) => c.record.name === name);
    if (found === undefined) throw new Error(`no container ${name}; there are: ${this.containers.map((c) => c.record.name).join(", ")}`);
    return found;
  }

  /** Process id of a container's PID 1, in the machine's (the host's) numbering. */
  pid(name: string): number {
    const pid = this.container(name).state?.pid ?? 0;
    if (pid === 0) throw new Error(`container ${name} has no process: ${JSON.stringify(this.container(name).state)}`);
    return pid;
  }

  /** Until the files of the containers say so. */
  until<T>(what: string, holds: (containers: readonly Recorded[]) => T | undefined | false): Promise<T> {
    return untilRecorded(this.root, what, holds);
  }

  write(path: string, content: string, mode = 0o644): string {
    const file = join(this.directory, path);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, content, { mode });
    return file;
  }

  read(path: string): string {
    return readFileSync(join(this.directory, path), "utf8");
  }

  /** What is left of all stacks of this machine; volumes count unless they may stay. */
  async remains(options: { readonly volumes?: boolean } = {}): Promise<Remains> {
    await this.sweep.untilAgentsEnded();
    return this.sweep.remains({ enter: this.network.enter, links: this.links }, options);
  }

  /** By force, and only what belongs to this machine. */
  async destroy(): Promise<void> {
    for (let round = 0; round < 5; round += 1) {
      const alive = this.sweep.processes();
      if (alive.length === 0) break;
      for (const { pid } of alive) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          continue; // it ended by itself
        }
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const mount of [...this.sweep.mounts()].reverse()) execFileSync("umount", ["-l", mount]);
    for (const left of this.sweep.remains({ enter: this.network.enter })) {
      if (left.startsWith("cgroup ")) removeCgroup(left.slice("cgroup ".length));
    }
    this.sweep.close();
    await this.network.close();
    rmSync(this.scratch, { recursive: true, force: true, maxRetries: 3 });
  }
}

function removeCgroup(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // still populated: the process that was killed above has not gone yet, or it belongs to somebody else
  }
}

/** A data root that has only images, made once for each build of the program, and copied by hard links. */
async function storeWithImages(): Promise<string> {
  const layout = await imageLayout();
  const build = createHash("sha256");
  for (const stamp of ["dist/.hash", "dist/native/.hash"]) build.update(readFileSync(join(repository, stamp)));
  const store = join(cacheRoot, `store-${build.update(layout).digest("hex").slice(0, 16)}`);
  if (existsSync(store)) return store;
  for (const name of readdirSync(cacheRoot)) if (name.startsWith("store-")) rmSync(join(cacheRoot, name), { recursive: true });
  const making = mkdtempSync(join(cacheRoot, "filling-"));
  const loaded = new Running([program, "load", "-i", layout], { env: { PATH: process.env["PATH"] ?? "", HOME: making, STACK_ROOT: making } });
  const { code, output } = await loaded.ended;
  if (code !== 0) throw new Error(`stack load failed:\n${output}`);
  try {
    renameSync(making, store);
  } catch (error) {
    if (!existsSync(store)) throw error;
    rmSync(making, { recursive: true }); // another run was quicker
  }
  return store;
}

export async function openMachine(options: MachineOptions = {}): Promise<Machine> {
  const scratch = mkdtempSync("/var/tmp/stack-test-");
  const machine = new Machine(scratch, await NetworkNamespace.open());
  try {
    if (options.images === true) {
      const store = await storeWithImages();
      for (const part of ["blobs", "layers", "images"]) {
        if (existsSync(join(store, part))) execFileSync("cp", ["-al", join(store, part), join(machine.root, part)]);
      }
    }
    if (options.example !== undefined) cpSync(join(repository, "examples", options.example), machine.directory, { recursive: true });
    return machine;
  } catch (error) {
    await machine.destroy();
    throw error;
  }
}

/** The machine of a test file (or of one `describe`). Opened before its first test, swept and destroyed after its last. */
export function useMachine(options: MachineOptions = {}): { readonly current: Machine } {
  let machine: Machine | undefined;
  beforeAll(async () => {
    machine = await openMachine(options);
  });
  afterAll(async () => {
    if (machine === undefined) return;
    let left: Remains = [];
    try {
      await machine.start(["down", "--volumes", "--remove-orphans", "--timeout", "1"], { timeoutMs: 20_000 }).ended;
      left = await machine.remains({ volumes: true });
    } finally {
      await machine.destroy();
    }
    expect(left, "left behind after the last test").toEqual([]);
  });
  return {
    get current(): Machine {
      if (machine === undefined) throw new Error("the machine is there only while a test runs");
      return machine;
    },
  };
}
