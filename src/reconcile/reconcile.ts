import type { Project } from "../model/index.ts";
import { PlanBuilder } from "./builder.ts";
import type { ReconcileContext } from "./context.ts";
import { planDown } from "./down.ts";
import { serviceGraph } from "./graph.ts";
import type { ObservedState } from "./observed.ts";
import type { Plan, ReconcileOptions } from "./plan.ts";
import { planKill, planRemove, planRestart, planStart, planStop } from "./subset.ts";
import { planTreat } from "./treat.ts";
import { planUp } from "./up.ts";

/**
 * From what exists and what is wanted to the operations that lead there. Throws a StackError for what no plan
 * can mend: an unknown service, an external network that is missing, a gate that could never open.
 */
export function reconcile(project: Project, observed: ObservedState, options: ReconcileOptions, context: ReconcileContext): Plan {
  const builder = new PlanBuilder();
  const state = ordered(observed);
  const inputs = { project, observed: state, options, context, builder, graph: serviceGraph(project, state) };
  switch (options.goal) {
    case "up":
    case "create":
    case "heal":
      planUp(inputs);
      break;
    case "treat":
      planTreat(inputs);
      break;
    case "start":
      planStart(inputs);
      break;
    case "stop":
      planStop(inputs);
      break;
    case "restart":
      planRestart(inputs);
      break;
    case "down":
      planDown(inputs);
      break;
    case "remove":
      planRemove(inputs);
      break;
    case "kill":
      planKill(inputs);
      break;
  }
  return builder.finish();
}

/** Discovery promises no order; the same state gives the same plan. */
function ordered(observed: ObservedState): ObservedState {
  const by = <T>(key: (one: T) => string) => (a: T, b: T): number => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
  return {
    ...observed,
    containers: [...observed.containers].sort((a, b) => by<typeof a>((one) => one.service)(a, b) || a.number - b.number || by<typeof a>((one) => `${one.name} ${one.id}`)(a, b)),
    networks: [...observed.networks].sort(by((one) => `${one.name} ${one.id}`)),
    volumes: [...observed.volumes].sort(by((one) => one.name)),
  };
}
