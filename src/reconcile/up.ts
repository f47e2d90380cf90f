import { StackError } from "../core/index.ts";
import type { Project, Service } from "../model/index.ts";
import type { PlanBuilder } from "./builder.ts";
import type { ReconcileContext } from "./context.ts";
import { joinedServices, selectServices, volumeDonors } from "./graph.ts";
import type { ServiceGraph } from "./graph.ts";
import { ImagePlanner } from "./images.ts";
import type { ObservedContainer, ObservedState } from "./observed.ts";
import { orphansOf, warnAboutOrphans } from "./orphans.ts";
import type { OperationIndex, ReconcileOptions } from "./plan.ts";
import { decideReplicas, isRunning, replicasOf } from "./replicas.ts";
import type { Replica } from "./replicas.ts";
import { decideNetworks, decideVolumes, networkKeys, volumeMounts } from "./resources.ts";
import type { NetworkDecision, VolumeDecision } from "./resources.ts";
import { healCause, startCause, Starter } from "./start-phase.ts";
import type { Present } from "./start-phase.ts";
import { emitStops } from "./stop-phase.ts";
import type { Stopping } from "./stop-phase.ts";

export interface Inputs {
  readonly project: Project;
  readonly observed: ObservedState;
  readonly options: ReconcileOptions;
  readonly context: ReconcileContext;
  readonly graph: ServiceGraph;
  readonly builder: PlanBuilder;
}

interface Decisions {
  /** In dependency order. */
  readonly services: readonly Service[];
  readonly networks: ReadonlyMap<string, NetworkDecision>;
  readonly volumes: ReadonlyMap<string, VolumeDecision>;
  readonly replicas: ReadonlyMap<string, readonly Replica[]>;
}

/**
 * `up` and `create`. First every decision, then the operations in an order in which edges point backwards:
 * images, stops, removals, networks and volumes, then service by service creation and start.
 */
export function planUp(inputs: Inputs): void {
  const decisions = decide(inputs);
  new Converge(inputs, decisions).emit();
}

function decide(inputs: Inputs): Decisions {
  const { project, observed, options, graph, context, builder } = inputs;
  for (const name of Object.keys(options.scale))
    if (project.services[name] === undefined) throw new StackError("no-such-service", `--scale: there is no service "${name}" in project "${project.name}"`);
  const selected = new Set(selectServices(project, graph, options.services, options.noDeps));
  for (;;) {
    const services = graph.order.flatMap((name) => (selected.has(name) ? [project.services[name]] : [])).filter((service) => service !== undefined);
    const networks = decideNetworks(project, observed, services, options, context, builder);
    const volumes = decideVolumes(project, observed, services, options, context, builder);
    const decided = new Map<string, readonly Replica[]>();
    for (const service of services) {
      refuseProvider(service);
      decided.set(service.name, decideReplicas(service, recreateMode(service.name, options), { project, observed, options, context, networks, volumes, decided }));
    }
    const drawnIn = affectedServices(inputs, { services, networks, volumes, replicas: decided }, selected);
    if (drawnIn.length === 0) return { services, networks, volumes, replicas: decided };
    for (const name of drawnIn) selected.add(name);
  }
}

function refuseProvider(service: Service): void {
  if (service.provider !== undefined)
    throw new StackError("unsupported", `Service "${service.name}" is made by a provider (${service.provider.type}), which is not supported`, {
      hint: "Run it as a container, or take it out of the file.",
    });
}

/** What is not named but only needed is recreated on demand alone. */
function recreateMode(name: string, options: ReconcileOptions): ReconcileOptions["recreate"] {
  if (options.services.length === 0 || options.services.includes(name)) return options.recreate;
  if (options.recreateDependencies) return "force";
  return options.recreate === "force" ? "diverged" : options.recreate;
}

/**
 * Services that were not asked for but cannot stay as they are: they share namespaces with a container that is
 * recreated, or are attached to a network or volume that is.
 */
