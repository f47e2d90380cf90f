import type { ContainerId, HostPath } from "../core/index.ts";
import type { SeccompProfile } from "./seccomp.ts";

/**
 * What `toOciConfig` and `toMonitorSpec` read. The members of `ServiceInput` are those of model's `Service`
 * that concern one container, so a `Service` can be handed in as it is; this room does not know the model.
 */
export interface ServiceInput {
  readonly name: string;
  readonly command?: readonly string[] | null;
  readonly entrypoint?: readonly string[] | null;
  readonly environment: Readonly<Record<string, string | null>>;
  readonly working_dir?: string;
  readonly user?: string;
  readonly group_add: readonly string[];
  readonly hostname?: string;
  readonly domainname?: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly restart: { readonly policy: "no" | "always" | "unless-stopped" | "on-failure"; readonly max_attempts?: number };
  readonly restart_policy: {
    readonly first_delay: number;
    readonly delay: number;
    readonly factor: number;
    readonly max_delay: number;
    readonly jitter: number;
    readonly reset_after: number;
  };
  readonly processes?: Readonly<Record<string, SubProcessInput>>;
  readonly expect?: readonly string[];
  readonly on_orphan_exit?: "log" | "unhealthy" | "restart";
  readonly stop_signal?: string;
  readonly stop_grace_period: number;
  readonly runtime?: string;
  readonly init?: boolean;
  readonly tty: boolean;
  readonly stdin_open: boolean;
  readonly read_only: boolean;
  readonly privileged: boolean;
  readonly network_mode?: string;
  readonly volumes: readonly MountInput[];
  readonly tmpfs: readonly string[];
  readonly configs: readonly FileMountInput[];
  readonly secrets: readonly FileMountInput[];
  readonly devices: readonly { readonly source: string; readonly target: string; readonly permissions: string }[];
  readonly device_cgroup_rules: readonly string[];
  readonly gpus?: "all" | readonly Readonly<Record<string, unknown>>[];
  readonly shm_size?: number;
  readonly storage_opt: Readonly<Record<string, string>>;
  readonly cap_add: readonly string[];
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly ulimits: Readonly<Record<string, { readonly soft: number; readonly hard: number }>>;
  readonly userns_mode?: string;
  readonly uts?: string;
  readonly ipc?: string;
  readonly pid?: string;
  readonly cgroup?: string;
  readonly cgroup_parent?: string;
  readonly isolation?: string;
  readonly limits: LimitsInput;
  readonly blkio_config?: BlkioInput;
  readonly oom_kill_disable: boolean;
  readonly oom_score_adj?: number;
  readonly deploy?: { readonly resources?: Readonly<Record<string, unknown>> };
  readonly logging?: { readonly driver?: string; readonly options: Readonly<Record<string, string | null>> };
}

export interface LimitsInput {
  readonly cpus?: number;
  readonly cpu_count?: number;
  readonly cpu_percent?: number;
  readonly cpu_shares?: number;
  readonly cpu_quota?: number;
  readonly cpu_period?: number;
  readonly cpu_rt_runtime?: number;
  readonly cpu_rt_period?: number;
  readonly cpuset?: string;
  readonly mem_limit?: number;
  readonly mem_reservation?: number;
  readonly memswap_limit?: number;
  readonly mem_swappiness?: number;
  readonly pids?: number;
}

export interface BlkioInput {
  readonly weight?: number;
  readonly weight_device: readonly { readonly path: string; readonly weight: number }[];
  readonly device_read_bps: readonly BlkioRateInput[];
  readonly device_read_iops: readonly BlkioRateInput[];
  readonly device_write_bps: readonly BlkioRateInput[];
  readonly device_write_iops: readonly BlkioRateInput[];
}

export interface BlkioRateInput {
  readonly path: string;
  readonly rate: number;
}

interface MountInputBase {
  readonly target: string;
  readonly read_only: boolean;
}

export type MountInput =
  | (MountInputBase & {
      readonly type: "bind";
      readonly source: HostPath;
      readonly create_host_path: boolean;
      readonly propagation?: string;
      readonly recursive?: "enabled" | "disabled" | "writable" | "readonly";
      readonly selinux?: "z" | "Z";
    })
  | (MountInputBase & { readonly type: "volume"; readonly source?: string; readonly nocopy: boolean; readonly subpath?: string; readonly labels: Readonly<Record<string, string>> })
  | (MountInputBase & { readonly type: "tmpfs"; readonly size?: number; readonly mode?: number })
  | (MountInputBase & { readonly type: "image"; readonly source: string; readonly subpath?: string })
  | (MountInputBase & { readonly type: "npipe" | "cluster"; readonly source?: string });

