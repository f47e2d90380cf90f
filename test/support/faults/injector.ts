import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** One system call: whose, which, what about, and which of these (from 1). */
export interface Call {
  /** Place in the tree of processes: `0` is the program, `0.1` its second child. */
  readonly role: string;
  readonly call: string;
  readonly number: number;
  /** A path, what a descriptor leads to, an option. */
  readonly about: string;
}

export type Errno = keyof typeof constants.errno;

export interface Fault extends Call {
  readonly error: Errno;
  /** All calls of that name that follow fail too. */
  readonly on?: boolean;
  /** Instead of failing: whoever makes the call is killed before it. */
  readonly kill?: boolean;
}

export interface Report {
  readonly calls: readonly Call[];
  readonly failed: readonly Call[];
  /** Exit status by role; `exec`: it became another program. */
  readonly gone: ReadonlyMap<string, string>;
  readonly left: readonly string[];
  readonly overLimit: boolean;
  /** The injector itself came to its end. */
  readonly complete: boolean;
}

/** `native/test/fault_injector.cc`, compiled for a test. */
export class Injector {
  readonly #directory = mkdtempSync(join(tmpdir(), "stack-injector-"));
  readonly #program = join(this.#directory, "fault_injector");
  #reports = 0;

  constructor() {
    const source = fileURLToPath(new URL("../../../native/test/fault_injector.cc", import.meta.url));
    execFileSync("g++", ["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-o", this.#program, source, "-lseccomp"]);
  }

  /** A prefix that runs a program under it; `read` when that has ended. */
  command(options: { readonly fault?: Fault; readonly list?: boolean; readonly hide: readonly string[]; readonly lead?: string; readonly limitMs: number }): { readonly prefix: readonly string[]; readonly read: () => Report } {
    const report = join(this.#directory, `report-${this.#reports++}`);
    const { fault } = options;
    const fail = fault === undefined ? [] : ["--fail", fault.role, fault.call, fault.about, String(fault.number), String(constants.errno[fault.error]), ...(fault.on === true ? ["--on"] : []), ...(fault.kill === true ? ["--kill"] : [])];
    const hide = options.hide.flatMap((text) => ["--hide", text]);
    const prefix = [this.#program, ...hide, "--report", report, ...(options.lead === undefined ? [] : ["--lead", options.lead]), "--limit", String(options.limitMs), ...(options.list === true ? ["--list"] : []), ...fail, "--"];
    const read = (): Report => {
      const text = readFileSync(report, "utf8");
      rmSync(report);
      return parseReport(text);
    };
    return { prefix, read };
  }

  dispose(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function parseReport(text: string): Report {
  const calls: Call[] = [];
  const failed: Call[] = [];
  const gone = new Map<string, string>();
  const left: string[] = [];
  let overLimit = false;
  let complete = false;
  for (const line of text.split("\n")) {
    const [kind = "", role = "", call = "", number = "", about = ""] = line.split(" ");
    if (kind === "call" || kind === "failed") (kind === "call" ? calls : failed).push({ role, call, number: Number(number), about });
    else if (kind === "gone") gone.set(role, call);
    else if (kind === "left") left.push(line);
    else if (kind === "limit") overLimit = true;
    else if (kind === "end") complete = true;
  }
  return { calls, failed, gone, left, overLimit, complete };
}
