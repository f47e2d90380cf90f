import { EventSource, paths } from "../core/index.ts";
import type { Clock, ContainerId, DataRoot, HostPath } from "../core/index.ts";
import type { NativeBinding } from "../native/index.ts";
import type { Remedy } from "../reconcile/index.ts";
import { currentBootId, killRemains, MonitorClient, processLives, readState } from "../runtime/index.ts";
import type { ContainerRecord, ContainerState, ContainerStatus, ForkServer, Subscription } from "../runtime/index.ts";
import { HeldOutput } from "./held-output.ts";
import { lastWords } from "./last-words.ts";
import { ProcessReadiness } from "./process-readiness.ts";
import { readHealth, summaryOf } from "./summary.ts";
import type { ContainerChange, ContainerSummary, EngineEvent, HealthRecord } from "./types.ts";
import { Vitals } from "./vitals.ts";

interface Tracked {
  readonly record: ContainerRecord;
  readonly directory: HostPath;
  readonly monitor: MonitorClient;
  /** Undefined until it was looked at for the first time. */
  status: ContainerStatus | undefined;
  /** What the last event was about. */
  told: string;
  /** What init last told of the daemons that it watches. */
  daemons: string;
  state: ContainerState | undefined;
  readonly vitals: Vitals;
  readonly processes: ProcessReadiness;
  readonly output: HeldOutput;
  subscription: Subscription | undefined;
  /** Resolves when the monitor has gone, and what follows from it is done. */
  over: Promise<void>;
}

export interface HubOptions {
  readonly root: DataRoot;
  readonly native: NativeBinding;
  readonly forks: ForkServer;
  readonly clock: Clock;
  /** The container has a network namespace that DNS may serve; called once for each monitor. */
  readonly onNamespace: (record: ContainerRecord, monitor: MonitorClient) => void;
  readonly onGone: (record: ContainerRecord) => void;
  /** `on_unhealthy` is due. Resolves when it was done; with what went wrong, in words. Never rejects. */
  readonly onRemedy: (record: ContainerRecord, remedy: Remedy) => Promise<string | undefined>;
}

/**
 * What the agent knows of its project's containers, kept up to date by their monitors' events.
 *
 * A container is tracked from its creation to its removal. While its monitor lives we are subscribed to it.
 * When a monitor goes without having written an end, it was killed: if the container lives, a new monitor
 * adopts it; else it is `dead`.
 */
export class Hub {
  readonly #options: HubOptions;
  readonly #containers = new Map<ContainerId, Tracked>();
  readonly events = new EventSource<EngineEvent>();
  /** A monitor has gone, and all that follows from it is done: `anyAlive` may have changed. */
  readonly monitorGone = new EventSource<ContainerId>();
  #closed = false;

  constructor(options: HubOptions) {
    this.#options = options;
  }

