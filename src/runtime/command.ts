import { StackError } from "../core/index.ts";
import type { ImageInput, ServiceInput } from "./input.ts";

/** What Docker gives every Linux container that brings no PATH of its own. */
export const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The words that the main process is executed with. Docker's rule: an entrypoint that the service sets
 * (even an empty one) makes the image's command void; a command alone keeps the image's entrypoint.
 */
export function processArgs(service: Pick<ServiceInput, "name" | "entrypoint" | "command">, image: ImageInput | null): readonly string[] {
  const own = service.entrypoint ?? undefined;
  const entrypoint = own ?? image?.entrypoint ?? [];
  const command = service.command ?? (own === undefined ? (image?.cmd ?? []) : []);
  const args = [...entrypoint, ...command];
  if (args.length === 0)
    throw new StackError("command-not-found", `Service "${service.name}" has no command: neither it nor its image names one`, {
      hint: "Set `command` or `entrypoint` in the service.",
    });
  return args;
}

/**
 * PATH, then the image's, then the service's variables, each name once, the last value winning in the
 * first one's place. `null` takes a variable of the image away. HOME is not here: it is each process's own
 * (`exec -u`), so the runtime sets it from /etc/passwd where nobody else did.
 */
export function processEnv(
  service: Pick<ServiceInput, "environment" | "tty">,
  image: ImageInput | null,
  hostname: string,
): readonly string[] {
  const variables = new Map<string, string>([["PATH", defaultPath], ["HOSTNAME", hostname]]);
  if (service.tty) variables.set("TERM", "xterm");
  for (const line of image?.env ?? []) {
    const at = line.indexOf("=");
    if (at > 0) variables.set(line.slice(0, at), line.slice(at + 1));
  }
  for (const [name, value] of Object.entries(service.environment)) {
    if (value === null) variables.delete(name);
    else variables.set(name, value);
  }
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

/** The directory that the process starts in: the service's, the image's, `/`; relative ones below `/`, as Docker has it. */
export function processCwd(service: Pick<ServiceInput, "working_dir">, image: ImageInput | null): string {
  const wanted = service.working_dir ?? image?.workingDir ?? "";
  return cleanPath(wanted);
}

/** An absolute path without `.`, `..`, empty parts and trailing slash. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return `/${parts.join("/")}`;
}
