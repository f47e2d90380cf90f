import type { Project } from "../model/index.ts";
import type { PlanBuilder } from "./builder.ts";
import type { ObservedContainer, ObservedState } from "./observed.ts";
import type { ReconcileOptions } from "./plan.ts";
import { isRunning } from "./replicas.ts";

/** Containers of services that the file no longer has, and one-off containers that have ended: what --remove-orphans removes. */
export function orphansOf(project: Project, observed: ObservedState): readonly ObservedContainer[] {
  return observed.containers.filter((container) =>
    container.oneoff ? !isRunning(container) : project.services[container.service] === undefined && project.disabled_services[container.service] === undefined,
  );
}

/** Does a command that names no service mean this container? As with Docker Compose, only those of active services, unless no file was read. */
export function isMeant({ project, options }: { readonly project: Project; readonly options: ReconcileOptions }, container: ObservedContainer): boolean {
  return options.undeclared || project.services[container.service] !== undefined;
}

/** Ended one-off containers are no surprise to who ran them, so nothing is said of them. */
export function warnAboutOrphans(builder: PlanBuilder, project: Project, orphans: readonly ObservedContainer[]): void {
  const names = orphans.flatMap((container) => (container.oneoff ? [] : [container.name])).sort();
  if (names.length === 0) return;
  builder.warn(
    "orphans",
    `Found orphan containers (${names.join(", ")}) for project "${project.name}". If you removed or renamed these services, use --remove-orphans to clean them up`,
  );
}
