import type { ContainerId, Digest } from "../core/index.ts";

/**
 * What lies on disk beside a container and what its monitor speaks. The native side reads and writes the
 * same; `native/PROTOCOL.md` describes every field. Readers accept this version and the one before.
 */
export const FORMAT_VERSION = 1;

/** `containers/ID/container.json`: written once by the engine at creation, never changed. */
export interface ContainerRecord {
  readonly version: typeof FORMAT_VERSION;
  readonly id: ContainerId;
  /** `PROJECT-SERVICE-NUMBER`, unique in the data root. */
  readonly name: string;
  readonly project: string;
  readonly service: string;
  /** From 1; 0 for one-off containers. */
  readonly number: number;
  readonly oneoff: boolean;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** `configHash` of the service that it was made from. */
  readonly configHash: string;
  /** `Service.canonical` of the service that it was made from, to say later what changed. */
  readonly definition?: Readonly<Record<string, unknown>>;
  /** Ids of the images that it mounts (`type: image`), whose layers have to stay. */
  readonly mountedImages?: readonly Digest[];
  /** Hashes (SHA-256) of what its configs and secrets held, by `config NAME` and `secret NAME`. Absent: made by an older version. */
  readonly files?: Readonly<Record<string, string>>;
  /** Ports that image and service say it listens on, `80/tcp`; nothing is opened by it. Absent: none, or made by an older version. */
  readonly exposed?: readonly string[];
  /** Docker Compose's labels and the user's. */
  readonly labels: Readonly<Record<string, string>>;
  /** Absent with `rootfs`. */
  readonly image?: { readonly reference: string; readonly id: Digest; readonly digest?: Digest };
  readonly rootfs?: string;
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
  /** Names of volumes (named and anonymous) it mounts. */
  readonly volumes: readonly { readonly name: string; readonly target: string; readonly anonymous: boolean }[];
  readonly networks: readonly Attachment[];
  /** Resolvers of its own instead of the host's. */
  readonly dns?: readonly string[];
  /** `links`: names that this container alone may use for the containers of a service, or for one container. */
  readonly links?: readonly { readonly alias: string; readonly service?: string; readonly container?: string }[];
  /** `host`, `none`, `container:ID`; absent: `networks`. */
  readonly networkMode?: string;
  /** Other containers whose namespaces it joins. */
  readonly joins: readonly ContainerId[];
  readonly health?: HealthSpec;
  /** Our `ready`: all must hold once in each run. */
  readonly ready?: readonly ReadySpec[];
  /** Our `on_unhealthy`. */
  readonly onUnhealthy?: UnhealthySpec;
  /** It has daemons by name that have to be there (`expect`): its init's word is a health check. */
  readonly expect?: boolean;
  /** Probes of supervised processes that init leaves to the agent (`told`), by process and their position in its `ready`. */
  readonly processReady?: Readonly<Record<string, Readonly<Record<number, ReadySpec>>>>;
  /** Signal number and milliseconds. */
  readonly stop: { readonly signal: number; readonly graceMs: number };
  readonly removeOnExit: boolean;
}

export interface Attachment {
  /** Network id. */
  readonly network: string;
  /** Name outside the file, e.g. `shop_default`. */
  readonly name: string;
  /** Name that the project's file uses, e.g. `default`. */
  readonly key: string;
  readonly interface: string;
  readonly mac: string;
  /** Without prefix length. */
  readonly ipv4?: string;
  readonly ipv6?: string;
  /** Container name, service name, declared aliases; what DNS answers to. */
  readonly aliases: readonly string[];
}

/** The health check after image and service were put together. */
export interface HealthSpec {
  readonly test: readonly string[]; // ["CMD", …] or ["CMD-SHELL", "…"]
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly retries: number;
  readonly startPeriodMs: number;
  readonly startIntervalMs: number;
}

