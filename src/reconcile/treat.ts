import type { ObservedContainer } from "./observed.ts";
import type { OperationIndex } from "./plan.ts";
import { isRunning, replicasOf } from "./replicas.ts";
import type { Inputs } from "./up.ts";

/**
 * `treat`: carries out what `on_unhealthy` is due to do. Where that is a restart, containers that depend on the restarted
 * one with `restart: true`, or share its namespaces, are restarted with it, as by `restart`: when it is healthy again, if
 * that is what they wait for at a start.
 */
export function planTreat(inputs: Inputs): void {
  const { builder, observed, graph } = inputs;
  const restarted = new Map<string, readonly OperationIndex[]>();
  for (const container of observed.containers) {
    const { remedy } = container;
    if (remedy === undefined || !isRunning(container)) continue;
    const index = builder.add(`treat-container ${container.name}`, { kind: "treat-container", ...nameOf(container), ...remedy, by: "health" }, { cause: remedy.reason });
    if (remedy.action === "restart" && !container.oneoff) restarted.set(container.service, [...(restarted.get(container.service) ?? []), index]);
  }
  for (const name of graph.order) {
    if (restarted.has(name)) continue;
    const because = Object.entries(graph.dependencies(name)).filter(([dependency, { restart }]) => restart && restarted.has(dependency));
    const [first] = because;
    const running = replicasOf(observed, name).filter(isRunning);
    if (first === undefined || running.length === 0) continue;
    const after = because.flatMap(([dependency, { condition }]) => (condition === "service_healthy" ? [gate(inputs, dependency, name, restarted)] : (restarted.get(dependency) ?? [])));
    const reason = `${first[0]} is restarted`;
    restarted.set(
      name,
      running.map((container) =>
        builder.add(`treat-container ${container.name}`, { kind: "treat-container", ...nameOf(container), action: "restart", reason, by: "dependency" }, { cause: reason, after }),
      ),
    );
  }
}

const nameOf = ({ name, service, id }: ObservedContainer): { readonly name: string; readonly service: string; readonly container: ObservedContainer["id"] } => ({ name, service, container: id });

function gate({ builder, observed }: Inputs, service: string, dependent: string, restarted: ReadonlyMap<string, readonly OperationIndex[]>): OperationIndex {
  const containers = replicasOf(observed, service).filter(isRunning).map(({ name }) => name);
  return builder.add(
    `wait ${service} service_healthy for ${dependent}`,
    { kind: "wait", service, condition: "service_healthy", containers, required: true },
    { cause: `${dependent} needs ${service}: healthy`, after: restarted.get(service) ?? [] },
  );
}
