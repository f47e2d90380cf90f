import type { HostPath, ProjectName, ServiceName } from "../core/index.ts";

/**
 * The stack file after loading: every short form expanded, every default applied, every relative path
 * absolute, every reference checked, every size in bytes and every time in milliseconds.
 * Keys are the Compose Specification's own (snake_case), so that nobody has to learn a second name.
 * Frozen: nothing changes a Project after `model` returned it.
 *
 * FORMAT VERSION: `PROJECT_VERSION` changes when a reader of the old shape would misunderstand the new one.
 * The project crosses the agent's socket and is kept on disk as JSON: plain data only, `undefined` = absent.
 */
export const PROJECT_VERSION = 1;

/** Milliseconds; fractions are allowed (1us = 0.001). */
export type Milliseconds = number;
/** Bytes. */
export type Bytes = number;
/** Map of strings that the user writes as a map or a list of `k=v`. */
export type StringMap = Readonly<Record<string, string>>;

export interface Project {
  readonly version: typeof PROJECT_VERSION;
  readonly name: ProjectName;
  /** The directory that relative paths were resolved against. */
  readonly working_dir: HostPath;
  /** The stack files in the order they were merged; empty when read from standard input alone. */
  readonly files: readonly HostPath[];
  /** The `--env-file`s that were read. */
  readonly env_files: readonly HostPath[];
  /** Profiles that are active. `*` activates all. */
  readonly profiles: readonly string[];
  /** Active services only, sorted by name. */
  readonly services: Readonly<Record<string, Service>>;
  /** Services that exist in the file but whose profiles are not active. */
  readonly disabled_services: Readonly<Record<string, Service>>;
  /** Only those that a service uses, and `default` if one needs it. */
  readonly networks: Readonly<Record<string, Network>>;
  readonly volumes: Readonly<Record<string, Volume>>;
  readonly configs: Readonly<Record<string, FileSource>>;
  readonly secrets: Readonly<Record<string, FileSource>>;
  readonly models: Readonly<Record<string, Model>>;
  /** `x-*` of the top level. */
  readonly extensions: Readonly<Record<string, unknown>>;
}

export interface Service {
  readonly name: ServiceName;
  readonly image?: string;
  /** Ours: a directory of the host as the read-only lower layer, instead of an image. */
  readonly rootfs?: HostPath;
  readonly build?: Build;
  readonly provider?: { readonly type: string; readonly options: Readonly<Record<string, readonly string[]>> };

  readonly command?: readonly string[] | null;
  readonly entrypoint?: readonly string[] | null;
  /** Merged from `environment` and `env_file`; `null` = named without value and unset: leave out of the container. */
  readonly environment: Readonly<Record<string, string | null>>;
  readonly env_file: readonly EnvFile[];
  readonly working_dir?: string;
  readonly user?: string;
  readonly group_add: readonly string[];
  readonly hostname?: string;
  readonly domainname?: string;
  readonly container_name?: string;
  readonly labels: StringMap;
  readonly annotations: StringMap;
  readonly label_file: readonly HostPath[];

  readonly depends_on: Readonly<Record<string, Dependency>>;
  readonly profiles: readonly string[];
  readonly scale: number;
  readonly restart: Restart;
  /** Ours; every member has its default. See ARCHITECTURE.md. */
  readonly restart_policy: RestartTiming;
  readonly healthcheck?: Healthcheck;
  readonly stop_signal?: string;
  /** Default 10 s. */
  readonly stop_grace_period: Milliseconds;
  readonly pull_policy?: PullPolicy;
  readonly pull_refresh_after?: string;
  readonly platform?: string;
  readonly runtime?: string;
  /** Absent: our default (init on, unless the image brings its own). */
  readonly init?: boolean;
  readonly tty: boolean;
  readonly stdin_open: boolean;
  readonly attach: boolean;
  readonly read_only: boolean;
  readonly privileged: boolean;

  readonly networks: Readonly<Record<string, ServiceNetwork>>;
  /** `none`, `host`, `bridge`, `service:NAME` or `container:NAME`. Absent: `networks`. */
  readonly network_mode?: string;
  readonly mac_address?: string;
  readonly ports: readonly Port[];
  readonly expose: readonly string[];
  /** Host names to addresses; one name may have several. */
  readonly extra_hosts: Readonly<Record<string, readonly string[]>>;
  readonly dns: readonly string[];
  readonly dns_opt: readonly string[];
  readonly dns_search: readonly string[];
  readonly links: readonly string[];
  readonly external_links: readonly string[];

