import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { paths } from "../core/index.ts";
import type { ContainerId, DataRoot } from "../core/index.ts";

/**
 * The router's pin is a mount, and so belongs to the mount namespace of whoever made it: a command in another one
 * (`unshare -m`, a systemd unit with PrivateMounts=) sees an empty file. The monitors of its containers still have
 * it: their view of the same path, by /proc/PID/root (proc_pid_root(5)).
 */
export function pinsElsewhere(root: DataRoot): readonly string[] {
  return containersOf(root).flatMap((id) => {
    const directory = paths.container(root, id);
    const pid = monitorPid(directory);
    return pid !== undefined && isMonitor(pid, directory) ? [join("/proc", String(pid), "root", paths.router(root))] : [];
  });
}

function containersOf(root: DataRoot): readonly ContainerId[] {
  try {
    return readdirSync(paths.containers(root)).filter((name): name is ContainerId => /^[0-9a-f]{64}$/.test(name));
  } catch {
    return []; // no container was ever made
  }
}

function monitorPid(directory: string): number | undefined {
  try {
    const { monitorPid: pid } = JSON.parse(readFileSync(join(directory, "state.json"), "utf8")) as { readonly monitorPid?: unknown };
    return typeof pid === "number" && pid > 0 ? pid : undefined;
  } catch {
    return undefined; // never started
  }
}

/** Process ids are used again: it must be of our own user (a user namespace's root shows as somebody else) and say whose it is. */
function isMonitor(pid: number, directory: string): boolean {
  try {
    const at = join("/proc", String(pid));
    return statSync(at).uid === process.getuid?.() && readFileSync(join(at, "cmdline"), "utf8").split("\0").includes(directory);
  } catch {
    return false; // it has ended
  }
}