/** Milliseconds. `timeout`: since the start of the run; `interval`: between attempts. */
export type ReadySpec = { readonly timeout?: number; readonly interval?: number } & (
  | { readonly kind: "tcp"; readonly port: number }
  | { readonly kind: "http"; readonly port: number; readonly path: string; readonly status: readonly (readonly [number, number])[]; readonly body?: string }
  | { readonly kind: "log"; readonly pattern: string }
  | { readonly kind: "exec"; readonly command: readonly string[] }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "exit"; readonly code: number }
);

export interface UnhealthySpec {
  readonly action: "restart" | "stop" | "none" | "run";
  /** `run`: in the container. */
  readonly command?: readonly string[];
  readonly after: number;
  readonly max: number;
  /** The service's back-off. */
  readonly timing: Pick<MonitorSpec["restart"], "firstDelayMs" | "delayMs" | "factor" | "maxDelayMs" | "jitter" | "resetAfterMs">;
}

export type ContainerStatus = "created" | "running" | "paused" | "restarting" | "exited" | "dead";

/** `containers/ID/state.json`: replaced by rename by the monitor at every change. Absent: `created`. */
export interface ContainerState {
  readonly version: typeof FORMAT_VERSION;
  readonly id: ContainerId;
  /** As the monitor last wrote it. If nobody holds `lock`, `running` means the monitor was killed. */
  readonly status: Exclude<ContainerStatus, "dead">;
  readonly bootId: string;
  readonly monitorPid: number;
  /** Process id of the container's PID 1 in the monitor's pid namespace; 0 when none. `created`, `restarting`: it is being started. */
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: with `pid` it names one process for ever. */
  readonly pidStart: number;
  /** ISO 8601 with milliseconds, UTC; "" when it never happened. */
  readonly startedAt: string;
  readonly finishedAt: string;
  /** 128+n when a signal ended it; -1 when the kernel did not tell. */
  readonly exitCode: number;
  /** Signal that ended the main process; 0 for none. */
  readonly signal: number;
  readonly oomKilled: boolean;
  /** Why it ended if we ended it. */
  readonly endedBy: "" | "stop" | "kill" | "health" | "start-failure";
  /** Why whoever ended it did so (`unhealthy: …`). Absent in records of older versions. */
  readonly reason?: string;
  readonly error: NativeFailure | null;
  /** Failures in a row, for the backoff. */
  readonly failures: number;
  /** Restarts since it was created. */
  readonly restarts: number;
  readonly nextRestartAt: string;
  /** A command asked it to stop: `unless-stopped` and `always` do not restart it. */
  readonly stopRequested: boolean;
  /** What the monitor holds open on the host. */
  readonly ports: readonly BoundPort[];
  /** A path that opens the container's network namespace while the monitor lives. */
  readonly netns: string;
  /** What init last told. Absent where it supervises nothing, and in records of older versions. */
  readonly supervision?: SupervisionState;
}

/** What a supervising init knows of its processes and daemons. `{}` until it told for the first time. */
export interface SupervisionState {
  readonly processes?: readonly ProcessState[];
  /** All daemons that are expected have been seen once, or are missing. */
  readonly expected?: boolean;
  /** Expected daemons that are not there. */
  readonly missing?: readonly string[];
  /** Daemons that have ended, the last eight (with `on_orphan_exit`). */
  readonly orphans?: readonly { readonly name: string; readonly pid: number; readonly code: number; readonly signal: number; readonly at: string }[];
  /** Why the container is unhealthy; "" if it is not. */
  readonly problem?: string;
}

export type ProcessPhase = "waiting" | "starting" | "running" | "backoff" | "stopping" | "stopped" | "exited" | "fatal";

export interface ProcessState {
  readonly name: string;
  readonly status: ProcessPhase;
  /** In the container's pid namespace; 0: none. */
  readonly pid: number;
  readonly ready: boolean;
  readonly essential: boolean;
  readonly oneshot: boolean;
  /** Of the last end; -1: it has not ended yet. */
  readonly exitCode: number;
  readonly signal: number;
  /** In this run of the container. */
  readonly restarts: number;
  /** In a row. */
  readonly failures: number;
  /** ISO 8601; "" when it never happened. */
  readonly startedAt: string;
  readonly endedAt: string;
  readonly nextRestartAt: string;
  /** Why it waits, was given up, or was not ready. */
  readonly reason: string;
}

