import { join } from "node:path";
import { paths } from "../core/index.ts";
import type { ContainerSummary, Engine, RunResult } from "../engine/index.ts";
import { readLog } from "../logs/index.ts";
import type { Context } from "./context.ts";
import { detached, parseDetachKeys, stream, terminalSize } from "./terminal-streams.ts";

export interface OneOffOptions {
  readonly tty: boolean;
  readonly stdin: boolean;
  /** Its output is not shown. */
  readonly quiet: boolean;
}

type Monitor = ReturnType<Engine["monitor"]>;
type State = NonNullable<ContainerSummary["state"]>;

/**
 * Is the terminal of a one-off container that the agent has started, until it ends; its exit code is ours.
 * Without a terminal its output comes from its log, where nothing of it can be missed; with one from the monitor,
 * which keeps what was written before we could attach.
 */
export async function runOneOff(context: Context, created: RunResult, options: OneOffOptions): Promise<number> {
  const engine = await context.doors.engine();
  const monitor = engine.monitor(created.id);
  const ended = new AbortController();
  const log = options.tty || options.quiet ? Promise.resolve() : copyLog(context, created, ended.signal);
  const state = await (options.tty ? terminal(context, monitor, created, options) : piped(context, monitor, options));
  ended.abort();
  await log;
  if (state === detached) return 0;
  if (state === undefined) return 255;
  return state.exitCode < 0 ? 255 : state.exitCode;
}

/** The first SIGINT or SIGTERM goes to the process; without one that listens, the kernel ends it. */
async function piped(context: Context, monitor: Monitor, options: OneOffOptions): Promise<State | undefined> {
  let asked = 0;
  using _signals = context.interrupts.divert((signal) => {
    asked += 1;
    // The second one has to work.
    const sent = asked > 1 ? monitor.stop({ graceMs: 0 }) : monitor.kill(signal === "SIGINT" ? 2 : signal === "SIGHUP" ? 1 : 15);
    sent.catch(() => undefined);
  });
  const ended = monitor.wait();
  if (!options.stdin) return await ended;
  const session = await monitor.attach({ stdin: true, stdout: false, stderr: false }).catch(() => undefined);
  if (session === undefined) return await ended;
  const streaming = stream(context, session, { tty: false, stdin: true, proxySignals: true, detachKeys: [] }).catch(() => undefined);
  const state = await ended;
  session.close();
  await streaming;
  return state;
}

async function terminal(context: Context, monitor: Monitor, created: RunResult, options: OneOffOptions): Promise<State | typeof detached | undefined> {
  const attach = { stdin: options.stdin, stdout: !options.quiet, stderr: !options.quiet, replay: true, ...terminalSize() };
  const session = await monitor.attach(attach).catch(() => undefined);
  if (session === undefined) {
    // It ended before we came: what it wrote is in its log.
    if (!options.quiet) await copyLog(context, created, AbortSignal.abort());
    return monitor.wait();
  }
  const end = await stream(context, session, { tty: true, stdin: options.stdin, proxySignals: true, detachKeys: parseDetachKeys("ctrl-p,ctrl-q") }).catch(() => undefined);
  return end === detached ? detached : ((await monitor.wait()) ?? end);
}

async function copyLog(context: Context, created: RunResult, ended: AbortSignal): Promise<void> {
  const path = join(paths.container(context.doors.root(), created.id), "log", "container.log");
  for await (const batch of readLog(path, { follow: true, ended, signal: context.interrupts.hard })) {
    for (const entry of batch) {
      const sink = entry.stream === "stdout" ? context.stdout : context.stderr;
      await sink.write(entry.complete ? `${entry.text}\n` : entry.text);
    }
  }
}
