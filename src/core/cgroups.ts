import { readFile } from "node:fs/promises";
import type { MountEntry } from "./mounts.ts";

/** A process's place in one hierarchy: a line of `/proc/PID/cgroup` (cgroups(7)). */
export interface CgroupMembership {
  /** Of version 1: the controllers of this hierarchy, or its name (`name=systemd`). Empty: version 2. */
  readonly controllers: readonly string[];
  /** Below the hierarchy's root, with a leading slash. */
  readonly path: string;
}

/** A control group as a directory. */
export interface CgroupDirectory extends CgroupMembership {
  readonly directory: string;
}

/** Empty: the process has gone. */
export async function cgroupsOf(pid: number): Promise<readonly CgroupMembership[]> {
  return parseCgroups(await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => ""));
}

export function parseCgroups(text: string): readonly CgroupMembership[] {
  return text.split("\n").flatMap((line) => {
    const [, controllers, ...rest] = line.split(":");
    if (controllers === undefined || rest.length === 0) return [];
    return [{ controllers: controllers === "" ? [] : controllers.split(","), path: rest.join(":") }];
  });
}

/** The container's own group, above the leaves that its processes are in; undefined: the process is in another one. */
export function containerCgroup(path: string, id: string): string | undefined {
  const at = path.indexOf(id);
  return at < 0 ? undefined : path.slice(0, at + id.length);
}

/** The groups of these memberships as directories; left out are those whose hierarchy is not mounted here. */
export function cgroupDirectories(memberships: readonly CgroupMembership[], mounts: readonly MountEntry[]): readonly CgroupDirectory[] {
  return memberships.flatMap((membership) => {
    const [controller] = membership.controllers;
    const mount = mounts.find(({ type, options }) => (controller === undefined ? type === "cgroup2" : type === "cgroup" && options.split(",").includes(controller)));
    return mount === undefined ? [] : [{ ...membership, directory: mount.mountpoint + membership.path }];
  });
}

/** The container's own group in every hierarchy, of a container whose process `pid` is. */
export async function containerCgroups(id: string, pid: number, mounts: readonly MountEntry[]): Promise<readonly CgroupDirectory[]> {
  const own = (await cgroupsOf(pid)).flatMap((membership) => {
    const path = containerCgroup(membership.path, id);
    return path === undefined ? [] : [{ ...membership, path }];
  });
  return cgroupDirectories(own, mounts);
}
