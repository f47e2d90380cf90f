import type { ServiceInput } from "./input.ts";

/** Programs that are an init, or that must be process 1 themselves. */
const inits = new Set([
  "systemd", "init", "openrc-init", "runit-init", "linuxrc", "tini", "tini-static", "dumb-init", "docker-init", "catatonit",
  "s6-svscan", "s6-overlay-suexec", "runsvdir", "runsvdir-start", "my_init", "supervisord", "pid1", "nitro", "dinit",
]);

/** Those that cannot do their work as another process than 1: tini and its like, and supervisord, can. */
const firstOnly = new Set(["systemd", "init", "openrc-init", "runit-init", "linuxrc", "s6-svscan", "s6-overlay-suexec"]);

/** Has this program to be process 1 itself? */
export function mustBeFirst(args: readonly string[]): boolean {
  const name = (path: string | undefined): string => path?.split("/").at(-1) ?? "";
  return firstOnly.has(name(name(args[0]) === "busybox" ? args[1] : args[0]));
}

/** Does the process that the container starts bring its own init (systemd, s6-overlay's /init, tini …)? */
export function bringsOwnInit(args: readonly string[]): boolean {
  const name = (path: string | undefined): string => path?.split("/").at(-1) ?? "";
  const [first, second] = args;
  if (first === undefined) return false;
  if (name(first) === "busybox") return inits.has(name(second));
  // supervisord is a script: `python3 /usr/bin/supervisord`
  if (/^python[\d.]*$/.test(name(first))) return name(second) === "supervisord";
  return inits.has(name(first));
}

/**
 * Is our init process 1? What the service says counts, except that a foreign runtime has no place for it and
 * that in somebody else's pid namespace there is no process 1 to be.
 */
export function usesInit(service: Pick<ServiceInput, "init" | "runtime" | "pid">, args: readonly string[]): boolean {
  if (isForeignRuntime(service.runtime) || (service.pid !== undefined && service.pid !== "")) return false;
  return service.init ?? !bringsOwnInit(args);
}

/** `runtime: runc`: everything but our own names. */
export function isForeignRuntime(runtime: string | undefined): boolean {
  return runtime !== undefined && runtime !== "" && runtime !== "stack" && runtime !== "stack-runtime";
}
