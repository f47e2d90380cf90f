import { existsSync, rmdirSync } from "node:fs";
import { readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cgroupsOf, containerCgroup, namesIn, parseContainerId, readMounts } from "../core/index.ts";
import type { ContainerId, MountEntry } from "../core/index.ts";

/**
 * What a killed monitor left in the cgroup trees: kills the processes that are still in the container's
 * cgroup, and removes it. Without leftovers it costs one failing system call for each hierarchy.
 */
export async function removeCgroups(path: string, mounts: readonly MountEntry[]): Promise<void> {
  for (const mountpoint of hierarchies(path, mounts)) {
    const directory = join(mountpoint, path);
    if (existsSync(directory)) await removeTree(directory);
  }
}

/** What still runs of a container whose files somebody has removed: by what a process of it says of its groups. */
export async function killRemains(id: ContainerId, pid: number): Promise<void> {
  const own = (await cgroupsOf(pid)).flatMap(({ path }) => containerCgroup(path, id) ?? []);
  const mounts = await readMounts();
  for (const path of new Set(own)) await removeCgroups(path, mounts);
}

/**
 * Ends what runs in groups below `parent` (a project's) that belong to no container: somebody removed its files while no
 * agent was there to see it. `known`: ids of all containers, also of those that are being made. Returns what was ended.
 */
export async function endStrangers(parent: string, known: ReadonlySet<string>): Promise<readonly ContainerId[]> {
  const found = new Set<ContainerId>();
  const mounts = await readMounts();
  for (const mountpoint of hierarchies(parent, mounts)) {
    for (const name of namesIn(join(mountpoint, parent))) {
      const id = parseContainerId(name);
      if (id !== undefined && !known.has(id)) found.add(id);
    }
  }
  for (const id of found) {
    for (const monitor of await monitorsOf(join(parent, id), id, mounts)) killQuietly(monitor);
    await removeCgroups(join(parent, id), mounts);
  }
  return [...found];
}

/** Process ids of the container's monitor: the parent of its first process. It would start the container again. */
async function monitorsOf(path: string, id: ContainerId, mounts: readonly MountEntry[]): Promise<ReadonlySet<number>> {
  const found = new Set<number>();
  for (const mountpoint of hierarchies(path, mounts)) {
    for (const leaf of ["", "init"]) {
      for (const pid of (await content(join(mountpoint, path, leaf, "cgroup.procs"))).split("\n")) {
        const parent = /^PPid:\s*(\d+)$/m.exec(pid === "" ? "" : await content(`/proc/${pid}/status`))?.[1];
        if (parent !== undefined && /^stack-runtime\b.*\bmonitor\b/.test(await content(`/proc/${parent}/cmdline`)) && (await content(`/proc/${parent}/cmdline`)).includes(id)) found.add(Number(parent));
      }
    }
  }
  return found;
}

const content = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");

/** The project's own directory, once its last container has gone. `last`: of all projects. The caller knows that none is being started. */
export async function removeProjectCgroups(path: string, last: boolean): Promise<void> {
  if (!path.startsWith("/stack/")) return; // cgroup_parent is the user's
  for (const mountpoint of hierarchies(path, await readMounts())) {
    const project = dirname(join(mountpoint, path));
    // Not empty: somebody put something there that is not ours.
    for (const directory of last ? [project, dirname(project)] : [project]) {
      try {
        rmdirSync(directory);
      } catch {
        break;
      }
    }
  }
}

function hierarchies(path: string, mounts: readonly MountEntry[]): readonly string[] {
  if (!/^\/[^/]/.test(path) || path.split("/").includes("..")) return [];
  return mounts.flatMap((mount) => (mount.type === "cgroup" || mount.type === "cgroup2" ? [mount.mountpoint] : []));
}

async function removeTree(directory: string): Promise<void> {
  const children = await readdir(directory, { withFileTypes: true }).catch(() => undefined);
  if (children === undefined) return;
  for (const child of children) if (child.isDirectory()) await removeTree(join(directory, child.name));
  for (let attempt = 0; attempt < 100; attempt++) {
    const busy = await rmdir(directory).then(
      () => false,
      (error: unknown) => (error as NodeJS.ErrnoException).code === "EBUSY",
    );
    if (!busy) return;
    await killAll(directory);
    // A killed process leaves its cgroup a moment later, and version 1 has no event for that.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function killAll(directory: string): Promise<void> {
  const killed = await writeFile(join(directory, "cgroup.kill"), "1", { flag: "r+" }).then(
    () => true,
    () => false,
  );
  if (killed) return;
  for (const line of (await readFile(join(directory, "cgroup.procs"), "utf8").catch(() => "")).split("\n")) {
    const pid = Number(line);
    if (pid > 1 && pid !== process.pid) killQuietly(pid);
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has gone meanwhile.
  }
}