export interface FileMountInput {
  readonly source: string;
  readonly target: string;
  readonly uid?: string;
  readonly gid?: string;
  readonly mode?: number;
}

/** The members of images' `ImageConfig` that concern one container. */
export interface ImageInput {
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly volumes: readonly string[];
  readonly stopSignal: string;
}

/** Numbers only: names were looked up in the image's own /etc/passwd and /etc/group. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  /** For HOME, if passwd knows the user. */
  readonly home?: string;
}

/** A mount whose source is known: what `planMounts` asked for, after the engine has looked up volumes and files. */
export type ResolvedMount =
  | {
      readonly type: "bind";
      readonly target: string;
      readonly source: HostPath;
      readonly readOnly: boolean;
      readonly propagation?: string;
      readonly recursive?: "enabled" | "disabled" | "writable" | "readonly";
      /** A directory that containers write to, of which the source is a part: no link in it may lead elsewhere, at any start. */
      readonly within?: HostPath;
    }
  | { readonly type: "tmpfs"; readonly target: string; readonly options: readonly string[] };

export interface DeviceNode {
  readonly type: "c" | "b";
  readonly major: number;
  readonly minor: number;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What of this machine the configuration depends on, gathered by `inspectHost`. */
export interface HostFacts {
  /** Go's words, which seccomp profiles use: `amd64`, `arm64`. */
  readonly arch: string;
  /** Major and minor version of the kernel. */
  readonly kernel: readonly [number, number];
  /** Names of the capabilities that we may give (our own bounding set). */
  readonly capabilities: readonly string[];
  readonly apparmor: boolean;
  readonly selinux: boolean;
  readonly hostname: string;
  /** There is a /dev/shm. */
  readonly shm: boolean;
  readonly cpus: number;
  /** The controllers are in one unified hierarchy. */
  readonly cgroup2: boolean;
  /** Device nodes by path: those of `devices`, those inside directories among them, and of `blkio_config`. */
  readonly devices: Readonly<Record<string, DeviceNode>>;
  /** `security_opt: seccomp=FILE`, read; absent: not asked for. */
  readonly seccomp?: SeccompProfile;
}

export interface OciInput {
  readonly id: ContainerId;
  readonly service: ServiceInput;
  /** null with `rootfs:`. */
  readonly image: ImageInput | null;
  readonly user: ResolvedUser;
  readonly mounts: readonly ResolvedMount[];
  /** `private`: the monitor makes it; `join`: the monitor opens that of another container. */
  readonly network: "private" | "none" | "host" | "join";
  /** Host directory behind `/dev/shm`: our own with `ipc: shareable`, the donor's with `ipc: service:x`. */
  readonly shm?: HostPath;
  /** Short hash of the project's name: containers of one project lie together in the cgroup tree. */
  readonly project: string;
  readonly host: HostFacts;
}

/** One of a service's `processes`. */
export interface SubProcessInput {
  readonly command: readonly string[];
  readonly user?: string;
  readonly environment: Readonly<Record<string, string | null>>;
  readonly working_dir?: string;
  readonly restart: ServiceInput["restart"];
  readonly restart_policy: ServiceInput["restart_policy"];
  readonly essential: boolean;
  readonly oneshot: boolean;
  readonly stop_signal?: string;
  readonly stop_grace_period: number;
  readonly ready: readonly (
    | { readonly kind: "tcp"; readonly port: number; readonly timeout?: number; readonly interval?: number }
    | { readonly kind: "http"; readonly port: number; readonly path: string; readonly status: readonly (readonly [number, number])[]; readonly body?: string; readonly timeout?: number; readonly interval?: number }
    | { readonly kind: "log"; readonly pattern: string; readonly timeout?: number; readonly interval?: number }
    | { readonly kind: "exec"; readonly command: readonly string[]; readonly timeout?: number; readonly interval?: number }
    | { readonly kind: "file"; readonly path: string; readonly timeout?: number; readonly interval?: number }
    | { readonly kind: "exit"; readonly code: number; readonly timeout?: number; readonly interval?: number }
  )[];
  readonly depends_on: Readonly<Record<string, "started" | "ready" | "completed">>;
}
