import { readFileSync } from "node:fs";

/** One line of mountinfo (proc_pid_mountinfo(5)). */
export interface MountEntry {
  readonly mountpoint: string;
  readonly type: string;
  /** Of the super block: names version 1's cgroup controllers. */
  readonly options: string;
}

/** The mounts that this process sees, in the kernel's order: what is mounted later comes later. */
export async function readMounts(): Promise<readonly MountEntry[]> {
  return parseMounts(readFileSync("/proc/self/mountinfo", "utf8"));
}

export function parseMounts(text: string): readonly MountEntry[] {
  return text.split("\n").flatMap((line) => {
    const [left, right] = line.split(" - ", 2);
    const mountpoint = left?.split(" ")[4];
    const [type, , options] = right?.split(" ") ?? [];
    if (mountpoint === undefined || type === undefined) return [];
    return [{ mountpoint: unescapeOctal(mountpoint), type, options: options ?? "" }];
  });
}

/** Space, tab, newline and backslash are written in octal. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}

/** Mount points at or below `directory`, innermost and latest first: the order of unmounting. */
export function mountsBelow(mounts: readonly MountEntry[], directory: string): readonly string[] {
  return mounts
    .map((mount) => mount.mountpoint)
    .filter((point) => point === directory || point.startsWith(`${directory}/`))
    .reverse();
}
