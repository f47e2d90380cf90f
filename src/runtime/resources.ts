import { StackError } from "../core/index.ts";
import { deviceRules } from "./devices.ts";
import type { BlkioRateInput, HostFacts, ServiceInput } from "./input.ts";
import type { OciBlockRate, OciProcess, OciResources } from "./oci.ts";

type Optional<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** Leaves out what is undefined; undefined if nothing is left. */
function compact<T extends object>(value: Optional<T>): T | undefined {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as T);
}

/** `linux.resources` in version 1's words (config-linux.md, "Control groups"). */
export function toResources(service: ServiceInput, host: HostFacts): OciResources {
  const memory = memoryLimits(service);
  const cpu = cpuLimits(service);
  const blockIO = blockLimits(service, host);
  const { pids } = service.limits;
  return {
    devices: deviceRules(service, host),
    ...(memory === undefined ? {} : { memory }),
    ...(cpu === undefined ? {} : { cpu }),
    ...(pids === undefined || pids <= 0 ? {} : { pids: { limit: pids } }),
    ...(blockIO === undefined ? {} : { blockIO }),
  };
}

const positive = (value: number | undefined): number | undefined => (value === undefined || value === 0 ? undefined : value);

/** Docker: without a limit of its own, memory and swap together may be twice the memory. */
function memoryLimits(service: ServiceInput): OciResources["memory"] {
  const { limits } = service;
  const limit = positive(limits.mem_limit);
  const reservation = positive(limits.mem_reservation);
  const swap = positive(limits.memswap_limit);
  const fail = (why: string, hint: string): never => {
    throw new StackError("usage", `Service "${service.name}": ${why}`, { hint });
  };
  if (swap !== undefined && limit === undefined && swap > 0) fail("memswap_limit without mem_limit", "Set mem_limit too.");
  if (swap !== undefined && swap > 0 && limit !== undefined && swap < limit)
    fail("memswap_limit is smaller than mem_limit, and it counts memory and swap together", "Make it mem_limit plus the swap.");
  if (reservation !== undefined && limit !== undefined && reservation > limit)
    fail("mem_reservation is larger than mem_limit", "The reservation is the soft limit below the hard one.");
  return compact<NonNullable<OciResources["memory"]>>({
    limit,
    reservation,
    swap: swap ?? (limit === undefined || limit < 0 ? undefined : limit * 2),
    swappiness: limits.mem_swappiness === undefined || limits.mem_swappiness < 0 ? undefined : limits.mem_swappiness,
    disableOOMKiller: service.oom_kill_disable ? true : undefined,
  });
}

const cfsPeriod = 100_000;

function cpuLimits(service: ServiceInput): OciResources["cpu"] {
  const { limits } = service;
  const cpus = positive(limits.cpus);
  if (cpus !== undefined && (positive(limits.cpu_quota) !== undefined || positive(limits.cpu_period) !== undefined))
    throw new StackError("usage", `Service "${service.name}": cpus and cpu_quota or cpu_period exclude each other`, {
      hint: "cpus: 1.5 is the same as cpu_quota: 150000 with cpu_period: 100000.",
    });
  return compact<NonNullable<OciResources["cpu"]>>({
    shares: positive(limits.cpu_shares),
    quota: cpus === undefined ? positive(limits.cpu_quota) : Math.round(cpus * cfsPeriod),
    period: cpus === undefined ? positive(limits.cpu_period) : cfsPeriod,
    realtimeRuntime: positive(limits.cpu_rt_runtime),
    realtimePeriod: positive(limits.cpu_rt_period),
    cpus: limits.cpuset === "" ? undefined : limits.cpuset,
  });
}

function blockLimits(service: ServiceInput, host: HostFacts): OciResources["blockIO"] {
  const blkio = service.blkio_config;
  if (blkio === undefined) return undefined;
  const number = (path: string): { readonly major: number; readonly minor: number } => {
    const node = host.devices[path];
    if (node?.type !== "b")
      throw new StackError("usage", `Service "${service.name}": blkio_config: ${path} is not a block device of this machine`, {
        hint: "lsblk -p lists them.",
      });
    return { major: node.major, minor: node.minor };
  };
  const rates = (list: readonly BlkioRateInput[]): readonly OciBlockRate[] | undefined =>
    list.length === 0 ? undefined : list.map(({ path, rate }) => ({ ...number(path), rate }));
  return compact<NonNullable<OciResources["blockIO"]>>({
    weight: positive(blkio.weight),
    weightDevice: blkio.weight_device.length === 0 ? undefined : blkio.weight_device.map(({ path, weight }) => ({ ...number(path), weight })),
    throttleReadBpsDevice: rates(blkio.device_read_bps),
    throttleWriteBpsDevice: rates(blkio.device_write_bps),
    throttleReadIOPSDevice: rates(blkio.device_read_iops),
    throttleWriteIOPSDevice: rates(blkio.device_write_iops),
  });
}

const limitNames = [
  "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime",
  "sigpending", "stack",
];

/** -1: without limit (getrlimit(2), RLIM_INFINITY). */
export function toRlimits(service: Pick<ServiceInput, "name" | "ulimits">): OciProcess["rlimits"] {
  return Object.entries(service.ulimits).map(([name, { soft, hard }]) => {
    const lower = name.toLowerCase();
    if (!limitNames.includes(lower))
      throw new StackError("usage", `Service "${service.name}": ulimits: there is no limit "${name}"`, { hint: `Known are ${limitNames.join(", ")}.` });
    if (hard >= 0 && (soft < 0 || soft > hard))
      throw new StackError("usage", `Service "${service.name}": ulimits: ${name}: the soft limit ${soft} is above the hard limit ${hard}`);
    return { type: `RLIMIT_${lower.toUpperCase()}`, soft, hard };
  });
}