  readonly volumes: readonly Mount[];
  readonly volumes_from: readonly string[];
  readonly tmpfs: readonly string[];
  readonly configs: readonly FileMount[];
  readonly secrets: readonly FileMount[];
  readonly devices: readonly Device[];
  readonly device_cgroup_rules: readonly string[];
  readonly gpus?: "all" | readonly Readonly<Record<string, unknown>>[];
  readonly shm_size?: Bytes;
  readonly storage_opt: StringMap;

  readonly cap_add: readonly string[];
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly sysctls: StringMap;
  readonly ulimits: Readonly<Record<string, { readonly soft: number; readonly hard: number }>>;
  readonly userns_mode?: string;
  readonly uts?: string;
  readonly ipc?: string;
  readonly pid?: string;
  readonly cgroup?: string;
  readonly cgroup_parent?: string;
  readonly isolation?: string;
  readonly use_api_socket: boolean;
  readonly credential_spec?: { readonly config?: string; readonly file?: string; readonly registry?: string };

  /** After merging `deploy.resources` with the short keys: one place for every limit. */
  readonly limits: Limits;
  readonly blkio_config?: BlkioConfig;
  readonly oom_kill_disable: boolean;
  readonly oom_score_adj?: number;
  readonly logging?: { readonly driver?: string; readonly options: Readonly<Record<string, string | null>> };
  readonly deploy?: Deploy;
  readonly develop?: { readonly watch: readonly WatchRule[] };
  readonly models: Readonly<Record<string, { readonly endpoint_var?: string; readonly model_var?: string } | null>>;
  readonly pre_start: readonly Hook[];
  readonly post_start: readonly Hook[];
  readonly pre_stop: readonly Hook[];

  /** Ours. Empty: none declared. All must hold. */
  readonly ready: readonly ReadyProbe[];
  readonly on_unhealthy?: OnUnhealthy;
  readonly processes: Readonly<Record<string, SubProcess>>;
  readonly expect: readonly string[];
  readonly on_orphan_exit?: "log" | "unhealthy" | "restart";

  /** `x-*` of the service, without `x-stack`. */
  readonly extensions: Readonly<Record<string, unknown>>;
  /** The members as the canonical Compose document has them, `x-stack` with them; `serviceCanonical` prints it. */
  readonly canonical: Readonly<Record<string, unknown>>;
}

export type PullPolicy =
  | { readonly kind: "always" | "never" | "missing" | "build" }
  /** `daily`, `weekly`, `every_12h`: pull again when the local copy is older. */
  | { readonly kind: "every"; readonly interval: Milliseconds };

export interface EnvFile {
  readonly path: HostPath;
  readonly required: boolean;
  readonly format?: "raw";
}

export type DependencyCondition = "service_started" | "service_healthy" | "service_completed_successfully";

export interface Dependency {
  readonly condition: DependencyCondition;
  /** Restart the dependent when this dependency is recreated or restarted by a command. */
  readonly restart: boolean;
  readonly required: boolean;
  /** Not written but implied by links, volumes_from, network_mode/ipc/pid: service:x. */
  readonly implicit?: boolean;
}

export type Restart =
  | { readonly policy: "no" | "unless-stopped" }
  /** `max_attempts` (of `deploy.restart_policy` with `condition: any`) in a row; absent: without limit. */
  | { readonly policy: "always"; readonly max_attempts?: number }
  /** `max_attempts` 0: without limit. */
  | { readonly policy: "on-failure"; readonly max_attempts: number };

export interface RestartTiming {
  readonly first_delay: Milliseconds; // 0
  readonly delay: Milliseconds; // 100
  readonly factor: number; // 2
  readonly max_delay: Milliseconds; // 60 000
  /** 0 to 1: share of the delay that is drawn at random. */
  readonly jitter: number; // 0
  /** A run this long forgets the failures before it. */
  readonly reset_after: Milliseconds; // 10 000
}

export interface Healthcheck {
  /** Absent with `disable: false`: the image's own test with other times. */
  readonly test?: HealthTest;
  readonly disable: boolean;
  readonly interval?: Milliseconds; // 30 s
  readonly timeout?: Milliseconds; // 30 s
  readonly retries?: number; // 3
  readonly start_period?: Milliseconds; // 0
  readonly start_interval?: Milliseconds; // 5 s
}

