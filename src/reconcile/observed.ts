import type { ContainerId } from "../core/index.ts";
import type { Remedy } from "./plan.ts";

/**
 * What exists now, as the rooms report it: plain data, every match, no choices made.
 * Reconcile decides; discovery only looks.
 */
export interface ObservedState {
  readonly project: string;
  /** All containers of the project, one-off ones and those of services no longer in the file as well. */
  readonly containers: readonly ObservedContainer[];
  /** Networks and volumes of the project, and those of others that the project names. */
  readonly networks: readonly ObservedNetwork[];
  readonly volumes: readonly ObservedVolume[];
  /** Image references that the project names and that are here. Absent: not here. */
  readonly images: Readonly<Record<string, ObservedImage>>;
  /** Hashes of what the project's configs and secrets hold now, by `config NAME` and `secret NAME`. Absent: nobody can read it. */
  readonly files: Readonly<Record<string, string>>;
}

export interface ObservedContainer {
  readonly id: ContainerId;
  readonly name: string;
  readonly service: string;
  readonly number: number;
  readonly oneoff: boolean;
  readonly configHash: string;
  /** `Service.canonical` of the service that it was made from; absent: unknown (made by an older version). */
  readonly definition?: Readonly<Record<string, unknown>>;
  /** What its configs and secrets held when it was made, as `ObservedState.files`. Absent: unknown. */
  readonly files?: Readonly<Record<string, string>>;
  readonly imageId: string | null;
  /** Ids of the images that it mounts (`volumes` of the type `image`). Absent: it mounts none, or was made by an older version. */
  readonly mountedImages?: readonly string[];
  /** `dead`: its record says running, but nobody holds it (a crash, a reboot). */
  readonly status: "created" | "running" | "paused" | "restarting" | "exited" | "dead";
  readonly exitCode: number | null;
  /** Failures in a row, the last of them before this run. Absent: none. */
  readonly failures?: number;
  readonly health: "none" | "starting" | "healthy" | "unhealthy";
  /** It was stopped by a command, not by its own end. */
  readonly stopRequested: boolean;
  /** Keys of the project's networks → ids of the networks it is attached to. */
  readonly networks: Readonly<Record<string, string>>;
  /** Names of the volumes it mounts. */
  readonly volumes: readonly { readonly name: string; readonly target: string; readonly anonymous: boolean }[];
  /** Containers whose namespaces it joins. */
  readonly joins: readonly ContainerId[];
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** When it was last started, milliseconds since the epoch; absent: never. */
  readonly startedAt?: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Limits that somebody else has changed, one line each: `memory.max: 67108864 → 33554432`. Absent: none, or nobody looked. */
  readonly alteredLimits?: readonly string[];
  /** What `on_unhealthy` is due to do about it now. */
  readonly remedy?: Remedy;
}

export interface ObservedNetwork {
  readonly id: string;
  readonly name: string;
  /** Project and key it was made for; null if by hand or by another project. */
  readonly project: string | null;
  readonly key: string | null;
  readonly configHash: string;
  /** Containers attached, of any project. */
  readonly containers: readonly ContainerId[];
}

export interface ObservedVolume {
  readonly name: string;
  readonly project: string | null;
  readonly key: string | null;
  readonly configHash: string;
  readonly anonymous: boolean;
  /** Containers that mount it, of any project. */
  readonly containers: readonly ContainerId[];
}

export interface ObservedImage {
  /** Image id (digest of its configuration). */
  readonly id: string;
  /** When it was pulled, milliseconds since the epoch. */
  readonly pulledAt: number;
  /** From the image's configuration: has it a health check? */
  readonly healthcheck: boolean;
}
