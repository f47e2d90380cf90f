import type { ContainerId, HostPath } from "../core/index.ts";

/** `volumes/NAME/volume.json`; the data is in `_data` beside it. */
export interface VolumeRecord {
  readonly version: 1;
  readonly name: string;
  readonly project: string | null;
  readonly key: string | null;
  readonly configHash: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly driver: string;
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly anonymous: boolean;
  readonly createdAt: string;
}

export type VolumeRequest = Omit<VolumeRecord, "version" | "createdAt">;

export interface Volumes {
  list(): Promise<readonly VolumeRecord[]>;
  find(name: string): Promise<VolumeRecord | undefined>;
  /** Idempotent by name. */
  create(request: VolumeRequest): Promise<VolumeRecord>;
  /** Deletes the data. Idempotent. Refuses nothing: who may remove what is the planner's. */
  remove(name: string): Promise<void>;
  /** What makers that were killed left. */
  sweep(): Promise<void>;
  /** The directory to bind into a container; mounts `local` volumes with `type`/`device` options first (and `release` unmounts). */
  path(record: VolumeRecord): Promise<HostPath>;
  release(name: string): Promise<void>;
  /** Writes a config's or secret's content for one container, owner and mode set; returns the file to bind. */
  writeFile(
    container: ContainerId,
    name: string,
    content: string | Uint8Array,
    owner: { readonly uid: number; readonly gid: number; readonly mode: number },
  ): Promise<HostPath>;
}
