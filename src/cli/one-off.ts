import { StackError } from "../core/index.ts";
import type { ContainerSummary, RunResult } from "../engine/index.ts";
import type { Context } from "./context.ts";
import { detached, parseDetachKeys, stream, terminalSize } from "./terminal-streams.ts";

export interface OneOffOptions {
  readonly tty: boolean;
  readonly stdin: boolean;
}

type State = NonNullable<ContainerSummary["state"]>;

/**
 * Is the terminal of a one-off container until it ends; its exit code is ours. The monitor executes the process only
 * when we have attached, so nothing of its output can be missed.
 */
export async function runOneOff(context: Context, created: RunResult, options: OneOffOptions): Promise<number> {
  const engine = await context.doors.engine();
  const monitor = engine.monitor(created.id);
  const session = await monitor.attach({ stdin: options.stdin, stdout: true, stderr: true, ...(options.tty ? terminalSize() : {}) });
  const end = await stream(context, session, { tty: options.tty, stdin: options.stdin, proxySignals: true, detachKeys: parseDetachKeys("ctrl-p,ctrl-q") });
  if (end === detached) return 0;
  if (end === undefined) return 255;
  if (end.error !== null) throw startFailure(created, end);
  return end.exitCode < 0 ? 255 : end.exitCode;
}

function startFailure(created: RunResult, { error, exitCode }: State): StackError {
  const code = exitCode === 127 ? "command-not-found" : exitCode === 126 ? "command-not-executable" : "container-start-failed";
  return new StackError(code, `Cannot start ${created.name}: ${error?.message ?? "the reason is not known"}`, {
    ...(code === "command-not-found" ? { hint: "Is it in the image? Write its whole path, or look at its PATH." } : {}),
    details: { ...error },
  });
}
