import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { performance } from "node:perf_hooks";

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, in order of arrival. */
  readonly output: string;
  readonly ms: number;
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
  /** Kept open: the test writes to it. */
  readonly interactive?: boolean;
  /** The test fails, and says what was printed, when the command takes longer. Default 90 s. */
  readonly timeoutMs?: number;
}

/** A command that runs. */
export class Running {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #watchers = new Set<() => void>();
  readonly ended: Promise<Finished>;
  #stdout = "";
  #stderr = "";
  #output = "";
  #over = false;

  constructor(argv: readonly string[], options: CommandOptions) {
    const [file = "", ...args] = argv;
    const started = performance.now();
    this.#child = spawn(file, args, { cwd: options.cwd, env: { ...options.env }, stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stdin.on("error", () => undefined); // a command that ends without reading is no fault of the test's
    if (options.input !== undefined) this.#child.stdin.write(options.input);
    if (options.interactive !== true) this.#child.stdin.end();
    const take = (stream: "stdout" | "stderr") => (part: string) => {
      if (stream === "stdout") this.#stdout += part;
      else this.#stderr += part;
      this.#output += part;
      for (const watch of this.#watchers) watch();
    };
    this.#child.stdout.setEncoding("utf8").on("data", take("stdout"));
    this.#child.stderr.setEncoding("utf8").on("data", take("stderr"));
    const limit = options.timeoutMs ?? 90_000;
    this.ended = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#child.kill("SIGKILL");
        reject(new Error(`${argv.join(" ")} did not end within ${limit} ms; it printed:\n${this.#output}`));
      }, limit);
      this.#child.on("error", reject);
      this.#child.on("close", (code, signal) => {
        clearTimeout(timer);
        this.#over = true;
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr, output: this.#output, ms: performance.now() - started });
        for (const watch of this.#watchers) watch();
      });
    });
    this.ended.catch(() => undefined); // whoever waits for it hears of it
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get output(): string {
    return this.#output;
  }

  write(text: string): void {
    this.#child.stdin.write(text);
  }

  endInput(): void {
    this.#child.stdin.end();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Until the output has this; fails when the command ends before. */
  async until(pattern: RegExp | string, timeoutMs = 30_000): Promise<string> {
    return new Promise((resolve, reject) => {
      const found = () => (typeof pattern === "string" ? this.#output.includes(pattern) : pattern.test(this.#output));
      const finish = (end: () => void) => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
        end();
      };
      const watch = () => {
        if (found()) finish(() => resolve(this.#output));
        else if (this.#over) finish(() => reject(new Error(`it ended without ${String(pattern)}; it printed:\n${this.#output}`)));
      };
      const timer = setTimeout(() => finish(() => reject(new Error(`no ${String(pattern)} within ${timeoutMs} ms; it printed:\n${this.#output}`))), timeoutMs);
      this.#watchers.add(watch);
      watch();
    });
  }
}
