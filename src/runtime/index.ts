/**
 * runtime: one container. From a service to an OCI configuration and a monitor's task (pure), and the
 * client of the monitor: create, start, stop, kill, exec, attach, wait, state.
 * Never does: know other containers, networks or images.
 */
export * from "./formats.ts";
