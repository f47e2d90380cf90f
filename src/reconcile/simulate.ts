import type { ContainerId } from "../core/index.ts";
import type { Project } from "../model/index.ts";
import type { ReconcileContext } from "./context.ts";
import { joinedServices, volumeDonors } from "./graph.ts";
import { imageReference } from "./images.ts";
import type { ObservedContainer, ObservedNetwork, ObservedState, ObservedVolume } from "./observed.ts";
import type { Operation, Plan } from "./plan.ts";

/** What a simulated job does when it is started. */
export type Fate = (service: string) => "runs" | "completes";

/**
 * The state after a plan in which every operation succeeds, as the executors leave it. For tests; it checks as it goes
 * that no operation meets a state in which it could not be done.
 */
export function simulate(
  project: Project,
  observed: ObservedState,
  plan: Plan,
  context: ReconcileContext,
  options: { readonly fate?: Fate; /** Positions in the plan, in the order of execution; each after those it waits for. */ readonly order?: readonly number[] } = {},
): ObservedState {
  const world = new World(project, observed, context, options.fate ?? (() => "runs"));
  for (const index of options.order ?? plan.operations.keys()) {
    const operation = plan.operations[index];
    if (operation !== undefined) world.apply(operation);
  }
  return world.state();
}

class World {
  readonly #project: Project;
  readonly #context: ReconcileContext;
  readonly #fate: Fate;
  readonly #before: ObservedState;
  #containers: ObservedContainer[];
  readonly #removed = new Map<ContainerId, ObservedContainer>();
  #networks: ObservedNetwork[];
  #volumes: ObservedVolume[];
  #images: Record<string, ObservedState["images"][string]>;
  #made = 0;

  constructor(project: Project, observed: ObservedState, context: ReconcileContext, fate: Fate) {
    this.#project = project;
    this.#context = context;
    this.#fate = fate;
    this.#before = observed;
    this.#containers = [...observed.containers];
    this.#networks = [...observed.networks];
    this.#volumes = [...observed.volumes];
    this.#images = { ...observed.images };
  }

