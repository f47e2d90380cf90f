import { readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readMounts } from "../core/index.ts";

/**
 * What a killed monitor left in the cgroup trees: kills the processes that are still in the container's
 * cgroup, and removes it. Without leftovers it costs one read of mountinfo and a failing readdir for each hierarchy.
 */
export async function removeCgroups(path: string): Promise<void> {
  for (const mountpoint of await hierarchies(path)) await removeTree(join(mountpoint, path));
}

/** The project's own directory, once its last container has gone. `last`: of all projects. The caller knows that none is being started. */
export async function removeProjectCgroups(path: string, last: boolean): Promise<void> {
  if (!path.startsWith("/stack/")) return; // cgroup_parent is the user's
  for (const mountpoint of await hierarchies(path)) {
    const project = dirname(join(mountpoint, path));
    // Not empty: somebody put something there that is not ours.
    await rmdir(project).catch(() => undefined);
    if (last) await rmdir(dirname(project)).catch(() => undefined);
  }
}

async function hierarchies(path: string): Promise<readonly string[]> {
  if (!/^\/[^/]/.test(path) || path.split("/").includes("..")) return [];
  return (await readMounts()).flatMap((mount) => (mount.type === "cgroup" || mount.type === "cgroup2" ? [mount.mountpoint] : []));
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
