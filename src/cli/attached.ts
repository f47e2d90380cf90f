import { constants } from "node:os";
import { unaskedRules } from "../agent/client.ts";
import type { ContainerSummary, EngineEvent } from "../engine/index.ts";
import type { Project } from "../model/index.ts";
import type { ReconcileOptions } from "../reconcile/index.ts";
import { applyAndDraw } from "./apply.ts";
import type { BoundAgent } from "./apply.ts";
import type { UpFlags } from "./commands/up.ts";
import { isAlive, shortName } from "./containers.ts";
import type { Context } from "./context.ts";
import { Silent } from "./errors.ts";
import { KeyMenu } from "./key-menu.ts";
import { LogStreams } from "./log-streams.ts";
import { LogPrinter } from "./output/log-printer.ts";
import { createProgress } from "./progress/renderer.ts";
import type { ProgressRenderer } from "./progress/renderer.ts";
import { statusStream } from "./status-stream.ts";
import { reconcileOptions } from "../reconcile/index.ts";

/** Why an attached `up` ends. */
type Ending =
  | { readonly kind: "all-exited" }
  | { readonly kind: "aborted"; readonly by: ContainerSummary }
  | { readonly kind: "interrupted" }
  | { readonly kind: "detached" };

/**
 * `stack up` in the foreground:
 *
 *     starting ──▶ following ──▶ all containers exited            → 0
 *         │            │──────▶ d, or the menu's detach           → 0, they run on
 *         └────────────┴──────▶ a container exited (--abort-…)    → stop all, its exit code
 *                      └──────▶ SIGINT, SIGTERM                   → stop all, 130; a second one kills
 */
export async function runAttached(context: Context, agent: BoundAgent, options: ReconcileOptions, flags: UpFlags, onStarted: () => Promise<void> = () => Promise.resolve()): Promise<number> {
  const session = new AttachedSession(context, agent, options, flags, onStarted);
  try {
    return await session.run();
  } finally {
    await session.close();
  }
}


class AttachedSession {
  readonly #context: Context;
  readonly #agent: BoundAgent;
  readonly #options: ReconcileOptions;
  readonly #flags: UpFlags;
  readonly #onStarted: () => Promise<void>;
  readonly #printer: LogPrinter;
  readonly #streams: LogStreams;
  readonly #closing = new AbortController();
  readonly #containers = new Map<string, ContainerSummary>();
  readonly #attachable: ReadonlySet<string>;
  /** Services whose containers decide when this ends: those named, as with Docker Compose; what they depend on runs on. */
  readonly #concerned: ReadonlySet<string>;
  /** Container → run (its `startedAt`) whose end has been told. */
  readonly #told = new Map<string, string>();
  readonly #since: number;
  readonly #tasks = new Set<Promise<void>>();
  /** The first whose end is a reason to stop all; known before its last lines are shown. */
  #aborter: ContainerSummary | undefined;
  #printing: Promise<void> = Promise.resolve();
  #started = false;
  #announced = false;
  #end: (ending: Ending) => void = () => undefined;
  readonly #ended: Promise<Ending>;
  #menu: KeyMenu | undefined;

  constructor(context: Context, agent: BoundAgent, options: ReconcileOptions, flags: UpFlags, onStarted: () => Promise<void>) {
    this.#onStarted = onStarted;
    this.#context = context;
    this.#agent = agent;
    this.#options = options;
    this.#flags = flags;
    this.#printer = new LogPrinter(context, { noColor: flags.noColor, noPrefix: flags.noLogPrefix, timestamps: flags.timestamps });
    this.#streams = new LogStreams(context.doors.root(), this.#printer, this.#closing.signal);
    this.#attachable = attachedServices(agent.project, options.services, flags);
    this.#concerned = new Set(options.services.length === 0 ? Object.keys(agent.project.services) : options.services);
    this.#since = context.clock.now();
    this.#ended = new Promise((resolve) => (this.#end = resolve));
  }

