/**
 * reconcile: observed state + project + what was asked → plan. Pure, total, deterministic:
 * no I/O, no clock, no environment. Promises: planning again after the plan succeeded gives an empty plan.
 */
export type * from "./context.ts";
export type * from "./observed.ts";
export { reconcileOptions } from "./options.ts";
export * from "./plan.ts";
export { reconcile } from "./reconcile.ts";
export { renderPlan } from "./render.ts";
export { criticalPath, waitedFor } from "./critical-path.ts";
export type { CriticalStep, TimedOperation } from "./critical-path.ts";
