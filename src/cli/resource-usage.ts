import { readFile } from "node:fs/promises";
import { totalmem } from "node:os";
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

interface Mounts {
  /** Controller → where its v1 hierarchy is mounted. */
  readonly v1: ReadonlyMap<string, string>;
  readonly v2: string | undefined;
}

/** Undefined: it does not run. */
export async function usageOf(container: ContainerSummary): Promise<Usage | undefined> {
  const pid = container.state?.pid ?? 0;
  if (pid <= 0) return undefined;
  const [mounts, membership, network] = await Promise.all([cgroupMounts(), content(`/proc/${pid}/cgroup`), networkBytes(pid)]);
  if (membership === "") return undefined;
  const directory = (controller: string): { readonly path: string; readonly v2: boolean } | undefined => place(mounts, membership, container.id, controller);
  const [cpu, memory, pids, io] = await Promise.all([
    cpuTime(directory("cpuacct") ?? directory("")),
    memoryUse(directory("memory") ?? directory("")),
    pidCount(directory("pids") ?? directory("")),
    blockBytes(directory("blkio") ?? directory("")),
  ]);
  return { cpu, at: Number(process.hrtime.bigint()), ...memory, pids, ...network, ...io };
}

/** The container's own group, above the leaves in which its processes are. */
function place(mounts: Mounts, membership: string, id: string, controller: string): { readonly path: string; readonly v2: boolean } | undefined {
  for (const line of membership.split("\n")) {
    const [, controllers = "", ...rest] = line.split(":");
    const path = rest.join(":");
    const at = path.indexOf(id);
    const own = at < 0 ? path : path.slice(0, at + id.length);
    if (controller === "" && controllers === "" && mounts.v2 !== undefined) return { path: mounts.v2 + own, v2: true };
    const mount = mounts.v1.get(controller);
    if (controller !== "" && mount !== undefined && controllers.split(",").includes(controller)) return { path: mount + own, v2: false };
  }
  return undefined;
}

async function cgroupMounts(): Promise<Mounts> {
  const v1 = new Map<string, string>();
  let v2: string | undefined;
  for (const line of (await content("/proc/self/mounts")).split("\n")) {
    const [, target = "", type = "", options = ""] = line.split(" ");
    if (type === "cgroup2") v2 ??= target;
    else if (type === "cgroup") for (const option of options.split(",")) v1.set(option, target);
  }
  return { v1, v2 };
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
