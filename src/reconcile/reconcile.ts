import type { Project } from "../model/index.ts";
import { PlanBuilder } from "./builder.ts";
import type { ReconcileContext } from "./context.ts";
import { planDown } from "./down.ts";
import { serviceGraph } from "./graph.ts";
import type { ObservedState } from "./observed.ts";
import type { Plan, ReconcileOptions } from "./plan.ts";
import { planKill, planRemove, planRestart, planStart, planStop } from "./subset.ts";
import { planUp } from "./up.ts";

/**
 * From what exists and what is wanted to the operations that lead there. Throws a StackError for what no plan
 * can mend: an unknown service, an external network that is missing, a gate that could never open.
 */
export function reconcile(project: Project, observed: ObservedState, options: ReconcileOptions, context: ReconcileContext): Plan {
  const builder = new PlanBuilder();
  const inputs = { project, observed, options, context, builder, graph: serviceGraph(project, observed) };
  switch (options.goal) {
    case "up":
    case "create":
      planUp(inputs);
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
