import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { HostPath } from "../core/index.ts";
import type { ContainerRecord, ContainerState, ContainerStatus } from "../runtime/index.ts";
import { readinessText } from "../health/index.ts";
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

type Health = Pick<ContainerSummary, "health" | "healthOutput" | "treated">;

/** Health that belongs to the run that goes on now. */
function currentHealth(record: ContainerRecord, status: ContainerStatus, state: ContainerState | undefined, health: HealthRecord | undefined): Health {
  const exit = record.ready?.find((probe) => probe.kind === "exit");
  if (exit !== undefined && status === "exited") return { health: state?.exitCode === exit.code && othersHeld(record, health) ? "healthy" : "none" };
  if (status !== "running" && status !== "paused") return { health: "none" };
  const problem = state?.supervision?.problem ?? "";
  if (problem !== "") return { health: "unhealthy", healthOutput: problem, ...treatment(record, health) };
  // Daemons that are expected are looked for: that is a health check, too.
  if (record.expect === true && state?.supervision?.expected !== true) return { health: "starting" };
  if (!isProbed(record)) return { health: record.expect === true ? "healthy" : "none" };
  if (health === undefined || health.run !== state?.startedAt) return { health: "starting" };
  return healthOf(record, health);
}

/** A job that is ready by its end: all else that `ready` names must have held before. */
function othersHeld(record: ContainerRecord, health: HealthRecord | undefined): boolean {
  return (record.ready ?? []).every((probe, i) => probe.kind === "exit" || health?.ready?.held[i] === true);
}

const isProbed = (record: ContainerRecord): boolean => record.health !== undefined || (record.ready?.length ?? 0) > 0;

/** Readiness and health check together: both have to hold. */
export function healthOf(record: ContainerRecord, health: HealthRecord): Health {
  const { ready } = health;
  const treated = treatment(record, health);
  const waits = ready === undefined ? "" : readinessText(ready);
  if (ready?.status === "failed") return { health: "unhealthy", healthOutput: waits, ...treated };
  const checked = record.health === undefined ? "healthy" : health.status;
  const output = checked === "healthy" ? "" : failingOutput(health);
  const status = checked === "healthy" && ready?.status === "waiting" ? "starting" : checked;
  const said = output === "" ? waits : output;
  return { health: status, ...(status === "healthy" || said === "" ? {} : { healthOutput: said }), ...(status === "unhealthy" ? treated : {}) };
}

/** Will something be done about it? */
function treatment({ onUnhealthy }: ContainerRecord, health: HealthRecord | undefined): Pick<Health, "treated"> {
  const acts = onUnhealthy?.action === "restart" || onUnhealthy?.action === "run";
  return acts && health?.remedy?.gaveUp !== true ? { treated: true } : {};
}

function failingOutput(health: HealthRecord): string {
  const failed = [...health.probes].reverse().find((probe) => probe.exitCode !== 0 || probe.timedOut);
  if (failed === undefined) return "";
  return failed.output.trim() === "" ? `the health check exited with ${failed.exitCode}` : failed.output;
}