  state(): ObservedState {
    const users = (uses: (container: ObservedContainer) => boolean, before: readonly ContainerId[]): readonly ContainerId[] => {
      const own = new Set(this.#before.containers.map((container) => container.id));
      return [...before.filter((id) => !own.has(id) && !this.#isMade(id)), ...this.#containers.filter(uses).map((container) => container.id)];
    };
    return {
      project: this.#before.project,
      containers: this.#containers,
      networks: this.#networks.map((network) => ({
        ...network,
        containers: users((container) => Object.values(container.networks).includes(network.id), network.containers),
      })),
      volumes: this.#volumes.map((volume) => ({
        ...volume,
        containers: users((container) => container.volumes.some((mounted) => mounted.name === volume.name), volume.containers),
      })),
      images: this.#images,
      files: this.#before.files,
    };
  }

  #isMade(id: ContainerId): boolean {
    return id.startsWith("made:");
  }

  #need(condition: boolean, what: string): asserts condition {
    if (!condition) throw new Error(`the plan cannot be executed: ${what}`);
  }

  apply(operation: Operation): void {
    switch (operation.kind) {
      case "ensure-image":
        this.#images[operation.reference] ??= { id: `sha:${operation.reference}`, pulledAt: 0, healthcheck: false };
        this.#images[operation.reference] = { ...this.#imageOf(operation.reference), pulledAt: this.#context.now };
        return;
      case "create-network":
        this.#need(!this.#networks.some((network) => network.name === operation.name), `network ${operation.name} exists`);
        this.#createNetwork(operation.key, operation.name);
        return;
      case "remove-network": {
        const users = this.state().networks.find((network) => network.id === operation.network)?.containers ?? [];
        this.#need(users.length === 0, `network ${operation.name} is in use by ${users.join(", ")}`);
        this.#networks = this.#networks.filter((network) => network.id !== operation.network);
        return;
      }
      case "create-volume":
        this.#need(!this.#volumes.some((volume) => volume.name === operation.name), `volume ${operation.name} exists`);
        this.#createVolume(operation.key, operation.name);
        return;
      case "remove-volume": {
        const users = this.state().volumes.find((volume) => volume.name === operation.name)?.containers ?? [];
        this.#need(users.length === 0, `volume ${operation.name} is in use by ${users.join(", ")}`);
        this.#volumes = this.#volumes.filter((volume) => volume.name !== operation.name);
        return;
      }
      case "create-container":
        this.#createContainer(operation);
        return;
      case "start-container":
        this.#change(operation.container, operation.name, (container) => {
          const completes = this.#fate(container.service) === "completes";
          const health = this.#project.services[container.service]?.healthcheck === undefined ? "none" : "healthy";
          return { ...container, status: completes ? "exited" : "running", exitCode: completes ? 0 : null, health: completes ? "none" : health, startedAt: this.#context.now, stopRequested: false };
        });
        return;
      case "stop-container":
        this.#change(operation.container, operation.name, (container) => ({ ...container, status: "exited", exitCode: 143, health: "none", stopRequested: true }));
        return;
      case "remove-container": {
        const found = this.#containers.find((container) => container.id === operation.container);
        this.#need(found !== undefined, `container ${operation.name} is not there`);
        this.#need(!["running", "paused", "restarting"].includes(found.status), `container ${operation.name} runs`);
        this.#containers = this.#containers.filter((container) => container !== found);
        this.#removed.set(found.id, found);
        if (operation.removeAnonymousVolumes) {
          const gone = new Set(found.volumes.filter((volume) => volume.anonymous).map((volume) => volume.name));
          this.#volumes = this.#volumes.filter((volume) => !gone.has(volume.name));
        }
        return;
      }
      case "wait":
        for (const name of operation.containers) this.#need(this.#containers.some((container) => container.name === name), `it waits for ${name}, which is not there`);
        return;
      case "run-hook":
        this.#need(this.#containers.some((container) => container.name === operation.name), `a hook of ${operation.name}, which is not there`);
        return;
      case "treat-container":
        this.#change(operation.container, operation.name, (container) => {
          const stopped = operation.action === "stop" ? { status: "exited" as const, exitCode: 143, health: "none" as const } : {};
          const { remedy, ...well } = container;
          this.#need(remedy !== undefined || operation.by === "dependency", `container ${operation.name} needs no treatment`);
          return { ...well, ...stopped };
        });
        return;
      case "restore-limits":
        this.#change(operation.container, operation.name, (container) => ({ ...container, alteredLimits: [] }));
        return;
      case "remove-image":
        this.#images = Object.fromEntries(Object.entries(this.#images).filter(([reference]) => reference !== operation.reference));
        return;
    }
  }

  #imageOf(reference: string): ObservedState["images"][string] {
    return this.#images[reference] ?? { id: `sha:${reference}`, pulledAt: 0, healthcheck: false };
  }

  #change(id: ContainerId | undefined, name: string, change: (container: ObservedContainer) => ObservedContainer): void {
    const found = this.#containers.find((container) => (id === undefined ? container.name === name : container.id === id));
    this.#need(found !== undefined, `container ${name} is not there`);
    this.#containers = this.#containers.map((container) => (container === found ? change(found) : container));
  }

  #createNetwork(key: string, name: string): void {
    const network = this.#project.networks[key];
    this.#need(network !== undefined, `network ${key} is not in the project`);
    this.#made++;
    this.#networks.push({ id: `net:${name}:${this.#made}`, name, project: this.#project.name, key, configHash: this.#context.networkHash(network), containers: [] });
  }

  #createVolume(key: string, name: string): void {
    const volume = this.#project.volumes[key];
    this.#need(volume !== undefined, `volume ${key} is not in the project`);
    this.#volumes.push({ name, project: this.#project.name, key, configHash: this.#context.volumeHash(volume), anonymous: false, containers: [] });
  }

  #createContainer(operation: Extract<Operation, { kind: "create-container" }>): void {
    const { name, number } = operation;
    const service = this.#project.services[operation.service];
    this.#need(service !== undefined, `service ${operation.service} is not in the project`);
    this.#need(!this.#containers.some((container) => container.name === name), `the name ${name} is taken`);
    const holder = this.#containers.find((container) => container.service === service.name && !container.oneoff && container.number === number);
    this.#need(holder === undefined, `number ${number} of ${service.name} is taken by ${holder?.name ?? ""}`);
    const reference = imageReference(this.#project, service);
    this.#need(reference === undefined || this.#images[reference] !== undefined, `image ${reference ?? ""} is not here`);
    const networks = service.network_mode === undefined ? Object.keys(service.networks) : [];
    const attached = networks.map((key) => {
      const found = this.#networks.find((network) => network.name === this.#project.networks[key]?.name);
      this.#need(found !== undefined, `network ${key} is not there`);
      return [key, found.id] as const;
    });
    const replaced = operation.replaces === undefined || operation.renewAnonymousVolumes ? undefined : this.#removed.get(operation.replaces);
    const mounted = service.volumes.flatMap((mount) => (mount.type === "image" ? [this.#imageOf(mount.source).id] : []));
    this.#made++;
    this.#containers.push({
      id: `made:${this.#made}` as ContainerId,
      name,
      service: service.name,
      number,
      oneoff: false,
      configHash: this.#context.configHash(service),
      definition: service.canonical,
      imageId: reference === undefined ? null : this.#imageOf(reference).id,
      ...(mounted.length === 0 ? {} : { mountedImages: mounted }),
      status: "created",
      exitCode: null,
      health: "none",
      stopRequested: false,
      networks: Object.fromEntries(attached),
      volumes: [...this.#mounts(service.name, name, replaced), ...this.#donated(service.name)],
      joins: joinedServices(service).flatMap(({ service: other }) => this.#first(other)?.id ?? []),
      createdAt: this.#context.now + this.#made,
      labels: {},
    });
  }

  #mounts(serviceName: string, name: string, replaced: ObservedContainer | undefined): ObservedContainer["volumes"] {
    return (this.#project.services[serviceName]?.volumes ?? []).flatMap((mount) => {
      if (mount.type !== "volume") return [];
      if (mount.source !== undefined) {
        const volume = this.#project.volumes[mount.source]?.name ?? mount.source;
        this.#need(this.#volumes.some((found) => found.name === volume), `volume ${volume} is not there`);
        return [{ name: volume, target: mount.target, anonymous: false }];
      }
      const kept = replaced?.volumes.find((volume) => volume.anonymous && volume.target === mount.target);
      if (kept !== undefined && this.#volumes.some((volume) => volume.name === kept.name)) return [kept];
      const fresh = `anon:${name}:${this.#made}`;
      this.#volumes.push({ name: fresh, project: this.#project.name, key: null, configHash: "", anonymous: true, containers: [] });
      return [{ name: fresh, target: mount.target, anonymous: true }];
    });
  }

  #donated(serviceName: string): ObservedContainer["volumes"] {
    const service = this.#project.services[serviceName];
    if (service === undefined) return [];
    const own = new Set(service.volumes.map((mount) => mount.target));
    return volumeDonors(service).flatMap((donor) => (this.#first(donor)?.volumes ?? []).filter((volume) => !own.has(volume.target)));
  }

  #first(service: string): ObservedContainer | undefined {
    return this.#containers.filter((container) => container.service === service && !container.oneoff).sort((a, b) => a.number - b.number)[0];
  }
}
