import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { paths, readIfThere, StackError } from "../core/index.ts";
import type { DataRoot } from "../core/index.ts";

/** A content-addressed copy of this program in a data root, so that an upgrade never changes what runs. */
export interface Program {
  /** Of the bundle and the native part together. */
  readonly hash: string;
  /** The agent's entry. */
  readonly agent: string;
  /** The runtime binary. */
  readonly binary: string;
}

/**
 * V8's flags for the agent. A small young generation keeps its heap small; what it compiled is kept, so that the code
 * cache which it leaves for the next agent (build.mjs) holds all that it used.
 */
export const agentFlags: readonly string[] = ["--max-semi-space-size=1", "--no-flush-bytecode"];

let distribution: string | undefined;

/** The directory that holds `agent.js` and `native/`: `dist/` of the package, or the copy that we run from. */
export function distributionDirectory(): string {
  if (distribution !== undefined) return distribution;
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    for (const candidate of [at, join(at, "dist")]) {
      if (existsSync(join(candidate, "native", "stack-runtime"))) return (distribution = candidate);
    }
    if (at === dirname(at)) break;
  }
  throw new StackError("native-unavailable", "The native part of stack is not built", {
    hint: "Run `npm install` in the package's directory; it says what is missing.",
  });
}

const installed = new Map<string, Program>();

/** Copies the program into the data root if it is not there yet; `look` only says where it would be. */
export function installProgram(root: DataRoot, mode: "install" | "look" = "install"): Program {
  const known = installed.get(root.root);
  if (known !== undefined) return known;
  const dist = distributionDirectory();
  const hash = programHash(dist);
  const directory = join(paths.bin(root), hash);
  const program = { hash, agent: join(directory, "agent.js"), binary: join(directory, "native", "stack-runtime") };
  if (mode === "look") return program;
  if (!existsSync(directory)) copyProgram(dist, directory);
  installed.set(root.root, program);
  return program;
}

/** The build's own hashes of what the bundles and the native part were made from. */
function programHash(dist: string): string {
  const stamp = (file: string): string => (readIfThere(join(dist, file)) ?? "-").slice(0, 16);
  return `${stamp(".hash")}${stamp(join("native", ".hash"))}`;
}

function copyProgram(dist: string, directory: string): void {
  const staging = `${directory}.${process.pid}`;
  mkdirSync(dirname(directory), { recursive: true, mode: 0o700 });
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { mode: 0o700 });
  for (const part of ["agent.js", "load.js", "lib", "package.json", "native", ".hash"]) {
    const from = join(dist, part);
    // The command's own bundles stay where they are: an agent starts no command.
    if (existsSync(from)) cpSync(from, join(staging, part), { recursive: true, filter: (file) => !/^(?:stack|ahead)\.cjs/.test(basename(file)) });
  }
  try {
    renameSync(staging, directory);
  } catch (error) {
    rmSync(staging, { recursive: true, force: true });
    if (!existsSync(directory)) throw error; // else another process was quicker
  }
}
