import type { ContainerSummary } from "../engine/index.ts";
import type { Context } from "./context.ts";
import { isAlive } from "./containers.ts";
import { printListing } from "./output/listing.ts";
import { binarySize, humanDuration } from "./output/units.ts";
import { usageOfProcesses } from "./process-usage.ts";

type ProcessState = NonNullable<NonNullable<NonNullable<ContainerSummary["state"]>["supervision"]>["processes"]>[number];

/** `ps --processes`: a row for each supervised process. */
export async function printProcesses(context: Context, containers: readonly ContainerSummary[], format: string | undefined): Promise<void> {
  const now = context.clock.now();
  const rows = await Promise.all(
    containers.map(async (container) => {
      const usage = isAlive(container) ? await usageOfProcesses(container, now) : new Map<string, never>();
      return (container.state?.supervision?.processes ?? []).map((process) => row(container, process, usage.get(process.name), now));
    }),
  );
  const columns = ["Name", "Process", "Status", "Restarts", "Pid", "Memory", "Cpu", "Reason"];
  await printListing(context, format, {
    rows: rows.flat(),
    columns: columns.map((field) => ({ heading: field.toUpperCase(), field })),
    table: { minimum: 8 },
    json: "lines",
  });
}

interface Usage {
  readonly pid: number;
  readonly time: number;
  readonly memory: number;
  readonly count: number;
}

function row(container: ContainerSummary, process: ProcessState, usage: Usage | undefined, now: number): Readonly<Record<string, unknown>> {
  const running = isAlive(container) && process.pid > 0;
  return {
    Name: container.name,
    Service: container.service,
    Process: process.name,
    State: isAlive(container) ? process.status : ended(process),
    Status: isAlive(container) ? processStatus(process, now) : ended(process),
    Ready: process.ready,
    Restarts: String(process.restarts),
    ExitCode: process.exitCode,
    Signal: process.signal,
    Pid: running && usage !== undefined && usage.pid > 0 ? String(usage.pid) : "",
    Processes: usage?.count ?? 0,
    Memory: running && usage !== undefined ? binarySize(usage.memory) : "",
    Cpu: running && usage !== undefined ? `${usage.time.toFixed(2)}s` : "",
    Essential: process.essential,
    Reason: process.reason,
    StartedAt: process.startedAt,
    EndedAt: process.endedAt,
  };
}

/** Its container has ended, and it with that. */
function ended(process: ProcessState): string {
  return process.status === "fatal" || process.status === "exited" ? `${process.status} (${process.exitCode})` : "stopped";
}

/** `running 3 minutes`, `backoff, last exit 1, next in 4 s`, `fatal (127)`. */
export function processStatus(process: ProcessState, now: number): string {
  const since = (iso: string): string => {
    const at = Date.parse(iso);
    return Number.isNaN(at) ? "" : ` ${humanDuration(Math.max(0, now - at))}`;
  };
  switch (process.status) {
    case "running":
      return `running${since(process.startedAt)}`;
    case "backoff": {
      const next = Math.ceil((Date.parse(process.nextRestartAt) - now) / 1000);
      return `backoff, last exit ${process.exitCode}${next > 0 ? `, next in ${next} s` : ""}`;
    }
    case "exited":
    case "fatal":
      return `${process.status} (${process.exitCode})${since(process.endedAt)} ago`;
    case "stopped":
      return process.exitCode < 0 ? "stopped" : `stopped (${process.exitCode})`;
    case "waiting":
    case "starting":
    case "stopping":
      return process.status;
  }
}