export type HealthTest =
  | { readonly kind: "none" }
  | { readonly kind: "exec"; readonly command: readonly string[] }
  | { readonly kind: "shell"; readonly command: string };

export interface ServiceNetwork {
  readonly aliases: readonly string[];
  readonly ipv4_address?: string;
  readonly ipv6_address?: string;
  readonly link_local_ips: readonly string[];
  readonly mac_address?: string;
  readonly interface_name?: string;
  readonly driver_opts: StringMap;
  /** Higher is first. */
  readonly priority: number;
  readonly gw_priority: number;
}

export interface Port {
  /** Port in the container. Ranges are expanded: one entry for each. */
  readonly target: number;
  /** Absent: any free one. `"8000-8010"`: any free one of these. */
  readonly published?: string;
  /** Absent: all addresses (0.0.0.0 and ::). */
  readonly host_ip?: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly mode: "ingress" | "host";
  readonly name?: string;
  readonly app_protocol?: string;
}

export type Mount =
  | (MountBase & {
      readonly type: "bind";
      readonly source: HostPath;
      readonly create_host_path: boolean;
      readonly propagation?: string;
      readonly recursive?: "enabled" | "disabled" | "writable" | "readonly";
      readonly selinux?: "z" | "Z";
    })
  /** `source` absent: anonymous. Else a key of `project.volumes`. */
  | (MountBase & {
      readonly type: "volume";
      readonly source?: string;
      readonly nocopy: boolean;
      readonly subpath?: string;
      readonly labels: StringMap;
    })
  | (MountBase & { readonly type: "tmpfs"; readonly size?: Bytes; readonly mode?: number })
  | (MountBase & { readonly type: "image"; readonly source: string; readonly subpath?: string })
  | (MountBase & { readonly type: "npipe" | "cluster"; readonly source?: string });

export interface MountBase {
  readonly target: string;
  readonly read_only: boolean;
  readonly consistency?: string;
}

/** A config or secret in a service. */
export interface FileMount {
  /** Key of `project.configs` or `project.secrets`. */
  readonly source: string;
  /** Absolute path in the container: `/SOURCE` for configs, `/run/secrets/SOURCE` for secrets by default. */
  readonly target: string;
  readonly uid?: string;
  readonly gid?: string;
  /** Permission bits, e.g. 0o440. Default 0o444. */
  readonly mode?: number;
}

export interface FileSource {
  /** The name it has outside the file: `NAME_KEY` unless `name` or `external`. */
  readonly name: string;
  readonly from:
    | { readonly kind: "file"; readonly path: HostPath }
    /** `value` is what the variable held when the file was loaded; absent: it was not set. */
    | { readonly kind: "environment"; readonly variable: string; readonly value?: string }
    | { readonly kind: "content"; readonly content: string }
    | { readonly kind: "external" };
  readonly labels: StringMap;
  readonly extensions: Readonly<Record<string, unknown>>;
  readonly canonical: Readonly<Record<string, unknown>>;
}

export interface Device {
  readonly source: string;
  readonly target: string;
  /** Some of `rwm`. */
  readonly permissions: string;
}

export interface Limits {
  /** In CPUs, e.g. 1.5. */
  readonly cpus?: number;
  readonly cpu_count?: number;
  readonly cpu_percent?: number;
  readonly cpu_shares?: number;
  /** Microseconds. */
  readonly cpu_quota?: number;
  /** Microseconds. */
  readonly cpu_period?: number;
  /** Microseconds. */
  readonly cpu_rt_runtime?: number;
  /** Microseconds. */
  readonly cpu_rt_period?: number;
  readonly cpuset?: string;
  readonly mem_limit?: Bytes;
  readonly mem_reservation?: Bytes;
  /** Memory and swap together; -1: without limit. */
  readonly memswap_limit?: Bytes;
  readonly mem_swappiness?: number;
  /** -1: without limit. */
  readonly pids?: number;
}

export interface BlkioConfig {
  readonly weight?: number;
  readonly weight_device: readonly { readonly path: string; readonly weight: number }[];
  readonly device_read_bps: readonly BlkioRate[];
  readonly device_read_iops: readonly BlkioRate[];
  readonly device_write_bps: readonly BlkioRate[];
  readonly device_write_iops: readonly BlkioRate[];
}
export interface BlkioRate {
  readonly path: string;
  readonly rate: number;
}

