import { readdir, readFile, readlink } from "node:fs/promises";

/**
 * Who listens on a port of this host: from /proc/net/{tcp,udp}{,6} to the inode, from there to the process.
 * For an error message only: undefined when it cannot be told.
 */
export async function portOwner(port: number, protocol: "tcp" | "udp"): Promise<{ pid: number; name: string; commandLine: string } | undefined> {
  const inodes = new Set<string>();
  for (const table of [protocol, `${protocol}6`]) {
    const text = await readFile(`/proc/net/${table}`, "utf8").catch(() => "");
    for (const line of text.split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      const local = fields[1] ?? "";
      const listening = protocol === "udp" || fields[3] === "0A";
      if (listening && Number.parseInt(local.slice(local.lastIndexOf(":") + 1), 16) === port && fields[9] !== undefined)
        inodes.add(`socket:[${fields[9]}]`);
    }
  }
  if (inodes.size === 0) return undefined;
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    for (const fd of await readdir(`/proc/${entry}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${entry}/fd/${fd}`).catch(() => "");
      if (!inodes.has(target)) continue;
      const name = (await readFile(`/proc/${entry}/comm`, "utf8").catch(() => "?")).trim();
      const commandLine = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
      return { pid: Number(entry), name, commandLine };
    }
  }
  return undefined;
}
