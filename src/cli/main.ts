import { resolveDataRoot, StackError, systemClock } from "../core/index.ts";
import type { Context, Doors } from "./context.ts";
import { reportError } from "./errors.ts";
import { ProcessInterrupts } from "./interrupts.ts";
import { runProgram } from "./program.ts";
import { StreamSink } from "./sink.ts";

/** The way into the other rooms; each is loaded when a command first asks for it. */
const doors: Doors = {
  root: () => resolveDataRoot(process.env, process.getuid?.() ?? 0),
  async loadProject(request) {
    const { loadProject } = await import("../model/index.ts");
    // Types keep the project from being changed; a command that lives for a moment need not pay for more.
    return loadProject({ ...request, frozen: false });
  },
  async engine() {
    const { openEngine } = await import("../engine/index.ts");
    return openEngine(this.root());
  },
  program: () => [process.execPath, process.argv[1] ?? ""],
  async startAgent() {
    const { geteuid } = process;
    if (geteuid !== undefined && geteuid.call(process) !== 0)
      throw new StackError("permission-denied", "containers need root: only commands that look at files work without", { hint: "Run it with sudo." });
    const { startAgent } = await import("../agent/client.ts");
    return startAgent(this.root());
  },
  async passOutputThrough() {
    const { loadNative } = await import("../native/index.ts");
    loadNative().terminalOutput(process.stdin.fd, false);
  },
  async findAgent(project) {
    const [{ findAgent }, { parseProjectName }] = await Promise.all([import("../agent/client.ts"), import("../core/index.ts")]);
    const name = parseProjectName(project);
    return name === undefined ? undefined : findAgent(this.root(), name);
  },
};

/** 128 + SIGPIPE: what a program ends with whose reader has gone. */
const readerGone = 141;

async function main(): Promise<number> {
  const interrupts = new ProcessInterrupts();
  const reader = { gone: false };
  const onBroken = (): void => {
    reader.gone = true;
    interrupts.raise("SIGHUP");
  };
  const stdout = new StreamSink(1, () => process.stdout, onBroken);
  const stderr = new StreamSink(2, () => process.stderr, onBroken);
  const input: { used?: NodeJS.ReadStream } = {};
  let context: Context | undefined;
  try {
    const status = await runProgram(process.argv.slice(2), (globals, env = process.env) => {
      context = {
        globals,
        env,
        cwd: process.cwd(),
        get stdin() {
          return (input.used ??= process.stdin);
        },
        stdout,
        stderr,
        clock: systemClock,
        interrupts,
        doors,
      };
      return context;
    });
    return reader.gone ? readerGone : status;
  } catch (error) {
    return reader.gone ? readerGone : await reportError(error, stderr, context);
  } finally {
    interrupts.release();
    // A standard input that was read keeps the process alive until it is closed.
    input.used?.destroy();
  }
}

// The only place that sets the exit status.
void main().then((status) => {
  process.exitCode = status;
});
