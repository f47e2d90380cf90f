import { mkdir, readFile } from "node:fs/promises";
import type { NativeBinding } from "../native/index.ts";
import type { MonitorSpec } from "./formats.ts";

const MS_NOSUID = 2;
const MS_NODEV = 4;

/** One line of mountinfo (proc_pid_mountinfo(5)). */
export interface MountEntry {
  readonly mountpoint: string;
  readonly type: string;
  /** Of the super block: names v1's controllers. */
  readonly options: string;
}

export async function readMounts(): Promise<readonly MountEntry[]> {
  return parseMounts(await readFile("/proc/self/mountinfo", "utf8"));
}

/** In the kernel's order: what is mounted later comes later. */
export function parseMounts(text: string): readonly MountEntry[] {
  return text.split("\n").flatMap((line) => {
    const [left, right] = line.split(" - ", 2);
    const mountpoint = left?.split(" ")[4];
    const [type, , options] = right?.split(" ") ?? [];
    if (mountpoint === undefined || type === undefined) return [];
    return [{ mountpoint: unescape(mountpoint), type, options: options ?? "" }];
  });
}

/** Space, tab, newline and backslash are written in octal. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}

/** Everything mounted at or below `directory`, innermost and latest first: the order of unmounting. */
export function mountsBelow(mounts: readonly MountEntry[], directory: string): readonly string[] {
  return mounts
    .map((mount) => mount.mountpoint)
    .filter((point) => point === directory || point.startsWith(`${directory}/`))
    .reverse();
}

/** Mounts what a container needs on the host before it starts (after a reboot: again). Idempotent. */
export async function mountHostMounts(native: Pick<NativeBinding, "mount">, spec: Pick<MonitorSpec, "hostMounts">): Promise<void> {
  if (spec.hostMounts === undefined || spec.hostMounts.length === 0) return;
  const present = new Set((await readMounts()).map((mount) => mount.mountpoint));
  for (const { type, target, data } of spec.hostMounts) {
    if (present.has(target)) continue;
    await mkdir(target, { recursive: true, mode: 0o700 });
    native.mount({ source: "stack", target, type, flags: MS_NOSUID | MS_NODEV, data });
  }
}
