import { StackError } from "../core/index.ts";
import type { DependencyCondition, Project, Service } from "../model/index.ts";
import type { PlanBuilder } from "./builder.ts";
import type { ReconcileContext } from "./context.ts";
import type { ServiceGraph } from "./graph.ts";
import { imageReference } from "./images.ts";
import type { ObservedContainer, ObservedState } from "./observed.ts";
import type { OperationIndex, ReconcileOptions } from "./plan.ts";

/** A replica as it is when the start phase comes to it. */
export interface Present {
  readonly name: string;
  /** Absent: this plan makes it. */
  readonly container?: ObservedContainer;
  /** The operation that made it, or that stopped it to start it again. */
  readonly before?: OperationIndex;
  /** Why it is started; absent: it runs already, or need not. */
  readonly start?: { readonly cause: string; readonly group?: string };
}

export interface StartFacts {
  readonly builder: PlanBuilder;
  readonly project: Project;
  readonly observed: ObservedState;
  readonly options: ReconcileOptions;
  readonly context: ReconcileContext;
  readonly graph: ServiceGraph;
  /** What starts of services that publish fixed ports wait for: who stops may hold them. */
  readonly allStops: readonly OperationIndex[];
}

/** Why a container that does not run is started; undefined: it is left as it is. */
export function startCause(container: ObservedContainer, now: number): string | undefined {
  switch (container.status) {
    case "running":
    case "restarting":
      return undefined;
    case "created":
      return "created, not started";
    case "paused":
      return "paused";
    case "dead":
      return "its process has gone";
    case "exited":
      // It ran in this very command: a job that has done its work.
      return container.startedAt !== undefined && container.startedAt >= now ? undefined : `exited (${container.exitCode ?? "unknown"})`;
  }
}

/** Without being asked only what died unseen is started, and what its policy would have brought back. */
export function healCause(container: ObservedContainer, service: Service | undefined): string | undefined {
  if (container.status !== "dead" || container.stopRequested || service === undefined) return undefined;
  return service.restart.policy === "no" ? undefined : "its process has gone";
}

/** Starts services in dependency order, with gates only where somebody is about to pass them. */
export class Starter {
  readonly #facts: StartFacts;
  readonly #present = new Map<string, readonly Present[]>();
  /** Last operation of each start, by service. */
  readonly #started = new Map<string, readonly OperationIndex[]>();
  readonly #gates = new Map<string, OperationIndex>();

  constructor(facts: StartFacts) {
    this.#facts = facts;
  }

  /** To be called in dependency order. */
  service(name: string, replicas: readonly Present[]): void {
    this.#present.set(name, replicas);
    const service = this.#facts.project.services[name] ?? this.#facts.project.disabled_services[name];
    const starting = replicas.filter((replica) => replica.start !== undefined);
    if (service === undefined || starting.length === 0) return;
    const gates = this.#gatesOf(service);
    const portWaits = service.ports.some((port) => port.published !== undefined) ? this.#facts.allStops : [];
    const prepared = this.#preStart(service, starting, gates);
    this.#started.set(
      name,
      starting.map((replica) => this.#start(service, replica, [...gates, ...portWaits, ...(prepared === undefined ? [] : [prepared])])),
    );
  }

  /** `--wait`: a gate for every service that is not there yet. */
  waitFor(names: readonly string[], jobs: ReadonlySet<string>): void {
    for (const name of names) {
      const replicas = this.#present.get(name) ?? [];
      const condition = jobs.has(name) ? "service_completed_successfully" : "running_or_healthy";
      if (replicas.length === 0 || this.#holds(name, condition)) continue;
      this.#gate(name, condition, true, `--wait`, this.#patience());
    }
  }

  /** `--wait-timeout` is for every gate: one that never opens between services must not outlast it. */
  #patience(): number | undefined {
    const { wait, waitTimeoutMs } = this.#facts.options;
    return wait ? waitTimeoutMs : undefined;
  }