/**
 * `containers/ID/crash.json`: how the last run that failed ended, and its last words, while later
 * runs go on. Written by the monitor whatever the log driver is; a run that a command stopped
 * leaves none.
 */
export interface ContainerCrash {
  readonly version: typeof FORMAT_VERSION;
  /** `restarts` of the state during that run. */
  readonly run: number;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly exitCode: number;
  readonly signal: number;
  readonly oomKilled: boolean;
  readonly endedBy: ContainerState['endedBy'];
  readonly reason: string;
  readonly error: NativeFailure|null;
  /** The last 4 KiB, both streams in the order in which they came. */
  readonly output: string;
}

export interface BoundPort {
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: "tcp" | "udp";
}

/** Every native failure, from the addon and the binary alike. */
export interface NativeFailure {
  /** Where in the course of things: `mount /proc`, `join cgroup memory`, `exec`. */
  readonly stage: string;
  /** The system call, `""` if none. */
  readonly call: string;
  readonly errno: number;
  readonly path: string;
  readonly message: string;
}

/** `containers/ID/monitor.json`: the monitor's whole task, one message. */
export interface MonitorSpec {
  readonly version: typeof FORMAT_VERSION;
  readonly id: ContainerId;
  readonly name: string;
  /** "" is our own; else the path or name of a foreign OCI runtime. */
  readonly runtime: string;
  /** Our init as PID 1. */
  readonly init: boolean;
  readonly tty: boolean;
  /** Keep standard input open for `attach`; else it is /dev/null. */
  readonly stdin: boolean;
  /**
   * The first run executes the process only when somebody has attached (with the size of its terminal), or 10 s later:
   * `run` sees everything from the first byte. The monitor says that it has started before. A command that cannot
   * be executed is then told by the attachment's last frame (`state.error`, `exitCode` 126 or 127).
   */
  readonly startOnAttach?: boolean;
  readonly rootfs: RootfsSpec;
  /** Copied once, before the first start, if the source directory is empty. */
  readonly populate: readonly { readonly target: string; readonly source: string }[];
  readonly network: NetworkSpec;
  /**
   * Namespaces of other containers (`ipc: service:x`). Their PID 1 changes with every start, so the monitor looks
   * it up before each start of its own, in the state of the container named here.
   */
  readonly joins?: readonly { readonly namespace: "ipc" | "pid" | "uts"; readonly directory: string }[];
  /** Mounts of the host that must be there before the monitor starts; whoever starts it makes them, once. */
  readonly hostMounts?: readonly HostMount[];
  readonly log: LogSpec;
  readonly restart: {
    readonly policy: 'no' | 'always' | 'on-failure' | 'unless-stopped';
    /** Restarts in a row; 0 = without limit. */
    readonly maxAttempts: number;
    readonly firstDelayMs: number;
    readonly delayMs: number;
    readonly factor: number;
    readonly maxDelayMs: number;
    readonly jitter: number;
    readonly resetAfterMs: number;
  };
  readonly stop: { readonly signal: number; readonly graceMs: number };
  readonly oomScoreAdj?: number;
  /** What our init supervises beside, or instead of, the main process. Only with `init` and our own runtime. */
  readonly supervision?: SupervisionSpec;
  /** How to bring the project's agent back when it has gone; absent: nobody does. */
  readonly agent?: {
    readonly argv: readonly string[];
    readonly env: readonly string[];
    /** Held (flock) by a living agent. */
    readonly lock: string;
    /** Taken (flock) by the one monitor that starts it. */
    readonly respawnLock: string;
    /** What it says on standard error is appended to this file; absent: to none. */
    readonly log?: string;
  };
}

/** `overlay`: layers of an image, read-only. `data`: options as mount(2) takes them. */
export interface HostMount {
  readonly type: "tmpfs" | "overlay";
  readonly target: string;
  readonly data: string;
}