  async run(): Promise<number> {
    const { graceful } = this.#context.interrupts;
    const onSignal = (): void => this.#end({ kind: "interrupted" });
    graceful.addEventListener("abort", onSignal);
    const events = this.#agent.client.events(this.#closing.signal, (event) => this.#event(event)).catch(() => undefined);
    const progress = await createProgress(this.#context, { quietImages: this.#flags.quietPull, attached: true });
    this.#printer.gate = progress.settled;
    this.#printing = this.#streams.print();
    if (this.#flags.menu) this.#menu = KeyMenu.open(this.#context, { d: () => this.#end({ kind: "detached" }) });
    try {
      const ending = await this.#start(progress);
      return await this.#finish(ending);
    } finally {
      graceful.removeEventListener("abort", onSignal);
      this.#closing.abort();
      await events;
    }
  }

  /** Brings the project up, then waits for the reason to end. */
  async #start(progress: ProgressRenderer): Promise<Ending> {
    const cancel = new AbortController();
    let early: Ending | undefined;
    void this.#ended.then((ending) => {
      early = ending;
      cancel.abort();
    });
    try {
      await applyAndDraw(this.#context, this.#agent.client, this.#agent.project, this.#options, { signal: cancel.signal, yes: this.#flags.yes, progress });
    } catch (error) {
      if (early !== undefined && error instanceof Silent) return early;
      throw error;
    }
    await this.#adoptRunning();
    await this.#onStarted();
    this.#started = true;
    this.#lookForEnd();
    return this.#ended;
  }

