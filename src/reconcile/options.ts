import type { ReconcileOptions } from "./plan.ts";

/** What a command asks for; everything it does not name is as if no flag were given. */
export function reconcileOptions(goal: ReconcileOptions["goal"], more: Partial<ReconcileOptions> = {}): ReconcileOptions {
  return {
    goal,
    services: [],
    undeclared: false,
    noDeps: false,
    recreate: "diverged",
    recreateDependencies: false,
    renewAnonymousVolumes: false,
    removeOrphans: false,
    ignoreOrphans: false,
    scale: {},
    removeVolumes: false,
    wait: false,
    removeStopFirst: false,
    removeAnonymousVolumes: false,
    answers: [],
    ...more,
  };
}