export type RootfsSpec =
  /** `layers`: directories, uppermost first. `skeleton`: see `rootfs: /`. */
  | {
      readonly kind: "overlay";
      readonly layers: readonly string[];
      readonly upper: string;
      readonly work: string;
      /** Directories of the host laid read-only over the overlay, one by one (`rootfs: /`). */
      readonly overlays: readonly { readonly target: string; readonly source: string; readonly upper: string; readonly work: string }[];
    }
  | { readonly kind: "directory"; readonly path: string };

export interface NetworkSpec {
  readonly mode: "private" | "host" | "none" | "join";
  /** `join`: the container directory whose monitor holds the network namespace. */
  readonly join?: string;
  /** Path that opens the router's network namespace. */
  readonly router?: string;
  readonly interfaces: readonly {
    readonly name: string;
    /** Name of the veth end in the router. */
    readonly peer: string;
    readonly bridge: string;
    readonly mac: string;
    /** With prefix length: `10.201.0.2/24`. */
    readonly addresses: readonly string[];
    readonly gateway4?: string;
    readonly gateway6?: string;
    readonly mtu: number;
  }[];
  /** Open DNS sockets on 127.0.0.11 in the namespace, hand them out by `dns-sockets`, redirect port 53 to them. */
  readonly dns: boolean;
  readonly ports: readonly (BoundPort & {
    /** Try these if `hostPort` is 0: `[8000, 8010]`. Absent: any free one. */
    readonly range?: readonly [number, number];
  })[];
  /** Where relays connect to, and the destination of DNAT. */
  readonly address4?: string;
  readonly address6?: string;
  /** nftables table (family inet) of this data root in the host's namespace, with the maps for DNAT. Absent: relay only. */
  readonly natTable?: string;
}

export interface LogSpec {
  readonly driver: "json-file" | "local" | "none";
  /** First file; rotated ones get `.1`, `.2` … */
  readonly path: string;
  /** Bytes; 0 = without limit. */
  readonly maxSize: number;
  readonly maxFiles: number;
  readonly mode: "blocking" | "non-blocking";
  /** Bytes of the ring in non-blocking mode. */
  readonly bufferSize: number;
  /** Added to every line as Docker's json-file does with `labels` and `env`. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface SupervisionSpec {
  readonly processes: readonly SupervisedProcess[];
  /** Daemons, by name, that the container starts by itself. */
  readonly expect: readonly string[];
  readonly expectGraceMs: number;
  readonly onOrphanExit: "" | "log" | "unhealthy" | "restart";
  /** What is left when all processes have ended may take this long to heed SIGTERM. */
  readonly graceMs: number;
}

export interface SupervisedProcess {
  readonly name: string;
  /** `config.json`'s process with the container's streams; `args`, `env`, `user`, `cwd` are not used. */
  readonly main: boolean;
  readonly args: readonly string[];
  /** Over the container's; null takes a variable away. */
  readonly env: Readonly<Record<string, string | null>>;
  /** Looked up in the container, at each start. Absent: the container's. */
  readonly user?: string;
  readonly cwd?: string;
  readonly restart: MonitorSpec["restart"];
  readonly essential: boolean;
  readonly oneshot: boolean;
  readonly stop: { readonly signal: number; readonly graceMs: number };
  readonly ready: readonly ProcessProbe[];
  readonly dependsOn: readonly { readonly process: string; readonly condition: "started" | "ready" | "completed" }[];
}

export type ProcessProbe = { readonly timeoutMs?: number; readonly intervalMs?: number } & (
  | { readonly kind: "tcp"; readonly port: number }
  | { readonly kind: "http"; readonly port: number; readonly path: string; readonly status: readonly (readonly [number, number])[] }
  | { readonly kind: "exec"; readonly args: readonly string[] }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "exit"; readonly code: number }
  /** Asked by the agent (`ContainerRecord.processReady`), which tells when it holds; `text`: what it is, for messages. */
  | { readonly kind: "told"; readonly text: string }
);
