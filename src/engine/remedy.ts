import { StackError } from "../core/index.ts";
import type { Operation } from "../reconcile/index.ts";
import type { MonitorClient } from "../runtime/index.ts";

/** How long a command of `on_unhealthy` may take, milliseconds. */
const commandMs = 60_000;

/** Does what the plan says about a container that is not well; the monitor records why. */
export async function applyRemedy(monitor: MonitorClient, { action, reason, command = [], by }: Extract<Operation, { kind: "treat-container" }>): Promise<void> {
  const why = { reason, ...(by === "health" ? { by } : {}) };
  switch (action) {
    case "restart":
      await monitor.restart(why);
      return;
    case "stop":
      await monitor.stop(why);
      return;
    case "run": {
      // Not isolated as a probe is: what it starts (a daemon that was missing) is to stay.
      const { exitCode, timedOut, output } = await monitor.execCapture({ args: command, env: [`STACK_UNHEALTHY=${reason}`], timeoutMs: commandMs, capture: 4096 });
      if (timedOut) throw new StackError("timeout", `the command of on_unhealthy took longer than ${commandMs / 1000} s`);
      if (exitCode !== 0) throw new StackError("container-start-failed", `the command of on_unhealthy exited with ${exitCode}: ${output.trim()}`);
    }
  }
}