function affectedServices(inputs: Inputs, decisions: Decisions, selected: ReadonlySet<string>): readonly string[] {
  const { project, observed, options } = inputs;
  const lost = new Set<string>();
  for (const decision of decisions.networks.values()) if (decision.action === "recreate") for (const id of decision.old.containers) lost.add(id);
  for (const decision of decisions.volumes.values()) if (decision.action === "recreate") for (const id of decision.old.containers) lost.add(id);
  const affected = new Set<string>();
  for (const container of observed.containers) {
    if (!lost.has(container.id) || selected.has(container.service)) continue;
    if (project.services[container.service] !== undefined && !container.oneoff) affected.add(container.service);
    else if (!(options.removeOrphans && orphansOf(project, observed).includes(container)))
      throw new StackError("network-in-use", `Container ${container.name} uses a network or volume that has changed in the file and would have to be made again`, {
        hint: "Remove that container first (--remove-orphans removes those of services that are not in the file).",
      });
  }
  for (const service of Object.values(project.services)) {
    if (selected.has(service.name) || replicasOf(observed, service.name).length === 0) continue;
    const renewed = joinedServices(service).some(({ service: other }) => decisions.replicas.get(other)?.some((replica) => replica.action === "recreate") === true);
    if (renewed) affected.add(service.name);
  }
  return [...affected].sort();
}

/** Turns decisions into operations. */
class Converge {
  readonly #in: Inputs;
  readonly #decisions: Decisions;
  /** Every image comes before the first thing that is made or taken away: one that cannot be had leaves all as it is. */
  readonly #images = new Set<OperationIndex>();
  readonly #removed = new Map<string, OperationIndex>();
  readonly #networks = new Map<string, OperationIndex>();
  readonly #volumes = new Map<string, OperationIndex>();
  /** Creation of the first replica of each service that gets a new one: others may join it. */
  readonly #firstCreated = new Map<string, OperationIndex>();

  constructor(inputs: Inputs, decisions: Decisions) {
    this.#in = inputs;
    this.#decisions = decisions;
  }

