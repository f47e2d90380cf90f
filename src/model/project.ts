import type { HostPath, ProjectName, ServiceName } from "../core/index.ts";
import type { BlkioConfig, Device, FileMount, Limits, Mount, Port, ServiceNetwork } from "./project-attachments.ts";
import type { Build, Dependency, Deploy, EnvFile, Healthcheck, Hook, OnUnhealthy, PullPolicy, ReadyProbe, Restart, RestartTiming, SubProcess, WatchRule } from "./project-life.ts";
import type { FileSource, Model, Network, Volume } from "./project-resources.ts";
import type { Bytes, Milliseconds, StringMap } from "./project-units.ts";

export type * from "./project-attachments.ts";
export type * from "./project-life.ts";
export type * from "./project-resources.ts";
export type * from "./project-units.ts";

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
  /** As written, else DOCKER_DEFAULT_PLATFORM. */
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
