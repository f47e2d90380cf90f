import { toStackError } from "../core/index.ts";
import type { ContainerId, DataRoot } from "../core/index.ts";
import type { Project } from "../model/index.ts";
import { reconcileOptions } from "../reconcile/index.ts";
import type { ReconcileOptions } from "../reconcile/index.ts";
import type { MonitorClient } from "../runtime/index.ts";
import { DriftWatch } from "./drift.ts";
import { alteredLimits, hasLimits } from "./limits.ts";
import type { ApplyResult, ContainerSummary, EngineEvent } from "./types.ts";
import type { Replicas } from "./wanted.ts";

/** What happens together (a directory's removal is many events) is healed together, milliseconds. */
const settleMs = 50;
/** After a healing that failed the next one waits, twice as long each time, milliseconds. */
const firstRetryMs = 1000;
const lastRetryMs = 60_000;

export interface HealingSession {
  readonly root: DataRoot;
  readonly containers: () => readonly ContainerSummary[];
  readonly monitor: (id: ContainerId) => MonitorClient;
  readonly project: () => Project | undefined;
  readonly replicas: () => Replicas;
  /** Is a command at work? Healing waits for it, and looks when it has ended. */
  readonly busy: () => boolean;
  readonly apply: (project: Project, options: ReconcileOptions) => Promise<ApplyResult>;
  readonly tell: (event: EngineEvent) => void;
  /** `pending` may have become false. */
  readonly rested: () => void;
}

/**
 * Keeps what the last command left as it was left. When something has disappeared, died unseen or was changed by
 * somebody else, it plans (goal `heal`) and acts. Idle it costs nothing: it waits for the kernel's news.
 */
export class Healing {
  readonly #session: HealingSession;
  readonly #drift: DriftWatch;
  #timer: NodeJS.Timeout | undefined;
  #healing = false;
  #retryMs = firstRetryMs;
  #closed = false;
  /** Limits of every container are to be looked at, not only of those that were written: we were not there before. */
  #lookAtAll = false;

  constructor(session: HealingSession) {
    this.#session = session;
    this.#drift = new DriftWatch(session.root, () => {
      this.due();
    });
  }

  /** After adopting or applying: from now on changes are noticed. `adopted`: what happened before us has to be looked for. Idempotent. */
  watch(adopted = false): void {
    const project = this.#session.project();
    if (project === undefined || this.#closed) return;
    this.#drift.open((store, name) => this.#concerns(store, name));
    for (const container of this.#session.containers()) this.note(container);
    if (!adopted) return;
    this.#lookAtAll = true;
    this.due();
  }

  /** Something of a container has changed: who runs with limits is watched, who died unseen is looked at. */
  note(container: ContainerSummary): void {
    const { id, status, state } = container;
    if (status === "running" && state !== undefined) {
      if (this.#limited(container)) void this.#drift.follow(id, state.pid);
      return;
    }
    if (status === "dead") this.due();
    if (status !== "paused") this.#drift.unfollow(id);
  }

  gone(id: ContainerId): void {
    this.#drift.unfollow(id);
  }

  due(delay = settleMs): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#look();
    }, delay);
    this.#timer.unref();
  }

  /** Something is to be healed, or looked at: also when nothing runs any more somebody has to be there for it. */
  get pending(): boolean {
    return this.#timer !== undefined || this.#healing;
  }

  /** What the planner is told of limits. */
  async alteredLimits(): Promise<ReadonlyMap<ContainerId, readonly string[]>> {
    const asked = this.#session.containers().filter((container) => (this.#lookAtAll ? this.#limited(container) : this.#drift.isWritten(container.id)));
    const found = await alteredLimits(asked, this.#session.monitor);
    for (const { id, status } of asked) if (status === "running" && !found.has(id)) this.#drift.settled(id);
    return found;
  }

  /** They were set again. */
  settled(id: ContainerId): void {
    this.#drift.settled(id);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#drift.close();
  }

  async #look(): Promise<void> {
    this.#healing = true;
    try {
      await this.#heal();
    } catch (error) {
      this.#session.tell({ type: "warning", rule: "healing-failed", message: toStackError(error).message });
      this.#later();
    } finally {
      this.#healing = false;
      this.#session.rested();
    }
  }

  async #heal(): Promise<void> {
    const { session, project, replicas } = { session: this.#session, project: this.#session.project(), replicas: this.#session.replicas() };
    if (project === undefined || this.#closed || Object.keys(replicas).length === 0) return;
    if (session.busy()) {
      this.due(); // the command may be what we noticed
      return;
    }
    const result = await session.apply(project, healOptions(project, replicas));
    this.#lookAtAll = false;
    if (result.ok) this.#retryMs = firstRetryMs;
    else {
      for (const { operation, error } of result.failures) session.tell({ type: "warning", rule: "healing-failed", message: `${operation}: ${error.message}` });
      this.#later();
    }
  }

  #later(): void {
    this.due(this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, lastRetryMs);
  }

  #limited(container: ContainerSummary): boolean {
    return hasLimits(this.#session.project(), container);
  }

  #concerns(store: "containers" | "networks" | "volumes", name: string): boolean {
    const containers = this.#session.containers();
    switch (store) {
      case "containers":
        return containers.some((container) => container.id === name);
      case "networks":
        return containers.some(({ record }) => record.networks.some(({ network }) => name === `${network}.json`));
      case "volumes":
        return containers.some(({ record }) => record.volumes.some((volume) => volume.name === name));
    }
  }
}

function healOptions(project: Project, replicas: Replicas): ReconcileOptions {
  const scale = Object.fromEntries(Object.entries(replicas).filter(([service]) => project.services[service] !== undefined));
  // Missing images only: healing is no update.
  return reconcileOptions("heal", { services: Object.keys(scale), noDeps: true, recreate: "lost", ignoreOrphans: true, scale, pull: "missing" });
}
