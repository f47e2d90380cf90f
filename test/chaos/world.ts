import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { Running } from "../support/command.ts";
import type { Finished } from "../support/command.ts";
import { Layout } from "../support/images/layout.ts";
import { tar } from "../support/images/tar.ts";
import { NetworkNamespace } from "../support/namespace.ts";
import type { BookQuestion } from "./checker/books.ts";
import type { Facts } from "./checker/facts.ts";
import type { Expectation } from "./checker/judge.ts";
import type { Answer, Question } from "./checker/main.ts";
import { Board } from "./program/board.ts";
import { breakages } from "./program/broken.ts";
import { buildProgram } from "./program/build.ts";

/** Bytes of the data root: enough for what runs, and soon full. */
const rootSize = "192m";

export interface WorldOptions {
  /** The name of a breakage. */
  readonly broken?: string;
  /** The program as it is, without numbered steps. */
  readonly shipped?: boolean;
}

/**
 * A machine for chaos: a network namespace, a data root that is a small file system of its own, a program with numbered
 * steps, one tiny image, and the checker.
 */
export class World {
  readonly scratch: string;
  readonly root: string;
  readonly project: string;
  readonly books: string;
  readonly network: NetworkNamespace;
  readonly board: Board;
  readonly #checker: ChildProcess;
  readonly #answers: ((answer: Answer) => void)[] = [];

