import type { ContainerId, SerializedError } from "../core/index.ts";
import type { Readiness, RemedyState } from "../health/index.ts";
import type { Project, ReadyProbe } from "../model/index.ts";
import type { Plan, ReconcileOptions } from "../reconcile/index.ts";
import type { ContainerRecord, ContainerState, ContainerStatus } from "../runtime/index.ts";
import type { ImageProgress } from "../images/index.ts";

/** Everything that the engine tells the world: the renderer, `stack events` and the loop read the same stream. */
export type EngineEvent =
  /** The plan that is about to run. Operations are named by their position in it. */
  | { readonly type: "plan"; readonly plan: Plan }
  | {
      readonly type: "operation";
      readonly index: number;
      readonly status: "running" | "done" | "failed" | "skipped";
      /** `skipped`: the operation because of which. */
      readonly because?: number;
      /** One line for the user: `SIGTERM was ignored by PID 1: killed`, `waiting for db: 3rd probe failed`. */
      readonly note?: string;
      readonly error?: SerializedError;
      /** Milliseconds. */
      readonly took?: number;
      /** `done` of a gate: what it waited for last. */
      readonly held?: HeldBy;
    }
  | { readonly type: "note"; readonly index: number; readonly note: string }
  | { readonly type: "image"; readonly index: number; readonly progress: ImageProgress }
  | { readonly type: "container"; readonly container: ContainerSummary; readonly change: ContainerChange }
  | { readonly type: "warning"; readonly rule: string; readonly message: string };

/** The container because of which a gate was shut last, and why. */
export interface HeldBy {
  readonly container: string;
  readonly why: string;
}

export type ContainerChange = "created" | "started" | "exited" | "restarting" | "paused" | "unpaused" | "health" | "removed";

/** What `ps` shows; made from the files of a container alone, no agent needed. */
export interface ContainerSummary {
  readonly id: ContainerId;
  readonly name: string;
  readonly project: string;
  readonly service: string;
  readonly number: number;
  readonly oneoff: boolean;
  readonly status: ContainerStatus;
  readonly health: "none" | "starting" | "healthy" | "unhealthy";
  /** Output of the last failing probe; what `ready` still waits for. */
  readonly healthOutput?: string;
  /** `on_unhealthy` will do something about it (and has not given up). */
  readonly treated?: boolean;
  readonly record: ContainerRecord;
  /** Absent: never started. */
  readonly state?: ContainerState;
}

/** `containers/ID/health.json` */
export interface HealthRecord {
  readonly version: 1;
  readonly status: "starting" | "healthy" | "unhealthy";
  readonly failingStreak: number;
  /** Run that it belongs to: `startedAt` of the state. */
  readonly run: string;
  /** The last five. */
  readonly probes: readonly { readonly at: string; readonly exitCode: number; readonly output: string; readonly timedOut: boolean; readonly tookMs: number }[];
  /** Of `ready`, in this run. */
  readonly ready?: Readiness;
  /** What `on_unhealthy` has done; goes over from run to run. */
  readonly remedy?: RemedyState;
}

export interface ApplyRequest {
  readonly project: Project;
  readonly options: ReconcileOptions;
  /** `--parallel`: operations at once. Absent: the agent's own limit. */
  readonly parallel?: number;
  /** When the command began, milliseconds since the epoch; absent: now. */
  readonly began?: number;
}

export interface ApplyResult {
  readonly ok: boolean;
  /** Operations that ran (0: nothing to do). */
  readonly done: number;
  readonly failures: readonly { readonly operation: string; readonly error: SerializedError }[];
  readonly skipped: number;
}

/** `stack run`: a one-off container of a service. */
export interface RunRequest {
  readonly project: Project;
  readonly service: string;
  /** The service with the command line's overrides already put in (command, environment, user, ports, volumes …). */
  readonly overrides: {
    readonly command?: readonly string[];
    readonly entrypoint?: readonly string[];
    readonly environment: Readonly<Record<string, string | null>>;
    readonly user?: string;
    readonly working_dir?: string;
    readonly name?: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly tty: boolean;
    readonly stdin: boolean;
    readonly capAdd: readonly string[];
    readonly capDrop: readonly string[];
    /** Keep the service's published ports (`--service-ports`). */
    readonly servicePorts: boolean;
    readonly publish: readonly Project["services"][string]["ports"][number][];
    readonly volumes: readonly Project["services"][string]["volumes"][number][];
    readonly useAliases: boolean;
  };
  readonly remove: boolean;
  readonly noDeps: boolean;
  readonly pull?: "always" | "missing" | "never";
  /** false: create it, and leave starting to the client (which attaches first). */
  readonly start: boolean;
  /** The client attaches at once: the process is executed when it has (MonitorSpec.startOnAttach). */
  readonly attach?: boolean;
}

export interface RunResult {
  readonly id: ContainerId;
  readonly name: string;
  /** Directory of the container: its monitor's socket is in there. */
  readonly directory: string;
}

export type { ReadyProbe };
