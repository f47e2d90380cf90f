import { StackError } from "../core/index.ts";
import { noSuchService, selectServices } from "./graph.ts";
import type { ObservedContainer } from "./observed.ts";
import { isMeant } from "./orphans.ts";
import { isRunning, replicasOf } from "./replicas.ts";
import { startCause, Starter } from "./start-phase.ts";
import type { Present } from "./start-phase.ts";
import { emitStops } from "./stop-phase.ts";
import type { Inputs } from "./up.ts";

/**
 * `start`, `stop`, `restart`, `rm`, `kill`: existing containers of the named services (none: of all), as they are.
 */

/** Containers but one-off ones of the named services; with no names of all active ones. */
function containersOf(inputs: Inputs): readonly ObservedContainer[] {
  const { project, observed, options } = inputs;
  const names = options.services;
  for (const name of names)
    if (project.services[name] === undefined && project.disabled_services[name] === undefined && !observed.containers.some((container) => container.service === name))
      throw noSuchService(project, name);
  return observed.containers.filter((container) => !container.oneoff && (names.length === 0 ? isMeant(inputs, container) : names.includes(container.service)));
}

const graceOf = ({ options }: Inputs): { readonly graceMs?: number } => (options.graceMs === undefined ? {} : { graceMs: options.graceMs });

export function planStop(inputs: Inputs): void {
  const { builder, project, graph } = inputs;
  const stopping = containersOf(inputs).map((container) => ({ container, cause: "asked to stop" }));
  emitStops(builder, project, graph, stopping, { ...graceOf(inputs), ordered: true });
}

/** Everything at once, without grace. */
export function planKill(inputs: Inputs): void {
  const { builder, project, graph } = inputs;
  const stopping = containersOf(inputs).map((container) => ({ container, cause: "asked to kill" }));
  emitStops(builder, { ...project, services: {} }, graph, stopping, { graceMs: 0, ordered: false });
}

export function planRemove(inputs: Inputs): void {
  const { builder, project, graph, options } = inputs;
  const all = containersOf(inputs).filter((container) => options.removeStopFirst || !isRunning(container));
  const stops = emitStops(
    builder,
    project,
    graph,
    all.map((container) => ({ container, cause: "asked to remove", group: `Remove ${container.name}` })),
    { ...graceOf(inputs), ordered: true },
  );
  for (const container of [...all].sort((a, b) => (a.name < b.name ? -1 : 1)))
    builder.add(
      `remove-container ${container.name}`,
      {
        kind: "remove-container",
        name: container.name,
        service: container.service,
        container: container.id,
        removeAnonymousVolumes: options.removeAnonymousVolumes,
      },
      { cause: "asked to remove", after: [stops.get(container.id)], group: `Remove ${container.name}` },
    );
}

export function planStart(inputs: Inputs): void {
  const { project, observed, options, graph, context, builder } = inputs;
  const selected = selectServices(project, graph, options.services, options.noDeps);
  const starter = new Starter({ builder, project, observed, options, context, graph, allStops: [] });
  const missing: string[] = [];
  for (const name of graph.order) {
    if (!selected.has(name)) continue;
    const containers = replicasOf(observed, name);
    if (containers.length === 0) missing.push(name);
    starter.service(
      name,
      containers.map((container): Present => {
        const cause = startCause(container, context.now);
        return { name: container.name, container, ...(cause === undefined ? {} : { start: { cause } }) };
      }),
    );
  }
  refuseMissing(inputs, missing, selected.size);
  if (options.wait) starter.waitFor([...selected].filter((name) => !missing.includes(name)).sort(), new Set());
}

/**
 * Services that `start` finds no container of, as Docker Compose has it: an error where they were named, or where
 * there is nothing to start at all; else a warning, and the others start. Those of scale 0 have none by right.
 */
function refuseMissing({ project, options, builder }: Inputs, missing: readonly string[], selected: number): void {
  const wanted = missing.filter((name) => project.services[name]?.scale !== 0);
  const hint = "Create it with `stack up`.";
  const named = wanted.filter((name) => options.services.includes(name));
  const [first] = named.length > 0 ? named : missing.length === selected ? wanted : [];
  if (first !== undefined) throw new StackError("no-such-container", `service "${first}" has no container to start`, { hint });
  for (const name of wanted) builder.warn("no-container-to-start", `service "${name}" has no container to start. ${hint}`);
}

/**
 * Stops and starts, dependencies first up and last down. Containers that depend on a restarted one with
 * `restart: true`, or share its namespaces, are restarted with it.
 */
export function planRestart(inputs: Inputs): void {
  const { project, observed, options, graph, context, builder } = inputs;
  const asked = new Set(containersOf(inputs).map((container) => container.service));
  for (const name of options.services)
    if (!asked.has(name)) throw new StackError("no-such-container", `Service "${name}" has no container to restart`, { hint: "Create it with `stack up`." });
  const restarted = new Map([...asked].map((name) => [name, "asked to restart"]));
  if (!options.noDeps)
    for (const name of graph.order) {
      if (restarted.has(name)) continue;
      const because = Object.entries(graph.dependencies(name)).find(([dependency, { restart }]) => restart && restarted.has(dependency));
      if (because !== undefined && replicasOf(observed, name).some(isRunning)) restarted.set(name, `${because[0]} is restarted`);
    }
  const replicas = (name: string): readonly ObservedContainer[] => replicasOf(observed, name).filter((container) => asked.has(name) || isRunning(container));
  const stopping = [...restarted].flatMap(([name, cause]) => replicas(name).map((container) => ({ container, cause, group: `Restart ${container.name}` })));
  const stops = emitStops(builder, project, graph, stopping, { ...graceOf(inputs), ordered: true });
  const starter = new Starter({ builder, project, observed, options, context, graph, allStops: [...stops.values()] });
  for (const name of graph.order) {
    const cause = restarted.get(name);
    if (cause === undefined) continue;
    starter.service(
      name,
      replicas(name).map((container): Present => {
        const stop = stops.get(container.id);
        return { name: container.name, container, ...(stop === undefined ? {} : { before: stop }), start: { cause, group: `Restart ${container.name}` } };
      }),
    );
  }
  if (options.wait) starter.waitFor([...restarted.keys()].sort(), new Set());
}
