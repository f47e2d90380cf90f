import { StackError } from "../core/index.ts";
import { processArgs } from "./command.ts";
import type { ContainerRecord, SupervisedProcess, SupervisionSpec } from "./formats.ts";
import { mustBeFirst } from "./init.ts";
import type { ImageInput, ServiceInput, SubProcessInput } from "./input.ts";
import { toRestart, toStop } from "./restart-spec.ts";
import { parseSignal } from "./signals.ts";

/** The container's own command among the supervised processes. */
export const MAIN = "main";

/** Daemons that are expected may take this long to appear, milliseconds. */
const expectGraceMs = 10_000;

/** Does the service want more of PID 1 than to start one process? */
export function isSupervised(service: ServiceInput): boolean {
  return hasProcesses(service) || (service.expect ?? []).length > 0 || service.on_orphan_exit !== undefined;
}

function hasProcesses(service: ServiceInput): boolean {
  return Object.keys(service.processes ?? {}).length > 0;
}

/**
 * Does the container's own command run? Processes stand in its place unless the service itself writes one: what an
 * image happens to start by itself was made for a container without them.
 */
export function runsMain(service: ServiceInput): boolean {
  return !hasProcesses(service) || (service.command ?? undefined) !== undefined || (service.entrypoint ?? undefined) !== undefined;
}

/** The words of `config.json`'s process: the container's command, or, where none runs, those of its first process. */
export function containerArgs(service: ServiceInput, image: ImageInput | null): readonly string[] {
  const [first] = Object.values(service.processes ?? {});
  return first === undefined || runsMain(service) ? processArgs(service, image) : first.command;
}

/** What our init is to supervise; undefined: nothing but the main process. Pure. */
export function toSupervision(service: ServiceInput, image: ImageInput | null): SupervisionSpec | undefined {
  if (!isSupervised(service)) return undefined;
  const args = containerArgs(service, image);
  if (runsMain(service) && mustBeFirst(args))
    throw new StackError("unsupported", `Service "${service.name}": ${args[0] ?? ""} has to be process 1 itself, so that nothing beside it can be supervised`, {
      hint: "Leave out `processes`, `expect` and `on_orphan_exit`, and let that init watch over its services.",
    });
  const declared = service.processes ?? {};
  const stop = toStop(service, image);
  const before = oneshotsBefore(declared);
  const own = Object.entries(declared).map(([name, process]) => toProcess(service, name, process, before(name)));
  return {
    processes: [...(runsMain(service) ? [mainProcess(stop, Object.keys(declared).filter((name) => declared[name]?.oneshot === true))] : []), ...own],
    expect: service.expect ?? [],
    expectGraceMs,
    onOrphanExit: service.on_orphan_exit ?? "",
    graceMs: stop.graceMs,
  };
}

function mainProcess(stop: SupervisedProcess["stop"], oneshots: readonly string[]): SupervisedProcess {
  return {
    name: MAIN,
    main: true,
    args: [],
    env: {},
    restart: toRestart({ restart: { policy: "no" }, restart_policy: undefined }),
    essential: true,
    oneshot: false,
    stop,
    ready: [],
    dependsOn: oneshots.map((process) => ({ process, condition: "completed" })),
  };
}

/** One-shots come before everything that they do not themselves wait for. */
function oneshotsBefore(declared: Readonly<Record<string, SubProcessInput>>): (name: string) => readonly string[] {
  const needs = (name: string, seen = new Set<string>()): ReadonlySet<string> => {
    for (const other of Object.keys(declared[name]?.depends_on ?? {})) {
      if (seen.has(other)) continue;
      seen.add(other);
      needs(other, seen);
    }
    return seen;
  };
  const oneshots = Object.keys(declared).filter((name) => declared[name]?.oneshot === true);
  const waitedFor = new Map(oneshots.map((name) => [name, needs(name)]));
  // Whoever a one-shot waits for, directly or not, cannot wait for any of them.
  const early = new Set([...waitedFor.values()].flatMap((names) => [...names]));
  return (name) => (declared[name]?.oneshot === true || early.has(name) ? [] : oneshots);
}

function toProcess(service: ServiceInput, name: string, process: SubProcessInput, oneshots: readonly string[]): SupervisedProcess {
  const written = Object.entries(process.depends_on).map(([other, condition]) => ({ process: other, condition }));
  const implied = oneshots.filter((other) => process.depends_on[other] === undefined).map((other) => ({ process: other, condition: "completed" as const }));
  const home = process.user !== undefined && service.environment["HOME"] === undefined ? { HOME: null } : {};
  return {
    name,
    main: false,
    args: process.command,
    // The home of another user is looked up with him.
    env: { ...home, ...process.environment },
    ...(process.user === undefined ? {} : { user: process.user }),
    ...(process.working_dir === undefined ? {} : { cwd: process.working_dir }),
    restart: toRestart(process),
    essential: process.essential,
    oneshot: process.oneshot,
    stop: { signal: parseSignal(process.stop_signal ?? "SIGTERM"), graceMs: Math.round(process.stop_grace_period) },
    ready: process.ready.map(toProbe),
    dependsOn: [...written, ...implied],
  };
}

function toProbe(probe: SubProcessInput["ready"][number]): SupervisedProcess["ready"][number] {
  const times = {
    ...(probe.timeout === undefined ? {} : { timeoutMs: Math.round(probe.timeout) }),
    ...(probe.interval === undefined ? {} : { intervalMs: Math.max(1, Math.round(probe.interval)) }),
  };
  switch (probe.kind) {
    case "tcp":
      return { kind: "tcp", port: probe.port, ...times };
    case "http":
      if (probe.body !== undefined) return { kind: "told", text: `http ${probe.port}${probe.path}`, ...times };
      return { kind: "http", port: probe.port, path: probe.path, status: probe.status, ...times };
    case "exec":
      return { kind: "exec", args: probe.command, ...times };
    case "file":
      return { kind: "file", path: probe.path, ...times };
    case "exit":
      return { kind: "exit", code: probe.code, ...times };
    case "log":
      return { kind: "told", text: `log /${probe.pattern}/`, ...times };
  }
}

/** What init cannot ask (it has no regular expressions): lines of a process's log, bodies of its answers. */
export function processReadiness(service: ServiceInput): ContainerRecord["processReady"] {
  const of = (process: SubProcessInput): Readonly<Record<number, SubProcessInput["ready"][number]>> =>
    Object.fromEntries(process.ready.flatMap((probe, index) => (toProbe(probe).kind === "told" ? [[index, probe]] : [])));
  const all = Object.entries(service.processes ?? {}).map(([name, process]) => [name, of(process)] as const);
  const asked = all.filter(([, probes]) => Object.keys(probes).length > 0);
  return asked.length === 0 ? undefined : Object.fromEntries(asked);
}
