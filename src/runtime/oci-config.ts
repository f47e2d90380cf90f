import { StackError, shortId } from "../core/index.ts";
import { capabilitySet } from "./capabilities.ts";
import { processCwd, processEnv } from "./command.ts";
import { deviceNodes } from "./devices.ts";
import { usesInit } from "./init.ts";
import type { OciInput, ServiceInput } from "./input.ts";
import { ociMounts } from "./mounts.ts";
import type { NamespaceType, OciConfig, OciLinux, OciProcess } from "./oci.ts";
import { toResources, toRlimits } from "./resources.ts";
import { compileSeccomp } from "./seccomp.ts";
import { defaultSeccompProfile } from "./seccomp-default.ts";
import { parseSecurityOptions } from "./security.ts";
import { containerArgs, isSupervised } from "./supervision.ts";

/** Docker's lists, as moby has them in 2026. */
const maskedPaths = [
  "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
  "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/**
 * One service's container as OCI `config.json`, with Docker's default in every point. Pure: all that depends
 * on the machine is in the input. Namespaces of other containers are opened by the monitor before each start
 * (`MonitorSpec.joins`), the network namespace is the monitor's.
 */
export function toOciConfig(input: OciInput): OciConfig {
  const { service, host } = input;
  refuseUnsupported(service, host);
  const hostname = containerHostname(input);
  const security = parseSecurityOptions(service);
  const args = containerArgs(service, input.image);
  return {
    ociVersion: "1.2.0",
    process: toProcess(input, hostname, args),
    root: { path: "rootfs", readonly: service.read_only },
    ...(service.uts === "host" ? {} : { hostname }),
    ...(service.uts === "host" || service.domainname === undefined ? {} : { domainname: service.domainname }),
    mounts: ociMounts(input.mounts, {
      privileged: service.privileged,
      ipc: service.ipc,
      shmSize: service.shm_size,
      shm: input.shm,
      hostShm: host.shm,
      kernel: host.kernel,
    }),
    annotations: { ...service.annotations, "run.stack.init": String(isSupervised(service) || usesInit(service, args)), ...withinAnnotation(input) },
    linux: toLinux(input, security),
  };
}

/** Mounts by target, with the directory that their source must be found in: the specification has no field for that. */
function withinAnnotation({ mounts }: OciInput): Record<string, string> {
  const within = mounts.flatMap((mount) => (mount.type === "bind" && mount.within !== undefined ? [[mount.target, mount.within] as const] : []));
  return within.length === 0 ? {} : { "run.stack.within": JSON.stringify(Object.fromEntries(within)) };
}

function toProcess(input: OciInput, hostname: string, args: readonly string[]): OciProcess {
  const { service, host, image, user } = input;
  const security = parseSecurityOptions(service);
  const bounding = capabilitySet(service, host.capabilities);
  const apparmor = apparmorProfile(service, security.apparmor, host.apparmor);
  return {
    terminal: service.tty,
    user: { uid: user.uid, gid: user.gid, umask: 0o022, additionalGids: user.additionalGids },
    args,
    env: processEnv(service, image, hostname),
    cwd: processCwd(service, image),
    // Whoever is not root loses them with execve(2), as with Docker: nothing is inheritable or ambient.
    capabilities: { bounding, effective: bounding, permitted: bounding, inheritable: [], ambient: [] },
    rlimits: toRlimits(service),
    noNewPrivileges: security.noNewPrivileges,
    ...(service.oom_score_adj === undefined ? {} : { oomScoreAdj: service.oom_score_adj }),
    ...(apparmor === undefined ? {} : { apparmorProfile: apparmor }),
  };
}

/** Only what was asked for: unlike Docker we install no profile of our own on the machine. */
function apparmorProfile(service: ServiceInput, wanted: string | undefined, available: boolean): string | undefined {
  if (wanted === undefined || wanted === "unconfined") return undefined;
  if (!available)
    throw new StackError("kernel-feature-missing", `Service "${service.name}": security_opt: apparmor=${wanted}: AppArmor is not active on this machine`, {
      hint: "Leave the option out, or boot with AppArmor.",
    });
  return wanted;
}

function toLinux(input: OciInput, security: ReturnType<typeof parseSecurityOptions>): OciLinux {
  const { service, host } = input;
  const parent = service.cgroup_parent === undefined || service.cgroup_parent === "" ? `stack/${input.project}` : service.cgroup_parent;
  const profile = security.seccomp.kind === "default" ? defaultSeccompProfile : security.seccomp.kind === "file" ? host.seccomp : undefined;
  if (security.seccomp.kind === "file" && profile === undefined)
    throw new StackError("internal", `the seccomp profile ${security.seccomp.path} was not read`);
  const facts = { arch: host.arch, kernel: host.kernel, capabilities: capabilitySet(service, host.capabilities) };
  const throttle = Array.from({ length: host.cpus }, (_, cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`);
  return {
    namespaces: namespaces(input),
    cgroupsPath: `/${parent.replace(/^\/+|\/+$/g, "")}/${input.id}`,
    resources: toResources(service, host),
    devices: deviceNodes(service, host),
    sysctl: sysctls(input),
    ...(profile === undefined ? {} : { seccomp: compileSeccomp(profile, facts) }),
    maskedPaths: security.systemPathsUnconfined ? [] : [...maskedPaths, ...throttle],
    readonlyPaths: security.systemPathsUnconfined ? [] : readonlyPaths,
    ...rootPropagation(input),
  };
}

/** A mount that passes events on needs a root that lets them through (mount_namespaces(7)). */
function rootPropagation(input: OciInput): { readonly rootfsPropagation?: string } {
  const wanted = new Set(input.mounts.flatMap((mount) => (mount.type === "bind" && mount.propagation !== undefined ? [mount.propagation] : [])));
  if (wanted.has("shared") || wanted.has("rshared")) return { rootfsPropagation: "shared" };
  if (wanted.has("slave") || wanted.has("rslave")) return { rootfsPropagation: "slave" };
  return {};
}

function namespaces(input: OciInput): OciLinux["namespaces"] {
  const { service, network } = input;
  const types: NamespaceType[] = ["mount"];
  if (network !== "host") types.push("network");
  if (service.pid !== "host") types.push("pid");
  if (service.ipc !== "host") types.push("ipc");
  if (service.uts !== "host") types.push("uts");
  if (service.cgroup !== "host") types.push("cgroup");
  return types.map((type) => ({ type }));
}

/** As Docker: ports below 1024 and ping need no rights inside a network namespace of its own. */
function sysctls(input: OciInput): Readonly<Record<string, string>> {
  const { service, network } = input;
  for (const name of Object.keys(service.sysctls)) {
    if (network === "host" && name.startsWith("net."))
      throw new StackError("usage", `Service "${service.name}": sysctls: ${name} belongs to the host's network with network_mode: host`, {
        hint: "Set it on the host, or give the container a network of its own.",
      });
    if (service.ipc === "host" && /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(name))
      throw new StackError("usage", `Service "${service.name}": sysctls: ${name} belongs to the host with ipc: host`, { hint: "Set it on the host." });
  }
  const own = network === "private" || network === "none";
  return { ...(own ? { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" } : {}), ...service.sysctls };
}

/** The name that the container has for itself: Docker's rule, and the kernel's limit of 64 (sethostname(2)). */
export function containerHostname(input: Pick<OciInput, "service" | "network" | "host" | "id">): string {
  const { service, network, host, id } = input;
  const name = service.hostname ?? (network === "host" || service.uts === "host" ? host.hostname : shortId(id));
  if (Buffer.byteLength(name) > 64) throw new StackError("usage", `Service "${service.name}": hostname: "${name}" is longer than 64 bytes`);
  return name;
}

function refuseUnsupported(service: ServiceInput, host: OciInput["host"]): void {
  const refuse = (what: string, hint: string): never => {
    throw new StackError("unsupported", `Service "${service.name}": ${what} is not supported`, { hint });
  };
  const reservations = service.deploy?.resources?.["reservations"] as { readonly devices?: unknown } | undefined;
  if (service.gpus !== undefined || (Array.isArray(reservations?.devices) && reservations.devices.length > 0))
    refuse("reserving GPUs (`gpus`, `deploy.resources.reservations.devices`)", "Pass the device nodes by hand under `devices`, for example /dev/dri or /dev/nvidia0.");
  if (service.isolation !== undefined && service.isolation !== "" && service.isolation !== "default")
    refuse(`isolation: ${service.isolation}`, "It is Windows's; leave it out.");
  if (service.userns_mode !== undefined && service.userns_mode !== "" && service.userns_mode !== "host")
    refuse(`userns_mode: ${service.userns_mode}`, "Only `host` is known, and it is the default.");
  const [option] = Object.keys(service.storage_opt);
  if (option !== undefined) refuse(`storage_opt: ${option}`, "The container's layer is a directory without a quota of its own.");
  const label = parseSecurityOptions(service).label.find((value) => value !== "disable");
  if (label !== undefined && host.selinux) refuse(`security_opt: label=${label}`, "Containers run without an SELinux label; use label=disable.");
}

/** What this machine cannot do and what has no meaning on Linux: said, not refused, as with Docker. */
export function ociWarnings(service: ServiceInput, host: OciInput["host"]): readonly string[] {
  const { limits } = service;
  const warnings: string[] = [];
  const say = (what: string): void => void warnings.push(`Service "${service.name}": ${what}`);
  for (const mount of service.volumes)
    if (host.selinux && mount.type === "bind" && mount.selinux !== undefined) say(`${mount.source} gets no SELinux label (${mount.selinux})`);
  if (host.cgroup2 && limits.mem_swappiness !== undefined) say("mem_swappiness does not exist in cgroup version 2 and has no effect");
  if (host.cgroup2 && service.oom_kill_disable) say("oom_kill_disable does not exist in cgroup version 2 and has no effect");
  if (service.oom_kill_disable && limits.mem_limit === undefined) say("oom_kill_disable without mem_limit can freeze the whole machine");
  if (limits.cpus !== undefined && limits.cpus > host.cpus) say(`cpus: ${limits.cpus} is more than the ${host.cpus} of this machine`);
  return warnings;
}

/**
 * The text of `config.json`. RLIM_INFINITY is 2^64-1, which a JavaScript number cannot hold: -1 is written so
 * here (config.md has these as uint64).
 */
export function serializeOciConfig(config: OciConfig): string {
  const { process, ...rest } = config;
  const { rlimits, ...others } = process;
  const value = (n: number): string => (n < 0 ? "18446744073709551615" : String(n));
  const limits = rlimits.map((limit) => `{"type":${JSON.stringify(limit.type)},"soft":${value(limit.soft)},"hard":${value(limit.hard)}}`);
  return `${JSON.stringify(rest).slice(0, -1)},"process":${JSON.stringify(others).slice(0, -1)},"rlimits":[${limits.join(",")}]}}\n`;
}