  /** What ran before: only what it writes from now on. */
  async #adoptRunning(): Promise<void> {
    const engine = await this.#context.doors.engine();
    for (const container of await engine.containers({ project: this.#agent.project.name })) {
      if (container.oneoff || !this.#concerns(container) || this.#containers.has(container.id)) continue;
      this.#containers.set(container.id, container);
      if (isAlive(container)) this.#follow(container, this.#since * 1000);
      else this.#event({ type: "container", container, change: "exited" }); // the agent's word may still be on its way
    }
  }

  #event(event: EngineEvent): void {
    if (event.type === "warning" && this.#started && unaskedRules.has(event.rule)) this.#run(statusStream(this.#context).write(`${event.rule}: ${event.message}\n`));
    if (event.type !== "container") return;
    const { container, change } = event;
    if (container.oneoff || !this.#concerns(container)) return;
    if (change === "removed") {
      this.#containers.delete(container.id);
      this.#run(this.#streams.end(container.id));
    } else this.#containers.set(container.id, container);
    // Runs that ended before this command are none of its business; some events come more than once.
    const run = container.state?.startedAt ?? "";
    const begun = Date.parse(run);
    if (this.#told.get(container.id) === run || (!this.#streams.has(container.id) && !(begun >= this.#since))) return;
    if (change === "started" || change === "exited" || change === "restarting") this.#follow(container, begun * 1000);
    if (change !== "exited" && change !== "restarting") return;
    this.#told.set(container.id, run);
    if (change === "exited" && this.#concerned.has(container.service) && this.#aborts(container)) this.#aborter ??= container;
    this.#run(this.#exited(container, change === "restarting"));
  }

  async #exited(container: ContainerSummary, restarts: boolean): Promise<void> {
    const { state } = container;
    if (!restarts) await this.#streams.end(container.id);
    const code = state === undefined || state.exitCode < 0 ? "unknown code" : `code ${state.exitCode}`;
    if (this.#attachable.has(container.service)) await this.#printer.status(shortName(container), `exited with ${code}${restarts ? " (restarting)" : ""}`);
    if (restarts || !this.#concerned.has(container.service)) return;
    if (this.#aborts(container)) this.#end({ kind: "aborted", by: container });
    this.#lookForEnd();
  }

  #aborts({ state }: ContainerSummary): boolean {
    const { abortOnContainerExit, abortOnContainerFailure } = this.#flags;
    return abortOnContainerExit || (abortOnContainerFailure && state?.exitCode !== 0);
  }

  #lookForEnd(): void {
    // A followed stack is between two versions of itself now and then.
    if (this.#started && !this.#flags.follow && ![...this.#containers.values()].some((c) => this.#concerned.has(c.service) && isAlive(c))) this.#end({ kind: "all-exited" });
  }

  #follow(container: ContainerSummary, since: number): void {
    if (!this.#attachable.has(container.service)) return;
    this.#announce();
    this.#streams.add(container, { since, follow: true });
  }

  /** Once, before the first line; makes room for all names, so that every line has its text in the same column. */
  #announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    const names = [...this.#attachable].sort().flatMap((service) => namesOf(this.#agent.project, service, this.#options.scale[service]));
    for (const name of names) this.#printer.register(name);
    this.#run(this.#printer.gate.then(() => statusStream(this.#context).write(`Attaching to ${names.join(", ")}\n`)));
  }

  #concerns(container: ContainerSummary): boolean {
    return this.#concerned.has(container.service) || this.#attachable.has(container.service);
  }

  async #finish(ending: Ending): Promise<number> {
    switch (ending.kind) {
      case "all-exited":
        this.#menu?.close();
        // The last one may have ended before `apply` did: what it wrote is still being read.
        while (this.#tasks.size > 0) await Promise.all(this.#tasks);
        // All had ended before anybody could be stopped for it.
        return this.#aborter === undefined ? 0 : this.#exitCode(this.#aborter);
      case "detached":
        this.#menu?.close();
        await statusStream(this.#context).write("detached; the containers run on: `stack logs -f` shows them again, `stack down` ends them\n");
        return 0;
      case "aborted":
        await statusStream(this.#context).write("Aborting on container exit...\n");
        await this.#stopAll();
        return this.#exitCode(ending.by);
      case "interrupted":
        await statusStream(this.#context).write("Gracefully Stopping... press Ctrl+C again to force\n");
        await this.#stopAll();
        return 130;
    }
  }

  /** `--exit-code-from` says whose; else that of the container that ended first. */
  async #exitCode(first: ContainerSummary): Promise<number> {
    const from = this.#flags.exitCodeFrom;
    const engine = await this.#context.doors.engine();
    const all = await engine.containers({ project: this.#agent.project.name });
    const chosen = all.find((c) => (from === undefined ? c.id === first.id : c.service === from && !c.oneoff)) ?? first;
    const code = chosen.state?.exitCode ?? 0;
    return code < 0 ? 255 : code;
  }

  async #stopAll(): Promise<void> {
    const { hard } = this.#context.interrupts;
    const options = reconcileOptions("stop", { services: this.#options.services, ...(this.#options.graceMs === undefined ? {} : { graceMs: this.#options.graceMs }) });
    const progress = await createProgress(this.#context, { plain: true });
    // The second signal does not cancel the stop: it makes it short.
    const onHard = (): void => this.#run(this.#killAll());
    hard.addEventListener("abort", onHard);
    if (hard.aborted) onHard();
    try {
      await applyAndDraw(this.#context, this.#agent.client, this.#agent.project, options, { signal: new AbortController().signal, progress });
    } finally {
      hard.removeEventListener("abort", onHard);
    }
    // Everything that they wrote while they were stopping.
    await Promise.all(this.#tasks);
  }

  async #killAll(): Promise<void> {
    const engine = await this.#context.doors.engine();
    const alive = (await engine.containers({ project: this.#agent.project.name })).filter((c) => this.#containers.has(c.id) && isAlive(c));
    await statusStream(this.#context).write(`Killing ${alive.map(shortName).join(", ")}\n`);
    await Promise.allSettled(alive.map((container) => engine.monitor(container.id).kill(constants.signals.SIGKILL, true)));
  }

  #run(task: Promise<void>): void {
    const kept = task.catch(() => undefined).finally(() => this.#tasks.delete(kept));
    this.#tasks.add(kept);
  }

  async close(): Promise<void> {
    this.#menu?.close();
    this.#closing.abort();
    this.#streams.close();
    await this.#printing;
  }
}

/** Whose logs are shown: the named services (all without names), those they depend on with `--attach-dependencies`. */
function attachedServices(project: Project, named: readonly string[], flags: UpFlags): ReadonlySet<string> {
  const first = flags.attach.length > 0 ? flags.attach : named.length > 0 ? named : Object.keys(project.services);
  const chosen = flags.attachDependencies ? withDependencies(project, first) : new Set(first);
  for (const service of chosen)
    if (flags.noAttach.includes(service) || (project.services[service]?.attach === false && !flags.attach.includes(service))) chosen.delete(service);
  return chosen;
}

function withDependencies(project: Project, services: readonly string[]): Set<string> {
  const found = new Set(services);
  for (const service of found) for (const dependency of Object.keys(project.services[service]?.depends_on ?? {})) found.add(dependency);
  return found;
}

/** What the containers of a service are called in logs. */
function namesOf(project: Project, service: string, scale: number | undefined): readonly string[] {
  const { container_name: name, scale: declared = 1 } = project.services[service] ?? {};
  if (name !== undefined) return [name];
  return Array.from({ length: scale ?? declared }, (_, i) => `${service}-${i + 1}`);
}
