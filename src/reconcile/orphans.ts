import type { Project } from "../model/index.ts";
import type { PlanBuilder } from "./builder.ts";
import type { ObservedContainer, ObservedState } from "./observed.ts";
import { isRunning } from "./replicas.ts";

/** Containers of services that the file no longer has, and one-off containers of those that have ended. */
export function orphansOf(project: Project, observed: ObservedState): readonly ObservedContainer[] {
  return observed.containers.filter(
    (container) => project.services[container.service] === undefined && project.disabled_services[container.service] === undefined && (!container.oneoff || !isRunning(container)),
  );
}

export function warnAboutOrphans(builder: PlanBuilder, project: Project, orphans: readonly ObservedContainer[]): void {
  if (orphans.length === 0) return;
  const names = orphans.map((container) => container.name).sort();
  builder.warn(
    "orphans",
    `Found orphan containers (${names.join(", ")}) for project "${project.name}". If you removed or renamed these services, use --remove-orphans to clean them up`,
  );
}
