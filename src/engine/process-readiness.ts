import { join } from "node:path";
import type { Clock, HostPath } from "../core/index.ts";
import { ReadinessRunner } from "../health/index.ts";
import type { ContainerRecord, ContainerState, MonitorClient } from "../runtime/index.ts";
import { readyProbeRun } from "./ready-probe.ts";

export interface ProcessReadinessOptions {
  readonly record: ContainerRecord;
  readonly directory: HostPath;
  readonly monitor: MonitorClient;
  readonly clock: Clock;
}

/**
 * Asks for supervised processes what their init cannot ask (`ContainerRecord.processReady`), and tells it when something
 * holds. How long it may take is init's to know: it counts on with the agent dead, and the next agent asks again.
 */
export class ProcessReadiness {
  readonly #options: ProcessReadinessOptions;
  /** By process: which start is looked at. */
  readonly #looking = new Map<string, { readonly start: string; readonly runners: readonly ReadinessRunner[] }>();

  constructor(options: ProcessReadinessOptions) {
    this.#options = options;
  }

  /** The container's state is this now. */
  look(state: ContainerState | undefined): void {
    const processes = state?.status === "running" ? (state.supervision?.processes ?? []) : [];
    for (const name of Object.keys(this.#options.record.processReady ?? {})) {
      const process = processes.find((each) => each.name === name);
      const waits = process !== undefined && process.pid > 0 && !process.ready && process.status === "starting";
      const start = waits ? `${process.startedAt} ${process.restarts}` : "";
      if (this.#looking.get(name)?.start === start) continue;
      this.#stop(name);
      if (waits) this.#looking.set(name, { start, runners: this.#begin(name, process.restarts, Date.parse(process.startedAt)) });
    }
  }

  end(): void {
    for (const name of [...this.#looking.keys()]) this.#stop(name);
  }

  #stop(name: string): void {
    for (const runner of this.#looking.get(name)?.runners ?? []) runner.stop();
    this.#looking.delete(name);
  }

  #begin(name: string, restarts: number, startedAt: number): readonly ReadinessRunner[] {
    const { record, directory, monitor, clock } = this.#options;
    const probed = { monitor, log: join(directory, "log/container.log"), since: startedAt * 1000, process: name };
    return Object.entries(record.processReady?.[name] ?? {}).map(([position, probe]) => {
      const { attempt, intervalMs } = readyProbeRun(probe, probed);
      return new ReadinessRunner({
        probes: [{ attempt, ...(intervalMs === undefined ? {} : { intervalMs }) }],
        startedAt,
        clock,
        // It may have ended meanwhile: then nobody waits for this any more.
        onChange: ({ status }) => {
          if (status === "ready") monitor.processReady(name, Number(position), restarts).catch(() => undefined);
        },
      });
    });
  }
}