export interface Build {
  readonly context: string;
  readonly dockerfile?: string;
  readonly dockerfile_inline?: string;
  readonly args: Readonly<Record<string, string | null>>;
  readonly target?: string;
  readonly no_cache: boolean;
  readonly pull: boolean;
  readonly tags: readonly string[];
  readonly platforms: readonly string[];
  readonly labels: StringMap;
  readonly secrets: readonly FileMount[];
  readonly additional_contexts: StringMap;
  readonly extra_hosts: Readonly<Record<string, readonly string[]>>;
  readonly shm_size?: Bytes;
  readonly network?: string;
  /** Everything of `build` as written, canonical. */
  readonly canonical: Readonly<Record<string, unknown>>;
}

export interface Deploy {
  readonly mode?: string;
  readonly replicas?: number;
  readonly labels: StringMap;
  readonly endpoint_mode?: string;
  readonly restart_policy?: {
    readonly condition?: string;
    readonly delay?: Milliseconds;
    readonly max_attempts?: number;
    readonly window?: Milliseconds;
  };
  readonly update_config?: Readonly<Record<string, unknown>>;
  readonly rollback_config?: Readonly<Record<string, unknown>>;
  readonly placement?: Readonly<Record<string, unknown>>;
  readonly resources?: Readonly<Record<string, unknown>>;
}

export interface WatchRule {
  readonly path: HostPath;
  readonly action: "rebuild" | "sync" | "restart" | "sync+restart" | "sync+exec";
  readonly target?: string;
  readonly ignore: readonly string[];
  readonly include: readonly string[];
  readonly exec?: Hook;
  readonly initial_sync: boolean;
}

export interface Hook {
  readonly command: readonly string[];
  readonly image?: string;
  readonly user?: string;
  readonly privileged: boolean;
  readonly working_dir?: string;
  readonly environment: Readonly<Record<string, string | null>>;
  readonly per_replica?: boolean;
}

/** `timeout`: it has to hold so long after the start. `interval`: between two attempts; absent: soon at first, then every second. */
export type ReadyProbe = { readonly timeout?: Milliseconds; readonly interval?: Milliseconds } & (
  | { readonly kind: "tcp"; readonly port: number }
  | {
      readonly kind: "http";
      readonly port: number;
      readonly path: string;
      /** Inclusive ranges. */
      readonly status: readonly (readonly [number, number])[];
      readonly body?: string;
    }
  | { readonly kind: "log"; readonly pattern: string }
  | { readonly kind: "exec"; readonly command: readonly string[] }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "exit"; readonly code: number }
);

export type OnUnhealthy =
  | { readonly action: "restart" | "stop" | "none"; readonly after: number; readonly max: number }
  | { readonly action: "run"; readonly command: readonly string[]; readonly after: number; readonly max: number };

export interface SubProcess {
  readonly command: readonly string[];
  readonly user?: string;
  readonly environment: Readonly<Record<string, string | null>>;
  readonly working_dir?: string;
  readonly restart: Restart;
  readonly restart_policy: RestartTiming;
  readonly essential: boolean;
  readonly oneshot: boolean;
  readonly stop_signal?: string;
  readonly stop_grace_period: Milliseconds;
  readonly ready: readonly ReadyProbe[];
  readonly depends_on: Readonly<Record<string, "started" | "ready" | "completed">>;
}

export interface Network {
  /** The name it has outside the file: `NAME_KEY` unless `name` or `external`. */
  readonly name: string;
  readonly external: boolean;
  readonly driver?: string;
  readonly driver_opts: StringMap;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly enable_ipv4: boolean;
  readonly enable_ipv6: boolean;
  readonly ipam: {
    readonly driver?: string;
    readonly config: readonly {
      readonly subnet?: string;
      readonly ip_range?: string;
      readonly gateway?: string;
      readonly aux_addresses: StringMap;
    }[];
    readonly options: StringMap;
  };
  readonly labels: StringMap;
  readonly extensions: Readonly<Record<string, unknown>>;
  readonly canonical: Readonly<Record<string, unknown>>;
}

export interface Volume {
  readonly name: string;
  readonly external: boolean;
  readonly driver?: string;
  /** `local` with type, o, device: as mount(8) takes them. */
  readonly driver_opts: StringMap;
  readonly labels: StringMap;
  readonly extensions: Readonly<Record<string, unknown>>;
  readonly canonical: Readonly<Record<string, unknown>>;
}

export interface Model {
  readonly name?: string;
  readonly model: string;
  readonly canonical: Readonly<Record<string, unknown>>;
}
