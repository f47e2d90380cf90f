import { linkSignals, systemClock } from "../core/index.ts";
import type { ContainerId } from "../core/index.ts";
import type { Project } from "../model/index.ts";
import { reconcile, reconcileOptions } from "../reconcile/index.ts";
import type { ObservedState, Plan, Remedy } from "../reconcile/index.ts";
import { execute } from "./execute.ts";
import { executorsFor } from "./executors.ts";
import { observedContainer, reconcileContext } from "./observe.ts";
import type { ContainerSummary, EngineEvent } from "./types.ts";
import type { Work } from "./work.ts";

export interface TreatmentsOptions {
  readonly containers: () => readonly ContainerSummary[];
  /** As the last `up` saw it; one without services where there was none. */
  readonly project: () => Project;
  readonly work: (project: Project) => Work;
  readonly signal: AbortSignal;
  readonly tell: (event: EngineEvent) => void;
}

/**
 * What `on_unhealthy` does, planned and carried out like everything else (goal `treat`). It does not queue up behind
 * commands: an `up` may be waiting for the very container that is treated.
 */
export class Treatments {
  readonly #options: TreatmentsOptions;
  /** What still follows from the last treatment of a container: a new one takes its place. */
  readonly #following = new Map<ContainerId, AbortController>();

  constructor(options: TreatmentsOptions) {
    this.#options = options;
  }

  /** Resolves when the container was treated; what follows for others goes on. With what went wrong, in words. Never rejects. */
  async treat(id: ContainerId, remedy: Remedy): Promise<string | undefined> {
    this.#following.get(id)?.abort();
    const abort = new AbortController();
    this.#following.set(id, abort);
    try {
      return await this.#carryOut(this.#plan(id, remedy), id, abort.signal);
    } catch (error) {
      return `on_unhealthy: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** Looks at containers alone: nothing else plays a part. */
  #plan(id: ContainerId, remedy: Remedy): Plan {
    const project = this.#options.project();
    const observed: ObservedState = {
      project: project.name,
      containers: this.#options.containers().map((container) => ({ ...observedContainer(container), ...(container.id === id ? { remedy } : {}) })),
      networks: [],
      volumes: [],
      images: {},
      files: {},
    };
    return reconcile(project, observed, reconcileOptions("treat"), reconcileContext(systemClock.now()));
  }

  async #carryOut(plan: Plan, id: ContainerId, replaced: AbortSignal): Promise<string | undefined> {
    const own = plan.operations.findIndex((operation) => operation.kind === "treat-container" && operation.container === id);
    if (own < 0) return undefined; // it does not run any more
    const linked = linkSignals([replaced, this.#options.signal]);
    const { signal } = linked;
    return new Promise((resolve) => {
      const emit = (event: EngineEvent): void => {
        if (event.type !== "operation" || event.status === "running") return;
        const failure = event.status === "failed" ? event.error?.message : undefined;
        if (event.index === own) resolve(failure);
        else if (failure !== undefined && !signal.aborted) this.#options.tell({ type: "warning", rule: "on-unhealthy", message: `${plan.operations[event.index]?.id ?? ""}: ${failure}` });
      };
      execute(plan, { executors: executorsFor(this.#options.work(this.#options.project())), signal, emit, clock: systemClock, parallel: plan.operations.length })
        .catch(() => undefined)
        .finally(() => {
          linked[Symbol.dispose]();
          resolve(undefined); // aborted before its turn came
        });
    });
  }
}
