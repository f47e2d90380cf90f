import { StackError } from "../core/index.ts";
import type { EventSource } from "../core/index.ts";
import type { Operation } from "../reconcile/index.ts";
import type { ContainerSummary, EngineEvent, HeldBy } from "./types.ts";
import { describeEnd } from "./describe.ts";

export type WaitOperation = Extract<Operation, { kind: "wait" }>;

/** What one container means for a gate, now. */
export type GateState =
  | { readonly state: "open" }
  /** `againMs`: time alone may change it. */
  | { readonly state: "waiting"; readonly why: string; readonly againMs?: number }
  | { readonly state: "failed"; readonly why: string };

/**
 * So many failures in a row are a crash loop for whoever waits without a limit: by default it takes a second and a half to get
 * there. (Docker Compose gives up at the first one if there is a health check, and never without.)
 */
const crashLoop = 5;

/** Without a probe nothing but time tells a program that runs from one that is about to fail: so long, and longer after a failure. */
const steadyMs = { fresh: 250, failed: 1000 };

/**
 * Pure: does the condition hold for this container at `now`? `patient`: there is a limit of time, so that a crash loop may
 * still end well.
 */
export function gateState(condition: WaitOperation["condition"], container: ContainerSummary | undefined, name: string, { patient = false, now = Infinity } = {}): GateState {
  if (container === undefined) return { state: "failed", why: `container ${name} does not exist` };
  const state = stateOf(condition, container, now);
  const failures = container.state?.failures ?? 0;
  if (state.state !== "waiting" || patient || failures < crashLoop) return state;
  return { state: "failed", why: `is in a crash loop: it failed ${failures} times in a row, and last ${describeEnd(container)}` };
}

function stateOf(condition: WaitOperation["condition"], container: ContainerSummary, now: number): GateState {
  const { status, health, state } = container;
  const ended = status === "exited" || status === "dead";
  const willRestart = status === "restarting";
  switch (condition) {
    case "service_started":
      if (status === "running" || status === "paused" || willRestart) return { state: "open" };
      if (ended) return { state: "open" }; // it has started; what became of it is no matter here
      return { state: "waiting", why: "not started" };
    case "service_completed_successfully":
      if (status === "exited" && state?.exitCode === 0) return { state: "open" };
      if (ended) return endedGate(container);
      if (willRestart) return restarting(container);
      return { state: "waiting", why: "still running" };
    case "service_healthy":
      if (ended) return endedGate(container);
      if (health === "none" && status === "running") return { state: "failed", why: "it has no health check" };
      return probedGate(container);
    case "running_or_healthy":
      if (ended && state?.exitCode === 0 && wantedExit(container) === undefined) return { state: "open" };
      if (ended) return endedGate(container);
      if (health === "none" && status === "paused") return { state: "open" };
      if (health === "none" && status === "running") return steady(container, now);
      return probedGate(container);
  }
}

function steady({ state }: ContainerSummary, now: number): GateState {
  const failures = state?.failures ?? 0;
  const wanted = failures > 0 ? steadyMs.failed : steadyMs.fresh;
  const ran = now - Date.parse(state?.startedAt ?? "");
  // A clock that was set back is no reason to wait.
  if (!(ran >= 0 && ran < wanted)) return { state: "open" };
  return { state: "waiting", why: failures > 0 ? `has just been started again, after ${failures} failure${failures > 1 ? "s in a row" : ""}` : "has just been started", againMs: wanted - ran };
}

const wantedExit = (container: ContainerSummary): number | undefined => container.record.ready?.find((probe) => probe.kind === "exit")?.code;

/** Only a job that is ready by its end (`ready: {exit: 0}`) passes by it. */
function endedGate(container: ContainerSummary): GateState {
  if (container.health === "healthy") return { state: "open" };
  const wanted = wantedExit(container);
  const expected = wanted === undefined || container.state?.exitCode === wanted ? "" : `, where \`ready\` expects ${wanted}`;
  const failures = container.state?.failures ?? 0;
  return { state: "failed", why: `${describeEnd(container)}${expected}${failures > 1 ? `, ${failures} times in a row: its restart policy gave up` : ""}` };
}

function probedGate(container: ContainerSummary): GateState {
  const { status, health } = container;
  if (status === "created") return { state: "waiting", why: "is created" };
  if (status === "restarting") return restarting(container);
  if (health === "healthy") return { state: "open" };
  // It gets another chance; the gate stays until that is over.
  if (health === "unhealthy") return { state: container.treated === true ? "waiting" : "failed", why: unhealthy(container) };
  const output = container.healthOutput?.trim() ?? "";
  return { state: "waiting", why: `health: starting${output === "" ? "" : `: ${lastLines(output)}`}` };
}

function restarting(container: ContainerSummary): GateState {
  const { failures = 0 } = container.state ?? {};
  return { state: "waiting", why: `is restarting${failures > 1 ? `, after ${failures} failures in a row` : ""}: it ${describeEnd(container)}` };
}