  /** pre_start hooks run one after the other before the first container; those that ask for it once for each replica. */
  #preStart(service: Service, starting: readonly Present[], gates: readonly OperationIndex[]): OperationIndex | undefined {
    let last: OperationIndex | undefined;
    for (const [index, hook] of service.pre_start.entries())
      for (const replica of hook.per_replica === true ? starting : starting.slice(0, 1))
        last = this.#facts.builder.add(
          `run-hook pre_start ${index + 1} ${replica.name}`,
          { kind: "run-hook", service: service.name, name: replica.name, ...containerOf(replica), hook: "pre_start", index },
          { cause: `pre_start hook of ${service.name}`, after: [...gates, ...starting.map((each) => each.before), last] },
        );
    return last;
  }

  #start(service: Service, replica: Present, after: readonly OperationIndex[]): OperationIndex {
    const { builder } = this.#facts;
    const { name, start, before } = replica;
    const group = start?.group === undefined ? {} : { group: start.group };
    let last = builder.add(
      `start-container ${name}`,
      { kind: "start-container", name, service: service.name, ...containerOf(replica) },
      { cause: start?.cause ?? "", after: [...after, before], ...group },
    );
    for (const hook of service.post_start.keys()) {
      last = builder.add(
        `run-hook post_start ${hook + 1} ${name}`,
        { kind: "run-hook", service: service.name, name, ...containerOf(replica), hook: "post_start", index: hook },
        { cause: `post_start hook of ${service.name}`, after: [last], ...group },
      );
    }
    return last;
  }

  #gatesOf(service: Service): readonly OperationIndex[] {
    const { graph, project } = this.#facts;
    return Object.entries(graph.dependencies(service.name)).flatMap(([name, { condition, required }]) => {
      const replicas = this.#present.get(name);
      if (replicas === undefined || replicas.length === 0) return []; // not part of this plan, or scaled to none
      if (condition === "service_started") return this.#started.get(name) ?? [];
      if (condition === "service_healthy") this.#requireHealthcheck(service, project.services[name] ?? project.disabled_services[name]);
      if (this.#holds(name, condition)) return [];
      return [this.#gate(name, condition, required, `${service.name} needs ${name}: ${words[condition]}`, this.#patience())];
    });
  }

  /** Known before anything is touched: this gate could never open. */
  #requireHealthcheck(dependent: Service, service: Service | undefined): void {
    if (service === undefined || service.ready.length > 0) return;
    const { healthcheck } = service;
    const disabled = healthcheck?.disable === true || healthcheck?.test?.kind === "none";
    if (!disabled && healthcheck?.test !== undefined) return;
    const reference = imageReference(this.#facts.project, service);
    const image = reference === undefined ? undefined : this.#facts.observed.images[reference];
    if (!disabled && (reference === undefined ? false : image === undefined || image.healthcheck)) return;
    throw new StackError("dependency-failed", `Service "${dependent.name}" waits for "${service.name}" to be healthy, but that has no health check`, {
      hint: `Give "${service.name}" a healthcheck, or use condition: service_started.`,
    });
  }

  /** Does it hold already, with nothing in this plan that could change it? */
  #holds(name: string, condition: DependencyCondition | "running_or_healthy"): boolean {
    return (this.#present.get(name) ?? []).every(({ container, start }) => {
      if (container === undefined || start !== undefined) return false;
      switch (condition) {
        case "service_started":
          return true;
        case "service_healthy":
          return (container.status === "running" || container.status === "exited") && container.health === "healthy";
        case "service_completed_successfully":
          return container.status === "exited" && container.exitCode === 0;
        case "running_or_healthy":
          return container.health === "healthy" || (container.status === "running" && container.health === "none" && container.failures === undefined);
      }
    });
  }

  #gate(name: string, condition: DependencyCondition | "running_or_healthy", required: boolean, cause: string, timeoutMs?: number): OperationIndex {
    const key = `${name} ${condition} ${required}`;
    const known = this.#gates.get(key);
    if (known !== undefined) return known;
    const containers = (this.#present.get(name) ?? []).map((replica) => replica.name);
    const index = this.#facts.builder.add(
      `wait ${name} ${condition}`,
      { kind: "wait", service: name, condition, containers, required, ...(timeoutMs === undefined ? {} : { timeoutMs }) },
      { cause, after: this.#started.get(name) ?? [], ...(required ? {} : { bestEffort: true }) },
    );
    this.#gates.set(key, index);
    return index;
  }
}

const words: Readonly<Record<DependencyCondition, string>> = {
  service_started: "started",
  service_healthy: "healthy",
  service_completed_successfully: "completed",
};

const containerOf = (replica: Present): { readonly container?: ObservedContainer["id"] } => (replica.container === undefined ? {} : { container: replica.container.id });