  get all(): readonly ContainerSummary[] {
    return [...this.#containers.values()].map(summarise);
  }

  /** Is there a container whose monitor lives? */
  get anyAlive(): boolean {
    return [...this.#containers.values()].some((c) => c.subscription !== undefined);
  }

  find(name: string): ContainerSummary | undefined {
    for (const container of this.#containers.values()) if (container.record.name === name) return summarise(container);
    return undefined;
  }

  async lastWords(name: string): Promise<readonly string[]> {
    for (const { record, directory, state } of this.#containers.values()) if (record.name === name) return lastWords(directory, state);
    return [];
  }

  get(id: ContainerId): ContainerSummary | undefined {
    const container = this.#containers.get(id);
    return container === undefined ? undefined : summarise(container);
  }

  monitor(id: ContainerId): MonitorClient {
    return this.#containers.get(id)?.monitor ?? this.#client(id);
  }

  #client(id: ContainerId): MonitorClient {
    return new MonitorClient(this.#options.native, this.#options.root, id, this.#options.forks);
  }

  /**
   * Begins to follow a container: its state from disk, and its monitor if one lives. Idempotent.
   * What it already was is no news: only of a container that was just made (`fresh`) is its first state an event.
   */
  async track(record: ContainerRecord, fresh = false): Promise<void> {
    let container = this.#containers.get(record.id);
    if (container === undefined) {
      const directory = paths.container(this.#options.root, record.id);
      const known = fresh ? undefined : await readHealth(directory);
      container = this.#containers.get(record.id) ?? this.#tracked(record, directory, known);
      this.#containers.set(record.id, container);
    }
    if (fresh) this.#set(container, "created");
    else await this.#follow(container);
  }

  /** Its files were removed behind our back: ends what still runs of it. */
  async bury(id: ContainerId): Promise<void> {
    const container = this.#containers.get(id);
    if (container === undefined) return;
    const { subscription, state } = container;
    // The subscription is open, so the process id is still the monitor's.
    if (subscription !== undefined && subscription.pid > 0) process.kill(subscription.pid, "SIGKILL");
    if (state !== undefined && state.pid > 0) await killRemains(id, state.pid);
    this.untrack(id);
  }

  #tracked(record: ContainerRecord, directory: HostPath, known: HealthRecord | undefined): Tracked {
    const monitor = this.#client(record.id);
    const vitals = new Vitals({
      record,
      directory,
      monitor,
      clock: this.#options.clock,
      known,
      onChange: () => {
        const container = this.#containers.get(record.id);
        if (container !== undefined) this.events.emit({ type: "container", container: summarise(container), change: "health" });
      },
      onWarning: (rule, message) => {
        this.events.emit({ type: "warning", rule, message });
      },
      onRemedy: (remedy) => this.#options.onRemedy(record, remedy),
    });
    const processes = new ProcessReadiness({ record, directory, monitor, clock: this.#options.clock });
    return { record, directory, monitor, vitals, processes, output: new HeldOutput(), status: undefined, told: "", daemons: "", state: undefined, subscription: undefined, over: Promise.resolve() };
  }

  untrack(id: ContainerId): void {
    const container = this.#containers.get(id);
    if (container === undefined) return;
    this.#containers.delete(id);
    container.vitals.end();
    container.processes.end();
    container.output.release();
    container.subscription?.close();
    this.#options.onGone(container.record);
    this.events.emit({ type: "container", container: summarise(container), change: "removed" });
  }

  close(): void {
    this.#closed = true;
    for (const container of this.#containers.values()) {
      container.vitals.end();
      container.processes.end();
      container.output.release();
      container.subscription?.close();
    }
  }

  async #follow(container: Tracked): Promise<void> {
    if (container.subscription !== undefined) return;
    const subscription = await container.monitor
      .subscribe("agent", (state) => {
        this.#update(container, state);
      })
      .catch(() => undefined);
    if (subscription === undefined) {
      await this.#withoutMonitor(container);
      return;
    }
    container.subscription = subscription;
    this.#update(container, subscription.state);
    this.#options.onNamespace(container.record, container.monitor);
    container.over = subscription.closed.then(async () => {
      container.subscription = undefined;
      if (this.#closed || this.#containers.get(container.record.id) !== container) return;
      await this.#withoutMonitor(container).finally(() => {
        this.monitorGone.emit(container.record.id);
      });
    });
  }

  /** Until the monitor of a container that has ended has ended too: what it still says is not to be taken for the next run's. */
  async farewell(id: ContainerId): Promise<void> {
    const container = this.#containers.get(id);
    if (container?.subscription !== undefined && container.state?.status === "exited") await container.over;
  }

  /** No monitor: it ended as it should, was never started, or was killed. */
  async #withoutMonitor(container: Tracked): Promise<void> {
    const state = readState(container.directory);
    // Killed while it started it: what has come of that, a new one finds out.
    const starting = state?.status === "created" && state.pid > 0 && state.bootId === currentBootId();
    if (state === undefined || state.status === "exited" || (state.status === "created" && !starting)) {
      this.#update(container, state);
      this.#options.onGone(container.record);
      return;
    }
    if (starting || processLives(state)) {
      const adopted = await container.monitor.start({ adopt: true }).then(
        () => true,
        () => false,
      );
      if (adopted) {
        await this.#follow(container);
        return;
      }
    }
    container.state = state;
    this.#set(container, starting ? "created" : "dead");
    this.#options.onGone(container.record);
  }

  #update(container: Tracked, state: ContainerState | undefined): void {
    container.state = state;
    this.#set(container, state?.status ?? "created");
  }

  #set(container: Tracked, status: ContainerStatus): void {
    const before = container.status;
    container.status = status;
    const run = container.state?.startedAt ?? "";
    if (status === "running") {
      container.vitals.begin(run);
      container.vitals.daemons(container.state?.supervision?.problem ?? "", container.state?.supervision?.expected === true);
    }
    if (status !== "running" && status !== "paused") container.vitals.end();
    container.processes.look(container.state);
    // A container that ends without a monitor keeps what it has written for the next one.
    if (status === "running") container.output.hold(container.directory);
    else if (status === "exited") container.output.release();
    const told = `${status} ${run} ${container.state?.failures ?? 0}`;
    const daemons = `${container.state?.supervision?.expected ?? ""} ${container.state?.supervision?.problem ?? ""}`;
    const only = told === container.told && daemons !== container.daemons;
    container.daemons = daemons;
    if (only && before !== undefined) this.events.emit({ type: "container", container: summarise(container), change: "health" });
    if (told === container.told) return;
    container.told = told;
    // A container that was here before us: nothing happened to it now.
    if (before === undefined && status !== "created") return;
    const change = changeBetween(before ?? "created", status);
    this.events.emit({ type: "container", container: summarise(container), change });
  }
}

function summarise({ record, status, state, vitals }: Tracked): ContainerSummary {
  return summaryOf(record, status ?? "created", state, vitals.health);
}

function changeBetween(before: ContainerStatus, after: ContainerStatus): ContainerChange {
  switch (after) {
    case "created":
      return "created";
    case "running":
      return before === "paused" ? "unpaused" : "started";
    case "paused":
      return "paused";
    case "restarting":
      return "restarting";
    case "exited":
    case "dead":
      return "exited";
  }
}