function unhealthy(container: ContainerSummary): string {
  const output = container.healthOutput?.trim();
  return output === undefined || output === "" ? "is unhealthy" : `is unhealthy: ${lastLines(output)}`;
}

const lastLines = (output: string): string => output.split("\n").slice(-3).join(" | ");

export interface Gate {
  readonly events: EventSource<EngineEvent>;
  /** The container of this name as it is now. */
  find(name: string): ContainerSummary | undefined;
  /** The last lines that it wrote, for who is told that it will not come. */
  lastWords?(name: string): Promise<readonly string[]>;
}

/**
 * Waits, driven by events alone, until the gate is open for every container; throws when it cannot open any more, with the
 * last lines of the container because of which. `patienceMs`: what is left of the time that the plan allows. `note` is
 * told when one of them crashes and is started again. Returns what it waited for last; undefined if it was open.
 */
export async function passGate(
  operation: WaitOperation,
  gate: Gate,
  signal: AbortSignal,
  patienceMs = operation.timeoutMs,
  note: (text: string) => void = () => undefined,
): Promise<HeldBy | undefined> {
  try {
    return await openedGate(operation, gate, signal, patienceMs, note);
  } catch (error) {
    if (!(error instanceof StackError)) throw error;
    const name = error.details["container"];
    const log = typeof name === "string" ? ((await gate.lastWords?.(name)) ?? []) : [];
    if (log.length === 0) throw error;
    throw new StackError(error.code, error.message, { ...(error.hint === undefined ? {} : { hint: error.hint }), details: { ...error.details, log } });
  }
}

async function openedGate(operation: WaitOperation, gate: Gate, signal: AbortSignal, patienceMs: number | undefined, note: (text: string) => void): Promise<HeldBy | undefined> {
  return new Promise<HeldBy | undefined>((resolve, reject) => {
    const ends: (() => void)[] = [];
    let held: HeldBy | undefined;
    let told = "";
    let again: NodeJS.Timeout | undefined;
    // Nothing goes on without it, and nothing else shows that it crashes.
    const tell = (why: string): void => {
      if (why === told) return;
      told = why;
      note(why);
    };
    const finish = (error?: Error): void => {
      clearTimeout(again);
      for (const end of ends) end();
      if (error === undefined) resolve(held);
      else reject(error);
    };
    const look = (): void => {
      let waiting: HeldBy | undefined;
      let againMs = Infinity;
      for (const name of operation.containers) {
        const now = gateState(operation.condition, gate.find(name), name, { patient: patienceMs !== undefined, now: Date.now() });
        if (now.state === "failed") {
          finish(gateFailure(operation, name, now.why));
          return;
        }
        if (now.state !== "waiting") continue;
        waiting = { container: name, why: now.why };
        againMs = Math.min(againMs, now.againMs ?? Infinity);
        if (gate.find(name)?.status === "restarting") tell(now.why);
      }
      if (waiting === undefined) finish();
      else held = waiting;
      clearTimeout(again);
      if (waiting !== undefined && againMs < Infinity) again = setTimeout(look, againMs + 1);
    };
    const abort = (): void => {
      finish(new StackError("cancelled", `Cancelled while waiting for ${operation.service}`));
    };
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener("abort", abort, { once: true });
    ends.push(() => {
      signal.removeEventListener("abort", abort);
    });
    ends.push(
      gate.events.on((event) => {
        if (event.type === "container") look();
      }),
    );
    if (patienceMs !== undefined) {
      const timer = setTimeout(() => {
        finish(timedOut(operation, gate));
      }, Math.max(0, patienceMs));
      ends.push(() => {
        clearTimeout(timer);
      });
    }
    look();
  });
}

function timedOut(operation: WaitOperation, gate: Gate): StackError {
  const late = operation.containers.flatMap((name) => {
    const now = gateState(operation.condition, gate.find(name), name, { patient: true, now: Date.now() });
    return now.state === "open" ? [] : [{ name, text: `${name} (${now.why})` }];
  });
  return new StackError("timeout", `Timed out after ${(operation.timeoutMs ?? 0) / 1000} s waiting for ${late.map(({ text }) => text).join(", ")}`, {
    ...(late[0] === undefined ? {} : { details: { container: late[0].name } }),
    hint: `See \`stack logs ${operation.service}\`, or allow more time with --wait-timeout.`,
  });
}

function gateFailure(operation: WaitOperation, name: string, why: string): StackError {
  const wanted = {
    service_started: "to start",
    service_healthy: "to become healthy",
    service_completed_successfully: "to complete successfully",
    running_or_healthy: "to be running or healthy",
  }[operation.condition];
  return new StackError("dependency-failed", `${name} was expected ${wanted}, but ${why}`, {
    details: { container: name },
    hint: why.includes("no health check")
      ? `Give service "${operation.service}" a healthcheck, or depend on it with condition: service_started.`
      : `See \`stack logs ${operation.service}\`.`,
  });
}
