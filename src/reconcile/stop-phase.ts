import type { Project } from "../model/index.ts";
import type { PlanBuilder } from "./builder.ts";
import type { ServiceGraph } from "./graph.ts";
import type { ObservedContainer } from "./observed.ts";
import type { OperationIndex } from "./plan.ts";
import { isRunning } from "./replicas.ts";

export interface Stopping {
  readonly container: ObservedContainer;
  readonly cause: string;
  readonly group?: string | undefined;
  /** What has to be done before, e.g. its new image fetched. */
  readonly after?: readonly (OperationIndex | undefined)[];
  readonly bestEffort?: boolean;
}

/**
 * Stops containers: each as soon as those of the services that depend on its service have stopped, so that
 * independent ones stop at once and nobody loses what it needs while it runs. Returns the last operation
 * for each container that had to be stopped.
 */
export function emitStops(
  builder: PlanBuilder,
  project: Project,
  graph: ServiceGraph,
  stopping: readonly Stopping[],
  options: { readonly graceMs?: number; readonly ordered: boolean },
): ReadonlyMap<string, OperationIndex> {
  const stopped = new Map<string, OperationIndex>();
  const byService = new Map<string, OperationIndex[]>();
  const position = new Map(graph.order.map((name, index) => [name, index]));
  const rank = (entry: Stopping): number => position.get(entry.container.service) ?? -1;
  const running = stopping.filter((entry) => isRunning(entry.container)).sort((a, b) => rank(b) - rank(a) || compareContainers(a.container, b.container));
  for (const entry of running) {
    const { container } = entry;
    const dependents = options.ordered ? transitiveStops(graph, container.service, byService) : [];
    const index = emitStop(builder, project, entry, dependents, options.graceMs);
    stopped.set(container.id, index);
    byService.set(container.service, [...(byService.get(container.service) ?? []), index]);
  }
  return stopped;
}

/** Stops of the nearest services that depend on this one and stop too: a dependent without containers passes the question on. */
function transitiveStops(graph: ServiceGraph, service: string, stops: ReadonlyMap<string, readonly OperationIndex[]>): readonly OperationIndex[] {
  const found = new Set<OperationIndex>();
  const seen = new Set([service]);
  const visit = (name: string): void => {
    for (const dependent of graph.dependents(name)) {
      if (seen.has(dependent)) continue;
      seen.add(dependent);
      const own = stops.get(dependent);
      if (own === undefined) visit(dependent);
      else for (const index of own) found.add(index);
    }
  };
  visit(service);
  return [...found];
}

function compareContainers(a: ObservedContainer, b: ObservedContainer): number {
  if (a.service !== b.service) return a.service < b.service ? -1 : 1;
  return a.number - b.number || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

function emitStop(
  builder: PlanBuilder,
  project: Project,
  entry: Stopping,
  dependents: readonly OperationIndex[],
  graceMs: number | undefined,
): OperationIndex {
  const { container, cause, group } = entry;
  const { name, service } = container;
  const common = { cause, ...(group === undefined ? {} : { group }) };
  let after: readonly (OperationIndex | undefined)[] = [...dependents, ...(entry.after ?? [])];
  const hooks = container.status === "running" && !container.oneoff ? (project.services[service]?.pre_stop ?? []) : [];
  for (const hook of hooks.keys()) {
    const index = builder.add(
      `run-hook pre_stop ${hook + 1} ${name}`,
      { kind: "run-hook", service, name, container: container.id, hook: "pre_stop", index: hook },
      { ...common, cause: `pre_stop hook of ${service}`, after, bestEffort: true },
    );
    after = [index];
  }
  return builder.add(
    `stop-container ${name}`,
    { kind: "stop-container", name, service, container: container.id, ...(graceMs === undefined ? {} : { graceMs }) },
    { ...common, after, ...(entry.bestEffort === true ? { bestEffort: true } : {}) },
  );
}
