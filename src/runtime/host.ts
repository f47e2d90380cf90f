import { existsSync, readFileSync, statfsSync } from "node:fs";
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { availableParallelism, hostname, release } from "node:os";
import { join, resolve } from "node:path";
import { StackError } from "../core/index.ts";
import { allCapabilities } from "./capabilities.ts";
import type { DeviceNode, HostFacts, ServiceInput } from "./input.ts";
import { parseSeccompProfile } from "./seccomp.ts";
import { parseSecurityOptions } from "./security.ts";

/** What cannot change while this process runs. */
type FixedFacts = Omit<HostFacts, "devices" | "seccomp" | "hostname">;

let fixed: FixedFacts | undefined;

/** Go's names for what Node calls otherwise. */
const architectures: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le", loong64: "loong64" };
const cgroup2Magic = 0x63677270;

function fixedFacts(): FixedFacts {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return (fixed ??= {
    arch: architectures[process.arch] ?? process.arch,
    kernel: [major, minor],
    capabilities: ownCapabilities(readFileSync("/proc/self/status", "utf8")),
    apparmor: readQuietly("/sys/module/apparmor/parameters/enabled").startsWith("Y"),
    selinux: readQuietly("/sys/fs/selinux/enforce") !== "",
    shm: existsSync("/dev/shm"),
    cpus: availableParallelism(),
    cgroup2: isCgroup2("/sys/fs/cgroup"),
  });
}

/** `CapEff` of /proc/PID/status, in names: what we may hand on. */
export function ownCapabilities(status: string): readonly string[] {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return allCapabilities.filter((_, bit) => ((mask >> BigInt(bit)) & 1n) === 1n);
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function isCgroup2(path: string): boolean {
  try {
    return statfsSync(path).type === cgroup2Magic;
  } catch {
    return false;
  }
}

/** Looks at what of this machine the service's configuration depends on. */
export async function inspectHost(service: ServiceInput): Promise<HostFacts> {
  const devices: Record<string, DeviceNode> = {};
  if (service.privileged) await collectDevices("/dev", devices, 4);
  for (const { source } of service.devices) if (source.startsWith("/")) await addDevice(source, devices);
  const blkio = service.blkio_config;
  const limited = blkio === undefined ? [] : [...blkio.weight_device, ...blkio.device_read_bps, ...blkio.device_write_bps, ...blkio.device_read_iops, ...blkio.device_write_iops];
  for (const { path } of limited) await addDevice(path, devices);
  const { seccomp } = parseSecurityOptions(service);
  return {
    ...fixedFacts(),
    hostname: hostname(),
    devices,
    ...(seccomp.kind === "file" ? { seccomp: await readSeccomp(service.name, seccomp.path) } : {}),
  };
}

async function readSeccomp(service: string, path: string): Promise<NonNullable<HostFacts["seccomp"]>> {
  const full = resolve(path);
  const text = await readFile(full, "utf8").catch((error: unknown) => {
    throw new StackError("usage", `Service "${service}": security_opt: the seccomp profile ${full} cannot be read`, { cause: error, hint: "Write its path relative to the stack file, or absolute." });
  });
  return parseSeccompProfile(text, full);
}

/** A node, or all nodes in a directory. A symbolic link (/dev/disk/by-id/…) stands for what it points to. */
async function addDevice(path: string, into: Record<string, DeviceNode>): Promise<void> {
  const target = await realpath(path).catch(() => undefined);
  if (target === undefined) return; // toOciConfig says what is missing
  const info = await stat(target);
  if (info.isDirectory()) {
    const found: Record<string, DeviceNode> = {};
    await collectDevices(target, found, 4);
    for (const [inside, node] of Object.entries(found)) into[join(path, inside.slice(target.length))] = node;
    return;
  }
  const node = toNode(info);
  if (node !== undefined) into[path] = node;
}

/** Mounted or made anew in every container, so not the host's own. */
const skipped = new Set(["/dev/pts", "/dev/shm", "/dev/fd", "/dev/mqueue", "/dev/hugepages", "/dev/console", "/dev/ptmx", "/dev/.lxc", "/dev/.lxd-mounts", "/dev/.udev"]);

async function collectDevices(directory: string, into: Record<string, DeviceNode>, depth: number): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (skipped.has(path)) continue;
    if (entry.isDirectory() && depth > 0) await collectDevices(path, into, depth - 1);
    if (!entry.isCharacterDevice() && !entry.isBlockDevice()) continue;
    const node = await stat(path).then(toNode, () => undefined); // unplugged meanwhile
    if (node !== undefined) into[path] = node;
  }
}

/** makedev(3): major and minor are spread over the 64 bits. */
function toNode(info: { readonly rdev: number; readonly mode: number; readonly uid: number; readonly gid: number; isCharacterDevice(): boolean; isBlockDevice(): boolean }): DeviceNode | undefined {
  const type = info.isCharacterDevice() ? "c" : info.isBlockDevice() ? "b" : undefined;
  if (type === undefined) return undefined;
  const rdev = BigInt(info.rdev);
  return {
    type,
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
    mode: info.mode & 0o7777,
    uid: info.uid,
    gid: info.gid,
  };
}