  private constructor(scratch: string, network: NetworkNamespace, board: Board) {
    this.scratch = scratch;
    this.root = join(scratch, "root");
    this.project = join(scratch, "project");
    this.books = join(scratch, "books");
    this.network = network;
    this.board = board;
    const [file = "", ...enter] = network.enter;
    this.#checker = spawn(file, [...enter, process.execPath, join(scratch, "checker.mjs"), this.root, this.marker], { stdio: ["pipe", "pipe", "inherit"] });
    const { stdout } = this.#checker;
    if (stdout === null) throw new Error("the checker has no output");
    createInterface({ input: stdout }).on("line", (line) => this.#answers.shift()?.(JSON.parse(line) as Answer));
  }

  /** In the environment of every process of its containers. */
  get marker(): string {
    return `CHAOS=${this.scratch}`;
  }

  static async open(repository: string, { broken, shipped = false }: WorldOptions = {}): Promise<World> {
    const scratch = mkdtempSync("/var/tmp/stack-chaos-");
    const breakage = broken === undefined ? undefined : breakages[broken];
    if (broken !== undefined && breakage === undefined) throw new Error(`no breakage "${broken}"; there are: ${Object.keys(breakages).join(", ")}`);
    for (const name of ["root", "project", "books", "home"]) mkdirSync(join(scratch, name), { mode: 0o700 });
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${rootSize},mode=700`, "chaos", join(scratch, "root")]);
    const network = await NetworkNamespace.open();
    try {
      if (shipped) copyProgram(join(repository, "dist"), join(scratch, "program"));
      else await buildProgram(repository, join(scratch, "program"), breakage);
      await build({ entryPoints: [join(repository, "test/chaos/checker/main.ts")], outfile: join(scratch, "checker.mjs"), bundle: true, platform: "node", format: "esm", target: "node20.19" });
      const layout = workloadImage(repository, scratch);
      const world = new World(scratch, network, new Board(join(scratch, "root")));
      const loaded = await world.stack("load", "-i", layout);
      if (loaded.code === 0) return world;
      world.#checker.kill();
      throw new Error(`stack load failed:\n${loaded.output}`);
    } catch (error) {
      await network.close();
      execFileSync("umount", ["-l", join(scratch, "root")]);
      rmSync(scratch, { recursive: true, force: true });
      throw error;
    }
  }

  /** `stack ARGS…`, running. */
  start(args: readonly string[], timeoutMs = 60_000): Running {
    const env = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", HOME: join(this.scratch, "home"), STACK_ROOT: this.root, LANG: "C.UTF-8" };
    return new Running([...this.network.enter, process.execPath, join(this.scratch, "program/stack.js"), ...args], { cwd: this.project, env, timeoutMs });
  }

  stack(...args: readonly string[]): Promise<Finished> {
    return this.start(args).ended;
  }

  async #ask(question: Question): Promise<Answer> {
    return new Promise((resolve) => {
      this.#answers.push(resolve);
      this.#checker.stdin?.write(`${JSON.stringify(question)}\n`);
    });
  }

  /** What is not as it has to be, once what goes on in the background has had its time. */
  async wrong(expected: Expectation, withinMs: number): Promise<readonly string[]> {
    const answer = await this.#ask({ ask: "state", expected, withinMs });
    return "wrong" in answer ? answer.wrong : [];
  }

  async wrongBooks(question: Omit<BookQuestion, "root" | "books">): Promise<readonly string[]> {
    const answer = await this.#ask({ ask: "books", root: this.root, books: this.books, ...question });
    return "wrong" in answer ? answer.wrong : [];
  }

  async facts(): Promise<Facts> {
    const answer = await this.#ask({ ask: "facts" });
    if (!("facts" in answer)) throw new Error("the checker did not answer with facts");
    return answer.facts;
  }

  /** What a restart of the machine leaves: files with another boot's id, and nothing in the kernel. */
  async reboot(): Promise<void> {
    for (let round = 0; round < 50; round += 1) {
      const { processes } = await this.facts();
      if (processes.length === 0) break;
      for (const { pid } of processes) kill(pid);
    }
    this.#wipe(await this.facts());
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    for (const path of filesBelow(this.root)) {
      const text = readFileSync(path, "utf8");
      if (!text.includes(boot)) continue;
      writeFileSync(`${path}.new`, text.replaceAll(boot, "00000000-0000-4000-8000-000000000000"));
      renameSync(`${path}.new`, path);
    }
  }

  #wipe(facts: Facts): void {
    const [file = "", ...enter] = this.network.enter;
    const inside = (...command: string[]): void => {
      try {
        execFileSync(file, [...enter, ...command], { stdio: "ignore" });
      } catch {
        // it went with something that was taken away before
      }
    };
    for (const mount of [...facts.mounts].reverse()) execFileSync("umount", ["-l", join(this.root, mount)]);
    for (const link of facts.host.links) if (link !== "lo") inside("ip", "link", "delete", link);
    for (const table of facts.host.tables) inside("nft", "delete", "table", ...table.split(" "));
    for (const { path } of [...facts.cgroups].reverse()) removeCgroup(path);
  }

  /** By force. */
  async close(): Promise<void> {
    for (let round = 0; round < 50; round += 1) {
      const { processes } = await this.facts();
      if (processes.length === 0) break;
      for (const { pid } of processes) kill(pid);
    }
    this.#wipe(await this.facts());
    this.#checker.stdin?.end();
    await new Promise((resolve) => this.#checker.once("exit", resolve));
    this.board.close();
    await this.network.close();
    execFileSync("umount", ["-l", this.root]);
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

/** The program as it is, but that its agent answers SIGUSR2 with what its heap holds after a collection, in `ROOT.heap`. */
function copyProgram(from: string, to: string): void {
  cpSync(from, to, { recursive: true });
  const probe = `process.on("SIGUSR2", () => {
  require("node:v8").setFlagsFromString("--expose-gc");
  require("node:vm").runInNewContext("gc")();
  const path = process.env.STACK_ROOT + ".heap";
  require("node:fs").writeFileSync(path + ".new", JSON.stringify(process.memoryUsage()));
  require("node:fs").renameSync(path + ".new", path);
});
`;
  writeFileSync(join(to, "agent.js"), readFileSync(join(to, "agent.js"), "utf8").replace('"use strict";\n', `"use strict";\n${probe}`));
}

export function kill(pid: number, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it ended by itself
  }
}

function removeCgroup(path: string): void {
  const names = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of names) removeCgroup(join(path, name));
  try {
    rmdirSync(path);
  } catch {
    // somebody in it has not gone yet; the checker will say so
  }
}

function filesBelow(root: string): readonly string[] {
  const found: string[] = [];
  const walk = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory() && !["bin", "blobs", "diff", "upper", "work", "_data"].includes(entry.name)) walk(path);
      else if (entry.isFile() && entry.name.endsWith(".json")) found.push(path);
    }
  };
  walk(root);
  return found;
}

/** One static program in an image. */
function workloadImage(repository: string, scratch: string): string {
  const binary = join(scratch, "workload");
  execFileSync("gcc", ["-static", "-Os", "-Wall", "-Wextra", "-Werror", "-s", "-o", binary, join(repository, "test/chaos/program/workload.c")]);
  const layout = new Layout(join(scratch, "layout"));
  layout.image("chaos:1", [layout.layer(tar([{ path: "workload", content: readFileSync(binary), mode: 0o755 }]))], { Cmd: ["/workload"] });
  return layout.directory;
}
