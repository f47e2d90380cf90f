import { readFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { cgroupDirectories, cgroupsOf, containerCgroup, readMounts } from "../core/index.ts";
import type { CgroupMembership, MountEntry } from "../core/index.ts";
import type { ContainerSummary } from "../engine/index.ts";

/** What a container uses now, read from its control groups; counters since it started. */
export interface Usage {
  /** Nanoseconds of processor time. */
  readonly cpu: number;
  /** When it was read, nanoseconds of a monotonic clock. */
  readonly at: number;
  /** Bytes without the page cache that could be dropped, as Docker counts it. */
  readonly memory: number;
  readonly memoryLimit: number;
  readonly pids: number;
  readonly received: number;
  readonly sent: number;
  readonly read: number;
  readonly written: number;
}

/** Undefined: it does not run. */
export async function usageOf(container: ContainerSummary): Promise<Usage | undefined> {
  const pid = container.state?.pid ?? 0;
  if (pid <= 0) return undefined;
  const [mounts, memberships, network] = await Promise.all([readMounts(), cgroupsOf(pid), networkBytes(pid)]);
  if (memberships.length === 0) return undefined;
  const directory = (controller: string): Place => place(memberships, mounts, container.id, controller);
  const [cpu, memory, pids, io] = await Promise.all([
    cpuTime(directory("cpuacct") ?? directory("")),
    memoryUse(directory("memory") ?? directory("")),
    pidCount(directory("pids") ?? directory("")),
    blockBytes(directory("blkio") ?? directory("")),
  ]);
  return { cpu, at: Number(process.hrtime.bigint()), ...memory, pids, ...network, ...io };
}

/** The container's own group, or, where a runtime of somebody else put it elsewhere, the one its first process is in. */
function place(memberships: readonly CgroupMembership[], mounts: readonly MountEntry[], id: string, controller: string): Place {
  const found = memberships.find(({ controllers }) => (controller === "" ? controllers.length === 0 : controllers.includes(controller)));
  if (found === undefined) return undefined;
  const [group] = cgroupDirectories([{ ...found, path: containerCgroup(found.path, id) ?? found.path }], mounts);
  return group === undefined ? undefined : { path: group.directory, v2: controller === "" };
}

type Place = { readonly path: string; readonly v2: boolean } | undefined;

async function cpuTime(at: Place): Promise<number> {
  if (at === undefined) return 0;
  if (at.v2) return field(await content(`${at.path}/cpu.stat`), "usage_usec") * 1000;
  return number(await content(`${at.path}/cpuacct.usage`));
}

async function memoryUse(at: Place): Promise<{ readonly memory: number; readonly memoryLimit: number }> {
  const total = totalmem();
  if (at === undefined) return { memory: 0, memoryLimit: total };
  const names = at.v2 ? ["memory.current", "memory.max"] : ["memory.usage_in_bytes", "memory.limit_in_bytes"];
  const [used = "", limit = "", stat = ""] = await Promise.all([...names, "memory.stat"].map((name) => content(`${at.path}/${name}`)));
  const cache = field(stat, at.v2 ? "inactive_file" : "total_inactive_file");
  const maximum = limit.trim() === "max" ? total : number(limit);
  return { memory: Math.max(0, number(used) - cache), memoryLimit: maximum > 0 ? Math.min(maximum, total) : total };
}

async function pidCount(at: Place): Promise<number> {
  return at === undefined ? 0 : number(await content(`${at.path}/pids.current`));
}

async function blockBytes(at: Place): Promise<{ readonly read: number; readonly written: number }> {
  if (at === undefined) return { read: 0, written: 0 };
  let read = 0;
  let written = 0;
  if (at.v2) {
    for (const match of (await content(`${at.path}/io.stat`)).matchAll(/\b(r|w)bytes=(\d+)/g)) {
      if (match[1] === "r") read += Number(match[2]);
      else written += Number(match[2]);
    }
  } else {
    for (const match of (await content(`${at.path}/blkio.throttle.io_service_bytes_recursive`)).matchAll(/^\S+ (Read|Write) (\d+)$/gm)) {
      if (match[1] === "Read") read += Number(match[2]);
      else written += Number(match[2]);
    }
  }
  return { read, written };
}

/** All links of its network namespace but the loopback. */
async function networkBytes(pid: number): Promise<{ readonly received: number; readonly sent: number }> {
  let received = 0;
  let sent = 0;
  for (const match of (await content(`/proc/${pid}/net/dev`)).matchAll(/^\s*([^:\s]+):\s*(.*)$/gm)) {
    if (match[1] === "lo") continue;
    const fields = (match[2] ?? "").trim().split(/\s+/);
    received += Number(fields[0] ?? 0);
    sent += Number(fields[8] ?? 0);
  }
  return { received, sent };
}

const content = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
const number = (text: string): number => (/^\d+$/.test(text.trim()) ? Number(text) : 0);
const field = (text: string, name: string): number => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
