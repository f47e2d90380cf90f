import { StackError } from "../core/index.ts";
import type { EventSource } from "../core/index.ts";
import type { Operation } from "../reconcile/index.ts";
import type { ContainerSummary, EngineEvent } from "./types.ts";
import { describeEnd } from "./describe.ts";

export type WaitOperation = Extract<Operation, { kind: "wait" }>;

/** What one container means for a gate, now. */
export type GateState =
  | { readonly state: "open" }
  | { readonly state: "waiting"; readonly why: string }
  | { readonly state: "failed"; readonly why: string };

/** Pure: does the condition hold for this container? */
export function gateState(condition: WaitOperation["condition"], container: ContainerSummary | undefined, name: string): GateState {
  if (container === undefined) return { state: "failed", why: `container ${name} does not exist` };
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
      if (ended) return { state: "failed", why: describeEnd(container) };
      return { state: "waiting", why: "still running" };
    case "service_healthy":
      if (ended) return { state: "failed", why: describeEnd(container) };
      if (status === "created" || willRestart) return { state: "waiting", why: `is ${status}` };
      if (health === "healthy") return { state: "open" };
      if (health === "none") return { state: "failed", why: "it has no health check" };
      if (health === "unhealthy") return { state: "failed", why: unhealthy(container) };
      return { state: "waiting", why: "starting" };
    case "running_or_healthy":
      if (status === "exited" && state?.exitCode === 0) return { state: "open" };
      if (ended) return { state: "failed", why: describeEnd(container) };
      if (status === "created" || willRestart) return { state: "waiting", why: `is ${status}` };
      if (health === "none" || health === "healthy") return { state: "open" };
      if (health === "unhealthy") return { state: "failed", why: unhealthy(container) };
      return { state: "waiting", why: "health: starting" };
  }
}

function unhealthy(container: ContainerSummary): string {
  const output = container.healthOutput?.trim();
  return output === undefined || output === "" ? "is unhealthy" : `is unhealthy: ${output.split("\n").slice(-3).join(" | ")}`;
}

export interface Gate {
  readonly events: EventSource<EngineEvent>;
  /** The container of this name as it is now. */
  find(name: string): ContainerSummary | undefined;
}

/** Waits, driven by events alone, until the gate is open for every container; throws when it cannot open any more. */
export async function passGate(operation: WaitOperation, gate: Gate, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const ends: (() => void)[] = [];
    const finish = (error?: Error): void => {
      for (const end of ends) end();
      if (error === undefined) resolve();
      else reject(error);
    };
    const look = (): void => {
      let open = true;
      for (const name of operation.containers) {
        const now = gateState(operation.condition, gate.find(name), name);
        if (now.state === "failed") {
          finish(gateFailure(operation, name, now.why));
          return;
        }
        if (now.state === "waiting") open = false;
      }
      if (open) finish();
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
    if (operation.timeoutMs !== undefined) {
      const timer = setTimeout(() => {
        finish(timedOut(operation, gate));
      }, operation.timeoutMs);
      ends.push(() => {
        clearTimeout(timer);
      });
    }
    look();
  });
}

function timedOut(operation: WaitOperation, gate: Gate): StackError {
  const late = operation.containers.flatMap((name) => {
    const now = gateState(operation.condition, gate.find(name), name);
    return now.state === "open" ? [] : [`${name} (${now.why})`];
  });
  return new StackError("timeout", `Timed out after ${(operation.timeoutMs ?? 0) / 1000} s waiting for ${late.join(", ")}`, {
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
    hint: why.includes("no health check")
      ? `Give service "${operation.service}" a healthcheck, or depend on it with condition: service_started.`
      : `See \`stack logs ${operation.service}\`.`,
  });
}
