import type { ContainerId } from "../core/index.ts";

/**
 * A plan leads from what exists to what is wanted: a directed acyclic graph of operations, each with its
 * cause. Gates are operations too, so the whole course is known before anything happens.
 * The executor carries no decision: everything that depends on the stack file is in the operation.
 */
export const PLAN_VERSION = 1;

export interface Plan {
  readonly version: typeof PLAN_VERSION;
  readonly operations: readonly Operation[];
  readonly warnings: readonly PlanWarning[];
  /** What must be answered before the plan may run (`volume changed: recreate and lose its data?`). */
  readonly questions: readonly PlanQuestion[];
  /** Containers that were asked for, run, and are right as they are: nothing is done, but it is told. */
  readonly running?: readonly string[];
}

export interface PlanWarning {
  readonly rule: string;
  readonly message: string;
}

export interface PlanQuestion {
  readonly id: string;
  readonly message: string;
  /** What happens with `-y`. */
  readonly whenYes: string;
}

/** Position in `Plan.operations`; edges only point to smaller ones, so a plan cannot be cyclic. */
export type OperationIndex = number;

export type Operation = OperationBase & OperationKind;

export interface OperationBase {
  /** Stable within one plan and readable: `create-container shop-web-1`. */
  readonly id: string;
  /** Why: `no existing container`, `environment.DEBUG: "0" → "1"`, `image digest changed`. */
  readonly cause: string;
  readonly after: readonly OperationIndex[];
  /**
   * Operations that the user sees as one line, e.g. stop + remove + create + start = `Recreate shop-web-1`.
   * Absent: shown alone.
   */
  readonly group?: string;
  /** A failure does not skip the dependents (stopping something that is going away anyway). */
  readonly bestEffort?: boolean;
}

export type OperationKind =
  | {
      readonly kind: "ensure-image";
      readonly service: string;
      readonly reference: string;
      /** `missing`: pull if absent. `always`: pull. `never`: fail if absent. */
      readonly policy: "missing" | "always" | "never";
      readonly platform?: string;
    }
  | { readonly kind: "create-network"; readonly key: string; readonly name: string }
  | { readonly kind: "remove-network"; readonly network: string; readonly name: string }
  | { readonly kind: "create-volume"; readonly key: string; readonly name: string }
  | { readonly kind: "remove-volume"; readonly name: string }
  | {
      readonly kind: "create-container";
      readonly service: string;
      readonly number: number;
      readonly name: string;
      /** Take the anonymous volumes over from this container, which the plan removes before. */
      readonly replaces?: ContainerId;
      readonly renewAnonymousVolumes: boolean;
    }
  /** `container`: of one that exists; absent: the one that this plan creates under `name`. */
  | { readonly kind: "start-container"; readonly name: string; readonly service: string; readonly container?: ContainerId }
  | {
      readonly kind: "stop-container";
      readonly name: string;
      readonly service: string;
      readonly container: ContainerId;
      /** Milliseconds; absent: the container's own. */
      readonly graceMs?: number;
    }
  | {
      readonly kind: "remove-container";
      readonly name: string;
      readonly service: string;
      readonly container: ContainerId;
      /** Its anonymous volumes too. */
      readonly removeAnonymousVolumes: boolean;
    }
  /** Waits, driven by events, until the dependency holds for every replica of `service`; fails when it cannot any more. */
  | {
      readonly kind: "wait";
      readonly service: string;
      readonly condition: "service_started" | "service_healthy" | "service_completed_successfully" | "running_or_healthy";
      /** Container names. */
      readonly containers: readonly string[];
      readonly required: boolean;
      readonly timeoutMs?: number;
    }
  | {
      readonly kind: "run-hook";
      readonly service: string;
      readonly name: string;
      readonly container?: ContainerId;
      readonly hook: "pre_start" | "post_start" | "pre_stop";
      readonly index: number;
    }
  /** Somebody changed its limits behind our back: set as they were asked for. */
  | { readonly kind: "restore-limits"; readonly name: string; readonly service: string; readonly container: ContainerId }
  /** It is unhealthy and `on_unhealthy` is due (`by: health`), or what it depends on was restarted because of that. */
  | ({ readonly kind: "treat-container"; readonly name: string; readonly service: string; readonly container: ContainerId; readonly by: "health" | "dependency" } & Remedy)
  | { readonly kind: "remove-image"; readonly reference: string };

/** What is done about a container that is not well. */
export interface Remedy {
  readonly action: "restart" | "stop" | "run";
  /** `run`: in the container. */
  readonly command?: readonly string[];
  /** `unhealthy: connection refused`; the record of the end says it. */
  readonly reason: string;
}

/** What the user asked for, as data. */
export interface ReconcileOptions {
  /** What this plan is for. */
  /** `heal`: bring back what was lost since the last command, and nothing else (`scale` says what there was). */
  /** `treat`: what `on_unhealthy` is due to do (`ObservedContainer.remedy`), and what follows from it. */
  readonly goal: "up" | "create" | "heal" | "treat" | "start" | "stop" | "restart" | "down" | "remove" | "kill";
  /** Services named by the user; empty: all. */
  readonly services: readonly string[];
  /** Also containers of services that the file does not have, or has in profiles that are not active: where a project's name was all that was given. */
  readonly undeclared: boolean;
  /** Do not touch what the named services depend on. */
  readonly noDeps: boolean;
  /** `lost`: only what uses something that is not there any more. */
  readonly recreate: "diverged" | "force" | "never" | "lost";
  /** `--always-recreate-deps`. */
  readonly recreateDependencies: boolean;
  readonly renewAnonymousVolumes: boolean;
  readonly removeOrphans: boolean;
  readonly ignoreOrphans: boolean;
  /** service → replicas, from `--scale`. */
  readonly scale: Readonly<Record<string, number>>;
  /** `--pull`; absent: each service's own. */
  readonly pull?: "always" | "missing" | "never";
  /** `-t`, milliseconds. */
  readonly graceMs?: number;
  /** `down -v`. */
  readonly removeVolumes: boolean;
  /** `down --rmi`. */
  readonly removeImages?: "local" | "all";
  /** End with a gate on every service (`--wait`). */
  readonly wait: boolean;
  readonly waitTimeoutMs?: number;
  /** `rm -s`, `rm -v`. */
  readonly removeStopFirst: boolean;
  readonly removeAnonymousVolumes: boolean;
  /** Ids of the questions that were answered with yes; with `!` before the id: with no. */
  readonly answers: readonly string[];
}
