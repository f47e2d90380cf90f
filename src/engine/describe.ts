import { constants } from "node:os";
import type { ContainerSummary } from "./types.ts";

/** `SIGKILL` for 9; `signal 40` for what has no name. */
export function signalName(signal: number): string {
  return Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ?? `signal ${signal}`;
}

/** Why a container ended, in one phrase: `exited with 137 (SIGKILL, out of memory)`. */
export function describeEnd(container: ContainerSummary): string {
  const { state } = container;
  if (container.status === "dead" || state === undefined) return "ended together with its monitor; its exit status is not known";
  if (state.endedBy === "start-failure" && state.error !== null) return `could not start: ${state.error.stage}: ${state.error.message}`;
  if (state.exitCode < 0) return "ended; its exit status is not known, because its monitor was killed";
  const reasons: string[] = [];
  if (state.signal > 0) reasons.push(signalName(state.signal));
  if (state.oomKilled) reasons.push("out of memory");
  if (state.endedBy === "stop") reasons.push("stopped");
  if (state.endedBy === "health") reasons.push(state.reason === undefined || state.reason === "" ? "stopped because unhealthy" : `stopped because ${state.reason}`);
  return `exited with ${state.exitCode}${reasons.length === 0 ? "" : ` (${reasons.join(", ")})`}`;
}
