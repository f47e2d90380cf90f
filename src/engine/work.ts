import type { ContainerId, DataRoot } from "../core/index.ts";
import type { Project } from "../model/index.ts";
import type { ContainerRecord } from "../runtime/index.ts";
import type { WaitOperation } from "./gates.ts";
import type { Hub } from "./hub.ts";
import type { ImageCache } from "./image.ts";
import type { Rooms } from "./rooms.ts";

/** What executors work with. */
export interface Work {
  readonly root: DataRoot;
  readonly rooms: Rooms;
  readonly hub: Hub;
  readonly project: Project;
  /** Files of removed containers that nobody sees any more; whoever carries out the plan waits for them at its end. */
  readonly deleting?: Promise<void>[];
  /** What containers of the same image ask of it, asked once. */
  readonly images: ImageCache;
  /** Containers or networks came or went: names of other projects may have to be looked up again. */
  readonly namesChanged: () => Promise<void>;
  /** The container's limits are as they should be again. */
  readonly limitsSettled: (id: ContainerId) => void;
  /** Containers that this plan has created, by name. */
  readonly created: Map<string, ContainerRecord>;
  /** When the first gate of this plan was come to: `--wait-timeout` counts from there, for all of them together. */
  readonly waitingSince: { first: number | undefined; readonly passed: WaitOperation[] };
  /** Containers as they were when the plan was made: a new one takes anonymous volumes over from one that is gone by then. */
  readonly replaced: ReadonlyMap<ContainerId, ContainerRecord>;
}
