/**
 * health: what probes mean. The state machines are pure; the runners ask whoever executes probes and keep time.
 * Never does: know how a probe is executed or how a container is restarted (the engine hands that in).
 */
export * from "./machine.ts";
export * from "./readiness.ts";
export * from "./remedy.ts";
export * from "./runner.ts";
