import { rm } from "node:fs/promises";
import { EventSource, linkSignals, namesIn, paths, StackError, sweepHalfWritten, systemClock, toStackError } from "../core/index.ts";
import type { ContainerId, DataRoot, ProjectName } from "../core/index.ts";
import { emptyProject } from "../model/index.ts";
import type { Project, Service } from "../model/index.ts";
import { nativeStackError } from "../native/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { reconcile } from "../reconcile/index.ts";
import type { Plan, ReconcileOptions } from "../reconcile/index.ts";
import { checkService, endStrangers, ForkServer } from "../runtime/index.ts";
import { forgetDesired, readDesired, writeDesired } from "./desired.ts";
import { execute } from "./execute.ts";
import { executorsFor, removeContainer } from "./executors.ts";
import { refuseExternal } from "./file-content.ts";
import { Healing } from "./healing.ts";
import { Hub } from "./hub.ts";
import { ImageCache } from "./image.ts";
import { NameService } from "./name-service.ts";
import { refuseImpossible } from "./not-carried-out.ts";
import { observe, reconcileContext } from "./observe.ts";
import { projectKey } from "./project-key.ts";
import { openRooms } from "./rooms.ts";
import type { Rooms } from "./rooms.ts";
import { createOneOff, dependenciesOf } from "./one-off.ts";
import { isTimed, keepTimings, TimingRecorder } from "./start-timings.ts";
import { Treatments } from "./treatments.ts";
import { Wanted } from "./wanted.ts";
import type { ApplyRequest, ApplyResult, EngineEvent, RunRequest, RunResult } from "./types.ts";
import type { Work } from "./work.ts";

/**
 * One project, owned by the one process that holds its lock: what is wanted, what is there, one change at a time.
 */
export class ProjectSession {
  readonly project: ProjectName;
  readonly events = new EventSource<EngineEvent>();
  readonly #root: DataRoot;
  readonly #rooms: Rooms;
  readonly #hub: Hub;
  readonly #names: NameService;
  readonly #forks: ForkServer;
  readonly #ending = new AbortController();
  #desired: Project | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** Of those that wait or run: how many a client asked for. */
  #asked = 0;
  #finished = false;
  #watching = false;
  /** What runs now. */
  #current: { readonly options: ReconcileOptions; readonly abort: AbortController } | undefined;
  /** Containers with `--rm` whose client is still there. */
  readonly #held = new Set<ContainerId>();
  #converged = false;
  readonly #wanted: Wanted;
  readonly #healing: Healing;
  readonly #rested = new EventSource<undefined>();
  readonly #treatments: Treatments;
  #workingDirectory: ((directory: string) => void) | undefined;

