import { readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readMounts } from "../core/index.ts";

/**
 * What a killed monitor left in the cgroup trees: kills the processes that are still in the container's
 * cgroup, removes it, and its parent if that is the project's and empty. Without leftovers it costs one
 * read of mountinfo and a failing rmdir for each hierarchy.
 */
export async function removeCgroups(path: string | undefined): Promise<void> {
  if (path === undefined || !/^\/[^/]/.test(path) || path.split("/").includes("..")) return;
  const hierarchies = (await readMounts()).filter((mount) => mount.type === "cgroup" || mount.type === "cgroup2");
  for (const { mountpoint } of hierarchies) {
    const directory = join(mountpoint, path);
    await removeTree(directory);
    if (path.startsWith("/stack/")) await rmdir(dirname(directory)).catch(() => undefined); // others of the project are in it
  }
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
