import type { ContainerId } from "../core/index.ts";
import type { Project } from "../model/index.ts";
import type { MonitorClient } from "../runtime/index.ts";
import type { ContainerSummary } from "./types.ts";

/** Does the file give the container's service limits? Those of a service that it no longer has are nobody's concern. */
export function hasLimits(project: Project | undefined, { service }: ContainerSummary): boolean {
  return Object.keys(project?.services[service]?.limits ?? {}).length > 0;
}

/** What the planner is told of limits that somebody else has changed, one line each: `memory.max: 67108864 → 33554432`. */
export async function alteredLimits(
  containers: readonly ContainerSummary[],
  monitor: (id: ContainerId) => Pick<MonitorClient, "limits">,
): Promise<ReadonlyMap<ContainerId, readonly string[]>> {
  const asked = await Promise.all(
    containers.map(async ({ id, status }) => {
      if (status !== "running") return [];
      const altered = await monitor(id).limits().catch(() => []);
      return altered.length === 0 ? [] : [[id, altered.map(({ file, wanted, actual }) => `${file}: ${wanted} → ${actual}`)] as const];
    }),
  );
  return new Map(asked.flat());
}
