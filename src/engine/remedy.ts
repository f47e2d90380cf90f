import type { MonitorClient, UnhealthySpec } from "../runtime/index.ts";

/** How long a command of `on_unhealthy` may take, milliseconds. */
const commandMs = 60_000;

/** Does what `on_unhealthy` says; the monitor records why. Returns what went wrong, in words; never throws. */
export async function applyRemedy(monitor: MonitorClient, spec: UnhealthySpec, reason: string): Promise<string | undefined> {
  try {
    switch (spec.action) {
      case "none":
        return undefined;
      case "restart":
        await monitor.restart({ by: "health", reason });
        return undefined;
      case "stop":
        await monitor.stop({ by: "health", reason });
        return undefined;
      case "run": {
        const { exitCode, timedOut, output } = await monitor.execCapture({ args: spec.command ?? [], env: [`STACK_UNHEALTHY=${reason}`], timeoutMs: commandMs, capture: 4096, isolate: true });
        if (timedOut) return `the command of on_unhealthy took longer than ${commandMs / 1000} s`;
        return exitCode === 0 ? undefined : `the command of on_unhealthy exited with ${exitCode}: ${output.trim()}`;
      }
    }
  } catch (error) {
    return `on_unhealthy: ${error instanceof Error ? error.message : String(error)}`;
  }
}
