/**
 * engine: observe → reconcile → execute, and the events of it. Wires the resource rooms together, holds no policy.
 */
export { agentCommand } from "./agent-command.ts";
export { describeEnd, signalName } from "./describe.ts";
export * from "./engine.ts";
export { ProjectSession } from "./session.ts";
export type { StartTimings, TimedStep } from "./start-timings.ts";
export type * from "./types.ts";
export type { FileAccess, FileStat } from "../runtime/index.ts";
export { version } from "./version.ts";
