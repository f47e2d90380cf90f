/**
 * health: what probes mean. The state machine is pure; the runner asks whoever executes probes and keeps time.
 * Never does: know how a probe is executed (the engine hands that in).
 */
export * from "./machine.ts";
export * from "./runner.ts";