  private constructor(root: DataRoot, project: ProjectName, native: NativeBinding) {
    this.#root = root;
    this.project = project;
    this.#rooms = openRooms(root, native);
    this.#forks = new ForkServer(native, root);
    this.#hub = new Hub({
      root,
      native,
      forks: this.#forks,
      clock: systemClock,
      onNamespace: (record, monitor) => void this.#names.serve(record, monitor),
      onGone: (record) => this.#names.forget(record),
      onRemedy: (record, remedy) => this.#treatments.treat(record.id, remedy),
    });
    this.#names = new NameService({ root, project, rooms: this.#rooms, containers: () => this.#hub.all, signal: this.#ending.signal });
    this.#treatments = new Treatments({
      containers: () => this.#hub.all,
      project: () => this.#desired ?? emptyProject(project, paths.project(root, project)),
      work: (wanted) => this.#work(wanted),
      signal: this.#ending.signal,
      tell: (event) => {
        this.events.emit(event);
      },
    });
    this.#wanted = new Wanted(root, project);
    this.#healing = new Healing({
      root,
      containers: () => this.#hub.all,
      monitor: (id) => this.#hub.monitor(id),
      project: () => this.#desired,
      replicas: () => this.#wanted.replicas,
      busy: () => this.busy,
      apply: (wanted, options) => this.#exclusive(async () => this.#apply({ project: wanted, options }, this.#ending.signal, () => undefined, false)),
      tell: (event) => {
        this.events.emit(event);
      },
      rested: () => {
        this.#rested.emit(undefined);
      },
    });
    this.#hub.events.on((event) => {
      this.events.emit(event);
      if (event.type === "container") this.#healing.note(event.container);
      if (event.type === "container" && event.change === "removed") this.#healing.gone(event.container.id);
      if (event.type === "container" && event.change === "exited") this.#discardEnded(event.container.id);
    });
  }

  static async open(root: DataRoot, project: ProjectName, native: NativeBinding): Promise<ProjectSession> {
    return new ProjectSession(root, project, native);
  }

  get busy(): boolean {
    return this.#waiting > 0;
  }

  get converged(): boolean {
    return this.#converged && !this.busy;
  }

  /** Must the agent stay? As long as a container's monitor lives, or one that was lost is to be brought back. */
  get needed(): boolean {
    return this.#hub.anyAlive || this.#healing.pending;
  }

  /** The last thing asked was to take everything down, and it is gone: nobody needs to wait for another command. */
  get finished(): boolean {
    return this.#finished && !this.busy && !this.needed;
  }

  /** Tells when `needed` may have become false. */
  onRest(tell: () => void): void {
    this.#hub.monitorGone.on(tell);
    this.#rested.on(tell);
  }

  onWorkingDirectory(tell: (directory: string) => void): void {
    this.#workingDirectory = tell;
    if (this.#desired !== undefined) tell(this.#desired.working_dir);
  }

  /** Takes over what runs. Changes nothing that is right. */
  adopt(): Promise<void> {
    return this.#exclusive(async () => {
      await this.#sweep();
      const known = new Set(namesIn(paths.containers(this.#root)));
      for (const id of await endStrangers(`/stack/${projectKey(this.#root, this.project)}`, known)) await this.#rooms.networks.disconnect(id);
      this.#desired = readDesired(this.#root, this.project);
      if (this.#desired !== undefined)
        await this.#prepareNetworks(this.#ending.signal, (event) => {
          this.events.emit(event);
        });
      else await this.#rooms.networks.sweep(new Set(this.#rooms.containers.survey().records.map((record) => record.id)));
      if (this.#desired !== undefined) this.#workingDirectory?.(this.#desired.working_dir);
      await this.#trackAll();
      for (const container of this.#hub.all) sweepHalfWritten(paths.container(this.#root, container.id));
      this.#publishAgain();
      for (const container of this.#hub.all) this.#discardEnded(container.id);
      this.#wanted.read(this.#desired, this.#hub.all);
      this.#healing.watch(this.#hub.all.length > 0);
    });
  }

  /** What is half made or half removed and belongs to nobody: of agents that were killed, and of our own failures. */
  async #sweep(): Promise<void> {
    await this.#rooms.containers.sweep();
    await this.#rooms.volumes.sweep();
  }

  apply(request: ApplyRequest, signal: AbortSignal, emit: (event: EngineEvent) => void): Promise<ApplyResult> {
    const { options } = request;
    if (this.#current !== undefined && ends(options.goal)) {
      if (!ends(this.#current.options.goal)) this.#current.abort.abort(new StackError("cancelled", `Cancelled by \`${options.goal}\` of another command`));
      else this.#hasten(options);
    } else if (this.#asked > 0) emit({ type: "warning", rule: "project-busy", message: `Another command is changing project "${this.project}"; waiting for it` });
    return this.#exclusive(async () => this.#apply(request, signal, emit), true);
  }

  /** `client` is aborted when the client has gone: until then it may look at what a container with `--rm` left. */
  run(request: RunRequest, signal: AbortSignal, emit: (event: EngineEvent) => void, client: AbortSignal): Promise<RunResult> {
    return this.#exclusive(async () => {
      if (!request.noDeps) {
        const options = dependenciesOf(request);
        if (options !== undefined) {
          const result = await this.#apply({ project: request.project, options }, signal, emit, false);
          const failure = result.failures[0];
          if (failure !== undefined)
            throw new StackError(failure.error.code, failure.error.message, { ...(failure.error.hint === undefined ? {} : { hint: failure.error.hint }) });
        }
      }
      this.#workingDirectory?.(request.project.working_dir);
      const result = await createOneOff(this.#work(request.project), request, signal, emit);
      if (request.remove && !client.aborted) this.#hold(result.id, client);
      return result;
    }, true);
  }

  /** A stop with less patience than the one that runs: what waits is told at once, and the one that runs ends the sooner. */
  #hasten({ goal, graceMs, services }: ReconcileOptions): void {
    const grace = goal === "kill" ? 0 : graceMs;
    if (grace === undefined) return;
    for (const container of this.#hub.all) {
      if (services.length > 0 && !services.includes(container.service)) continue;
      if (container.status === "running" || container.status === "restarting") this.#hub.monitor(container.id).stop({ graceMs: grace }).catch(() => undefined);
    }
  }

  /** The client has seen all that it wanted of a container with `--rm`: resolves when it is removed. */
  async release(id: ContainerId): Promise<void> {
    this.#held.delete(id);
    const container = await this.#rooms.containers.find(id);
    if (container?.record.removeOnExit !== true || (container.status !== "exited" && container.status !== "dead")) return;
    await this.#exclusive(async () => removeContainer({ rooms: this.#rooms, hub: this.#hub }, id, true));
  }

  #hold(id: ContainerId, client: AbortSignal): void {
    this.#held.add(id);
    const release = (): void => {
      this.#held.delete(id);
      this.#discardEnded(id);
    };
    client.addEventListener("abort", release, { once: true });
  }

  /** `run --rm`: removed once the container has ended and its client has gone. */
  #discardEnded(id: ContainerId): void {
    const container = this.#hub.get(id);
    if (container?.record.removeOnExit !== true || this.#held.has(id)) return;
    if (container.status !== "exited" && container.status !== "dead" && container.status !== "created") return;
    this.#exclusive(async () => removeContainer({ rooms: this.#rooms, hub: this.#hub }, id, true)).catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#ending.abort();
    this.#healing.close();
    await this.#queue.catch(() => undefined);
    this.#hub.close();
    await this.#forks.close();
    await this.#names.close();
    if (this.#rooms.containers.survey().records.every((record) => record.project !== this.project))
      await rm(paths.project(this.#root, this.project), { recursive: true, force: true });
  }

  /** One change at a time, in the order of asking. */
  #exclusive<T>(work: () => Promise<T>, asked = false): Promise<T> {
    this.#waiting += 1;
    if (asked) this.#asked += 1;
    const result = this.#queue.then(work).finally(() => {
      this.#waiting -= 1;
      if (asked) this.#asked -= 1;
    });
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #apply(request: ApplyRequest, clientSignal: AbortSignal, emit: (event: EngineEvent) => void, remember = true): Promise<ApplyResult> {
    const abort = new AbortController();
    this.#current = { options: request.options, abort };
    using linked = linkSignals([clientSignal, this.#ending.signal, abort.signal]);
    try {
      return await this.#timed(request, linked.signal, emit, remember);
    } finally {
      this.#current = undefined;
      if (request.options.goal !== "heal") this.#wanted.set(this.#desired, this.#hub.all);
      this.#healing.watch();
    }
  }

  /** Carried out, with a record of where the time went. */
  async #timed(request: ApplyRequest, signal: AbortSignal, emit: (event: EngineEvent) => void, remember: boolean): Promise<ApplyResult> {
    const { options, began } = request;
    if (!isTimed(options)) return this.#applyNow(request, signal, emit, remember);
    const anchor = Date.now() - performance.now();
    const recorder = new TimingRecorder(this.project, options, began, () => anchor + performance.now());
    let ok = false;
    try {
      const result = await this.#applyNow(
        request,
        signal,
        (event) => {
          recorder.take(event);
          emit(event);
        },
        remember,
      );
      ok = result.ok;
      return result;
    } finally {
      const timings = recorder.finish(ok);
      if (timings !== undefined) keepTimings(this.#root, timings);
    }
  }

  async #applyNow(request: ApplyRequest, signal: AbortSignal, emit: (event: EngineEvent) => void, remember: boolean): Promise<ApplyResult> {
    const { project, options } = request;
    this.#workingDirectory?.(project.working_dir);
    const now = systemClock.now();
    await this.#sweep();
    const plan = await this.#plan(project, options, now);
    const both = (event: EngineEvent): void => {
      emit(event);
      this.events.emit(event);
    };
    for (const warning of plan.warnings) both({ type: "warning", ...warning });
    if (plan.questions.length > 0)
      throw new StackError("question", plan.questions.map((q) => q.message).join("\n"), {
        details: { questions: plan.questions },
        hint: `Answer with -y to go on: ${plan.questions.map((q) => q.whenYes).join(" ")}`,
      });
    if (options.goal === "heal") for (const message of driftIn(plan)) both({ type: "warning", rule: "drift", message });
    else if (plan.operations.length > 0) this.#wanted.forget();
    if (remember && (options.goal === "up" || options.goal === "create")) {
      this.#desired = project;
      writeDesired(this.#root, project);
    }
    both({ type: "plan", plan });
    if (plan.operations.length === 0) {
      this.#converged = true;
      this.#finished = options.goal === "down" && options.services.length === 0;
      return { ok: true, done: 0, failures: [], skipped: 0 };
    }
    for (const service of createdServices(project, plan)) {
      checkService(service);
      refuseImpossible(service);
      refuseExternal(project, service);
    }
    if (plan.operations.some(({ kind }) => kind === "start-container")) this.#forks.warm();
    if (starts(options.goal)) await this.#prepareNetworks(signal, both);
    const run = async (next: Plan): Promise<ApplyResult> => {
      const deleting: Promise<void>[] = [];
      const done = await execute(next, {
        executors: executorsFor(this.#work(project, deleting)),
        signal,
        emit: both,
        clock: systemClock,
        parallel: request.parallel ?? parallelism(),
      });
      await allDeleted(deleting);
      return done;
    };
    let result = await run(plan);
    if (signal.aborted && (result.skipped > 0 || !result.ok)) throw cancelledBy(signal);
    if (result.ok && pulled(plan)) result = await this.#afterPull(request, now, result, both, run);
    this.#finished = options.goal === "down" && result.ok && options.services.length === 0;
    if (this.#finished) {
      forgetDesired(this.#root, this.project);
      this.#desired = undefined;
    }
    this.#converged = result.ok;
    return result;
  }

  /** What a reboot, a firewall's reload or a person has undone is made again; from then on as soon as it happens. */
  async #prepareNetworks(signal: AbortSignal, emit: (event: EngineEvent) => void): Promise<void> {
    const { networks, containers } = this.#rooms;
    await networks.sweep(new Set(containers.survey().records.map((record) => record.id)));
    if ((await networks.list()).length > 0) {
      const repaired = await networks.repair(signal);
      for (const mended of repaired) emit({ type: "warning", rule: "network-repaired", message: `Network repaired: ${mended}` });
      for (const message of networks.warnings()) emit({ type: "warning", rule: "network", message });
      if (repaired.length > 0) this.#publishAgain();
    }
    if (this.#watching) return;
    this.#watching = true;
    networks.watch(this.#ending.signal, (mended, error) => {
      this.#publishAgain();
      for (const what of mended) this.events.emit({ type: "warning", rule: "network-repaired", message: `Network repaired: ${what}` });
      if (error !== undefined) this.events.emit({ type: "warning", rule: "network", message: toStackError(error).message });
    });
  }

  /** Whoever mended the host's table could not know what each monitor had put there. */
  #publishAgain(): void {
    for (const { id, state } of this.#hub.all)
      if (state !== undefined && state.ports.length > 0)
        this.#hub
          .monitor(id)
          .publish()
          .catch(() => undefined); // it has ended, or is of an older version: then it relays
  }

  /** What an image is became known only by pulling it: containers of an older one are recreated now. */
  async #afterPull(
    { project, options }: ApplyRequest,
    now: number,
    before: ApplyResult,
    emit: (event: EngineEvent) => void,
    run: (plan: Plan) => Promise<ApplyResult>,
  ): Promise<ApplyResult> {
    const plan = await this.#plan(project, options, now);
    const due = plan.operations.some((operation) => operation.kind !== "ensure-image" && operation.kind !== "wait");
    if (!due || plan.questions.length > 0) return before;
    emit({ type: "plan", plan });
    const after = await run(plan);
    return { ...after, done: before.done + after.done };
  }

  async #plan(project: Project, options: ReconcileOptions, now: number): Promise<Plan> {
    await this.#trackAll();
    const observed = await observe(this.#rooms, project, this.#hub.all, await this.#healing.alteredLimits());
    return reconcile(project, observed, options, reconcileContext(now));
  }

  #work(project: Project, deleting?: Promise<void>[]): Work {
    return {
      ...(deleting === undefined ? {} : { deleting }),
      root: this.#root,
      rooms: this.#rooms,
      hub: this.#hub,
      project,
      images: new ImageCache(this.#rooms.images),
      namesChanged: () => this.#names.refresh(),
      limitsSettled: (id) => {
        this.#healing.settled(id);
      },
      created: new Map(),
      waitingSince: { first: undefined, passed: [] },
      replaced: new Map(this.#hub.all.map((container) => [container.id, container.record])),
    };
  }

  async #trackAll(): Promise<void> {
    const present = new Set<ContainerId>();
    const mine = await this.#rooms.containers.list((record) => record.project === this.project);
    await Promise.all(
      mine.map(async ({ record }) => {
        present.add(record.id);
        await this.#hub.track(record);
      }),
    );
    for (const container of this.#hub.all) if (!present.has(container.id)) await this.#bury(container.id);
  }

  /** Somebody removed its files: what still runs of it ends, and its addresses are free again. */
  async #bury(id: ContainerId): Promise<void> {
    await this.#hub.bury(id);
    await this.#rooms.networks.disconnect(id);
  }
}

const starts = (goal: ReconcileOptions["goal"]): boolean => goal === "up" || goal === "create" || goal === "heal" || goal === "start" || goal === "restart";

/** The containers are gone for everybody; what could not be deleted is tried again by the next agent. */
async function allDeleted(deleting: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(deleting)).find((one) => one.status === "rejected");
  if (failed !== undefined) throw nativeStackError(failed.reason, "Cannot delete the files of a removed container");
}

function cancelledBy(signal: AbortSignal): StackError {
  return signal.reason instanceof StackError ? signal.reason : new StackError("cancelled", "Cancelled");
}

const ends = (goal: ReconcileOptions["goal"]): boolean => goal === "stop" || goal === "down" || goal === "kill";

const pulled = (plan: Plan): boolean => plan.operations.some((operation) => operation.kind === "ensure-image" && operation.policy === "always");

/** One line for each thing that was found to be wrong: `shop-web-1: no existing container`. */
function driftIn(plan: Plan): readonly string[] {
  const said = plan.operations.flatMap((operation) => {
    if (operation.kind === "wait" || operation.kind === "ensure-image" || operation.kind === "remove-image" || operation.kind === "run-hook") return [];
    return [`${operation.name}: ${operation.cause}`];
  });
  return [...new Set(said)];
}

/** The services that the plan makes containers of. */
function createdServices(project: Project, plan: Plan): readonly Service[] {
  const names = new Set(plan.operations.flatMap((operation) => (operation.kind === "create-container" ? [operation.service] : [])));
  return [...names].flatMap((name) => project.services[name] ?? project.disabled_services[name] ?? []);
}

/** Starting containers is the kernel's work more than ours: a few more than there are processors keeps all of them busy. */
function parallelism(): number {
  const set = Number(process.env["STACK_PARALLEL"]);
  return Number.isInteger(set) && set > 0 ? set : 16;
}
