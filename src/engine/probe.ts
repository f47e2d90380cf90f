import type { ProbeOutcome } from "../health/index.ts";
import type { HealthSpec, MonitorClient } from "../runtime/index.ts";

/** How much of a probe's output is kept, bytes (Docker keeps 4096). */
const keptOutput = 4096;

/** A health check's probe, executed by the container's monitor. */
export function probeOf(monitor: MonitorClient, spec: HealthSpec): (signal: AbortSignal) => Promise<ProbeOutcome> {
  const [kind, ...rest] = spec.test;
  const args = kind === "CMD-SHELL" ? ["/bin/sh", "-c", rest[0] ?? ""] : rest;
  return async (signal) => {
    const result = await monitor.execCapture({ args, timeoutMs: spec.timeoutMs, capture: keptOutput, isolate: true }, signal);
    return {
      ok: result.exitCode === 0 && !result.timedOut,
      exitCode: result.exitCode,
      output: result.timedOut ? `timed out after ${spec.timeoutMs / 1000} s\n${result.output}` : result.output,
      timedOut: result.timedOut,
    };
  };
}
