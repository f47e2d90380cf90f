import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { HostPath } from "../core/index.ts";
import type { ContainerRecord, ContainerState, ContainerStatus } from "../runtime/index.ts";
import type { ContainerSummary, HealthRecord } from "./types.ts";

export async function readHealth(directory: HostPath): Promise<HealthRecord | undefined> {
  try {
    return JSON.parse(await readFile(join(directory, "health.json"), "utf8")) as HealthRecord;
  } catch {
    return undefined;
  }
}

/** What everybody who shows or gates on a container looks at: made here alone, by the agent and by commands that read files. */
export function summaryOf(
  record: ContainerRecord,
  status: ContainerStatus,
  state: ContainerState | undefined,
  health: HealthRecord | undefined,
): ContainerSummary {
  return {
    id: record.id,
    name: record.name,
    project: record.project,
    service: record.service,
    number: record.number,
    oneoff: record.oneoff,
    status,
    ...currentHealth(record, status, state, health),
    record,
    ...(state === undefined ? {} : { state }),
  };
}

/** Health that belongs to the run that goes on now. */
function currentHealth(
  record: ContainerRecord,
  status: ContainerStatus,
  state: ContainerState | undefined,
  health: HealthRecord | undefined,
): Pick<ContainerSummary, "health" | "healthOutput"> {
  if (record.health === undefined || (status !== "running" && status !== "paused")) return { health: "none" };
  if (health === undefined || health.run !== state?.startedAt) return { health: "starting" };
  const failed = [...health.probes].reverse().find((probe) => probe.exitCode !== 0);
  return { health: health.status, ...(health.status === "healthy" || failed === undefined ? {} : { healthOutput: failed.output }) };
}