  emit(): void {
    const { builder, project, graph, options, observed, context } = this.#in;
    this.#emitImages();
    const starts = options.goal !== "create";
    const restarts = starts ? this.#restarts() : new Map<string, string>();
    const after = [...this.#images];
    const stopping = [...this.#leaving(), ...this.#restarting(restarts), ...this.#orphans()].map((entry) => ({ ...entry, after }));
    const grace = options.graceMs === undefined ? {} : { graceMs: options.graceMs };
    const stops = emitStops(builder, project, graph, stopping, { ...grace, ordered: true });
    this.#emitRemovals(stopping, restarts, stops);
    this.#emitResources();
    const starter = new Starter({ builder, project, observed, options, context, graph, allStops: [...stops.values()] });
    for (const name of graph.order) {
      const service = project.services[name];
      if (service === undefined) continue;
      const replicas = this.#decisions.replicas.get(name);
      const present = replicas === undefined ? this.#unselected(name, restarts, stops) : this.#create(service, replicas, restarts, stops);
      if (starts && present.length > 0) starter.service(name, present);
      if (starts) this.#restoreLimits(name);
    }
    if (starts && options.wait) starter.waitFor(this.#decisions.services.map((service) => service.name), this.#jobs());
  }

  #emitImages(): void {
    const { builder, project, observed, options, context } = this.#in;
    const planner = new ImagePlanner(builder, project, observed, options, context);
    for (const service of this.#decisions.services) {
      const making = this.#decisions.replicas.get(service.name)?.some((replica) => replica.action === "create" || replica.action === "recreate") === true;
      const index = planner.ensure(service, making);
      if (index !== undefined) this.#images.add(index);
        if (making) for (const mounted of planner.ensureMounted(service)) this.#images.add(mounted);
    }
  }

  /** Containers that are removed or recreated. */
  #leaving(): readonly Stopping[] {
    const leaving: Stopping[] = [];
    for (const replicas of this.#decisions.replicas.values()) {
      for (const replica of replicas) {
        if (replica.action !== "remove" && replica.action !== "recreate") continue;
        leaving.push({
          container: replica.container,
          cause: replica.cause,
          group: groupOf(replica),
          bestEffort: replica.action === "remove",
        });
      }
    }
    return leaving;
  }

  /** `depends_on: {db: {restart: true}}`: containers that stay, but whose dependency is recreated. By id, with the cause. */
  #restarts(): ReadonlyMap<string, string> {
    const { project, observed, graph } = this.#in;
    const restarts = new Map<string, string>();
    for (const service of Object.values(project.services)) {
      for (const [name, dependency] of Object.entries(graph.dependencies(service.name))) {
        if (!dependency.restart || this.#decisions.replicas.get(name)?.some((replica) => replica.action === "recreate") !== true) continue;
        const decided = this.#decisions.replicas.get(service.name);
        const staying = decided === undefined ? replicasOf(observed, service.name) : decided.flatMap((replica) => (replica.action === "keep" ? [replica.container] : []));
        for (const container of staying) if (isRunning(container)) restarts.set(container.id, `${name} is recreated`);
      }
    }
    return restarts;
  }

  #restarting(restarts: ReadonlyMap<string, string>): readonly Stopping[] {
    return this.#in.observed.containers.flatMap((container) => {
      const cause = restarts.get(container.id);
      return cause === undefined ? [] : [{ container, cause, group: `Restart ${container.name}` }];
    });
  }

  #orphans(): readonly Stopping[] {
    const { project, observed, options, builder } = this.#in;
    const orphans = orphansOf(project, observed);
    if (options.removeOrphans) return orphans.map((container) => ({ container, cause: "orphan", group: `Remove ${container.name}`, bestEffort: true }));
    if (!options.ignoreOrphans) warnAboutOrphans(builder, project, orphans);
    return [];
  }

  #emitRemovals(stopping: readonly Stopping[], restarts: ReadonlyMap<string, string>, stops: ReadonlyMap<string, OperationIndex>): void {
    const { builder, options } = this.#in;
    for (const { container, cause, group, after } of stopping) {
      if (restarts.has(container.id)) continue;
      const { id, name, service } = container;
      const stop = stops.get(id);
      const index = builder.add(
        `remove-container ${name}`,
        { kind: "remove-container", name, service, container: id, removeAnonymousVolumes: this.#dropsVolumes(container, options) },
        { cause, after: stop === undefined ? (after ?? []) : [stop], ...(group === undefined ? {} : { group }) },
      );
      this.#removed.set(id, index);
    }
  }

  /** The new container takes them over unless they are renewed; those of one that only goes stay, as with Docker Compose. */
  #dropsVolumes(container: ObservedContainer, options: ReconcileOptions): boolean {
    const replica = this.#decisions.replicas.get(container.service)?.find((candidate) => candidate.action === "recreate" && candidate.container.id === container.id);
    return replica !== undefined && options.renewAnonymousVolumes;
  }

  #emitResources(): void {
    const { builder } = this.#in;
    const removals = (ids: readonly string[]): readonly (OperationIndex | undefined)[] => ids.map((id) => this.#removed.get(id));
    for (const [key, decision] of this.#decisions.networks) {
      if (decision.action === "keep") continue;
      const { name, cause } = decision;
      const group = `Recreate network ${name}`;
      const removed =
        decision.action === "create"
          ? undefined
          : builder.add(`remove-network ${name}`, { kind: "remove-network", network: decision.old.id, name }, { cause, group, after: removals(decision.old.containers) });
      this.#networks.set(key, builder.add(`create-network ${name}`, { kind: "create-network", key, name }, { cause, after: [...this.#images, removed], ...(removed === undefined ? {} : { group }) }));
    }
    for (const [key, decision] of this.#decisions.volumes) {
      if (decision.action === "keep") continue;
      const { name, cause } = decision;
      const group = `Recreate volume ${name}`;
      const removed =
        decision.action === "create"
          ? undefined
          : builder.add(`remove-volume ${name}`, { kind: "remove-volume", name }, { cause, group, after: removals(decision.old.containers) });
      this.#volumes.set(key, builder.add(`create-volume ${name}`, { kind: "create-volume", key, name }, { cause, after: [...this.#images, removed], ...(removed === undefined ? {} : { group }) }));
    }
  }

  #create(service: Service, replicas: readonly Replica[], restarts: ReadonlyMap<string, string>, stops: ReadonlyMap<string, OperationIndex>): readonly Present[] {
    return replicas.flatMap((replica): readonly Present[] => {
      if (replica.action === "remove") return [];
      if (replica.action === "keep") return [this.#kept(replica.container, restarts, stops)];
      const before = this.#emitCreate(service, replica);
      const group = groupOf(replica);
      return [{ name: replica.name, before, start: { cause: replica.cause, ...(group === undefined ? {} : { group }) } }];
    });
  }

  #kept(container: ObservedContainer, restarts: ReadonlyMap<string, string>, stops: ReadonlyMap<string, OperationIndex>): Present {
    const { name } = container;
    const restart = restarts.get(container.id);
    const stop = stops.get(container.id);
    if (restart !== undefined && stop !== undefined) return { name, container, before: stop, start: { cause: restart, group: `Restart ${name}` } };
    const service = this.#in.project.services[container.service];
    const cause = this.#in.options.goal === "heal" ? healCause(container, service) : startCause(container, this.#in.context.now);
    if (cause === undefined && this.#in.options.goal === "up" && isRunning(container)) this.#in.builder.runs(name);
    return { name, container, ...(cause === undefined ? {} : { start: { cause } }) };
  }

  /** Services that were not asked for: only restarted if their dependency is recreated. */
  #unselected(name: string, restarts: ReadonlyMap<string, string>, stops: ReadonlyMap<string, OperationIndex>): readonly Present[] {
    return replicasOf(this.#in.observed, name)
      .filter((container) => restarts.has(container.id))
      .map((container) => this.#kept(container, restarts, stops));
  }

  /** Of containers that stay as they are. */
  #restoreLimits(service: string): void {
    const kept = this.#decisions.replicas.get(service)?.flatMap((replica) => (replica.action === "keep" && isRunning(replica.container) ? [replica.container] : [])) ?? [];
    for (const { id, name, alteredLimits = [] } of kept) {
      if (alteredLimits.length === 0) continue;
      this.#in.builder.add(`restore-limits ${name}`, { kind: "restore-limits", name, service, container: id }, { cause: alteredLimits.join("; ") });
    }
  }

  #emitCreate(service: Service, replica: Extract<Replica, { action: "create" | "recreate" }>): OperationIndex {
    const { builder, options } = this.#in;
    const { name, number, cause } = replica;
    const group = groupOf(replica);
    const index = builder.add(
      `create-container ${name}`,
      {
        kind: "create-container",
        service: service.name,
        number,
        name,
        ...(replica.action === "recreate" ? { replaces: replica.container.id } : {}),
        renewAnonymousVolumes: options.renewAnonymousVolumes,
      },
      { cause, after: this.#needs(service, replica), ...(group === undefined ? {} : { group }) },
    );
    if (!this.#firstCreated.has(service.name)) this.#firstCreated.set(service.name, index);
    return index;
  }

  #needs(service: Service, replica: Extract<Replica, { action: "create" | "recreate" }>): readonly (OperationIndex | undefined)[] {
    const own = replica.action === "recreate" ? [this.#removed.get(replica.container.id)] : [];
    const donors = [...joinedServices(service).map((joined) => joined.service), ...volumeDonors(service)];
    const inTheWay = this.#in.observed.containers
      .filter((container) => container.name === replica.name || (container.service === service.name && !container.oneoff && container.number === replica.number))
      .map((container) => this.#removed.get(container.id));
    // Whom it joins is known by the service's name: one that goes must have gone.
    const leavingDonors = this.#in.observed.containers.filter((container) => donors.includes(container.service)).map((container) => this.#removed.get(container.id));
    // An address is given back when its container is removed.
    const fixedAddress = Object.values(service.networks).some((network) => network.ipv4_address !== undefined || network.ipv6_address !== undefined);
    return [
      ...this.#images,
      ...networkKeys(service).map((key) => this.#networks.get(key)),
      ...volumeMounts(service).map(({ key }) => this.#volumes.get(key)),
      ...own,
      ...inTheWay,
      ...donors.map((name) => this.#firstCreated.get(name)),
      ...leavingDonors,
      ...(fixedAddress ? this.#removed.values() : []),
    ];
  }

  /** Services that somebody waits for to complete, or that are ready when they have ended: `--wait` waits for their end, not for them to run. */
  #jobs(): ReadonlySet<string> {
    const { project, graph } = this.#in;
    const ending = Object.values(project.services).filter((service) => service.ready.some((probe) => probe.kind === "exit" && probe.code === 0));
    const jobs = new Set<string>(ending.map((service) => service.name));
    for (const name of Object.keys(project.services))
      for (const [dependency, { condition }] of Object.entries(graph.dependencies(name))) if (condition === "service_completed_successfully") jobs.add(dependency);
    return jobs;
  }
}

function groupOf(replica: Replica): string | undefined {
  switch (replica.action) {
    case "keep":
      return undefined;
    case "create":
      return `Create ${replica.name}`;
    case "recreate":
      return `Recreate ${replica.name}`;
    case "remove":
      return `Remove ${replica.name}`;
  }
}
