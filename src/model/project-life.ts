import type { HostPath } from "../core/index.ts";
import type { FileMount } from "./project-attachments.ts";
import type { Bytes, Milliseconds, StringMap } from "./project-units.ts";

// How a service comes to be, starts, is watched, starts again and ends.

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

export interface Hook {
  readonly command: readonly string[];
  readonly image?: string;
  readonly user?: string;
  readonly privileged: boolean;
  readonly working_dir?: string;
  readonly environment: Readonly<Record<string, string | null>>;
  readonly per_replica?: boolean;
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
