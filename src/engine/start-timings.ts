import { readdirSync, rmSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { paths, replaceFile } from "../core/index.ts";
import type { DataRoot, ProjectName } from "../core/index.ts";
import { criticalPath } from "../reconcile/index.ts";
import type { Operation, ReconcileOptions } from "../reconcile/index.ts";
import type { EngineEvent, HeldBy } from "./types.ts";

/** `cache/last-up/NAME.json`: where the time of a project's last start went. Times are milliseconds since `began`. */
export interface StartTimings {
  readonly version: 1;
  readonly project: string;
  readonly goal: ReconcileOptions["goal"];
  /** That the command named; empty: all. */
  readonly services: readonly string[];
  /** When the command began, ISO 8601. */
  readonly began: string;
  /** The agent was asked: the files were loaded, and it was there. */
  readonly asked: number;
  /** It had its turn, had looked, and had planned. */
  readonly planned: number;
  readonly ended: number;
  readonly ok: boolean;
  /** In the order of the plan; `after` are positions in here. */
  readonly operations: readonly TimedStep[];
}

export interface TimedStep {
  /** As in the plan: `start-container shop-web-1`. */
  readonly id: string;
  readonly kind: Operation["kind"];
  readonly cause: string;
  readonly after: readonly number[];
  readonly status: "done" | "failed" | "skipped";
  /** Absent: it did not run. */
  readonly time?: { readonly start: number; readonly end: number };
  /** A gate: what it waited for last. */
  readonly held?: HeldBy;
  /** An image: bytes that came from its registry. Absent: it was there. */
  readonly fetched?: number;
  readonly error?: string;
}

/** So many projects' last starts are kept: whoever uses a new name for every run is not to fill the disk. */
const keptProjects = 100;

/** Whose time is worth a record: commands that start something. */
export const isTimed = ({ goal }: ReconcileOptions): boolean => goal === "up" || goal === "start" || goal === "restart";

/** Listens to the engine's events while a plan is carried out, and to those of a second one that follows from the first. */
export class TimingRecorder {
  readonly #project: ProjectName;
  readonly #options: ReconcileOptions;
  readonly #began: number;
  readonly #now: () => number;
  readonly #asked: number;
  #planned: number | undefined;
  /** Position of the present plan's first operation. */
  #first = 0;
  #steps: TimedStep[] = [];

  /** `now`: milliseconds since the epoch, with fractions. */
  constructor(project: ProjectName, options: ReconcileOptions, began: number | undefined, now: () => number) {
    this.#project = project;
    this.#options = options;
    this.#now = now;
    // A clock that was set back between the two processes must not make times negative.
    this.#began = Math.min(began ?? now(), now());
    this.#asked = this.#since();
  }

  take(event: EngineEvent): void {
    switch (event.type) {
      case "plan":
        this.#plan(event.plan.operations);
        return;
      case "operation":
        this.#operation(event);
        return;
      case "image":
        if (event.progress.kind === "layer" && event.progress.status === "done") this.#fetched(event.index, event.progress.total);
        return;
      case "note":
      case "container":
      case "warning":
        return;
    }
  }

  /** Undefined: there was nothing to do. */
  finish(ok: boolean): StartTimings | undefined {
    if (this.#planned === undefined || this.#steps.length === 0) return undefined;
    const ended = this.#since();
    return {
      version: 1,
      project: this.#project,
      goal: this.#options.goal,
      services: this.#options.services,
      began: new Date(this.#began).toISOString(),
      asked: this.#asked,
      planned: this.#planned,
      ended,
      ok,
      // What still ran when the command was cancelled has no end of its own.
      operations: this.#steps.map((step) => (step.time?.end === Infinity ? { ...step, time: { start: step.time.start, end: ended } } : step)),
    };
  }

  #since(): number {
    return Math.round((this.#now() - this.#began) * 100) / 100;
  }

  #plan(operations: readonly Operation[]): void {
    this.#planned ??= this.#since();
    // A second plan begins when the first is over.
    const before = criticalPath(this.#steps).at(-1)?.operation;
    const first = this.#steps.length;
    this.#first = first;
    for (const { id, kind, cause, after } of operations)
      this.#steps.push({ id, kind, cause, status: "skipped", after: after.length === 0 && before !== undefined ? [before] : after.map((edge) => first + edge) });
  }

  #operation(event: Extract<EngineEvent, { type: "operation" }>): void {
    const { status } = event;
    this.#change(event.index, (step) => {
      if (status === "running") return { ...step, time: { start: this.#since(), end: Infinity } };
      const time = step.time === undefined ? {} : { time: { start: step.time.start, end: this.#since() } };
      const held = event.held === undefined ? {} : { held: event.held };
      const error = event.error === undefined ? {} : { error: event.error.message };
      return { ...step, status, ...time, ...held, ...error };
    });
  }

  #fetched(index: number, bytes: number): void {
    this.#change(index, (step) => ({ ...step, fetched: (step.fetched ?? 0) + bytes }));
  }

  #change(index: number, change: (step: TimedStep) => TimedStep): void {
    const at = this.#first + index;
    const step = this.#steps[at];
    if (step !== undefined) this.#steps[at] = change(step);
  }
}

const directoryOf = (root: DataRoot): string => join(paths.cache(root), "last-up");

/** Keeps it beyond the project: it can be asked for when all has been taken down. Never fails: it is no reason for a start to. */
export function keepTimings(root: DataRoot, timings: StartTimings): void {
  const file = join(directoryOf(root), `${timings.project}.json`);
  try {
    replaceFile(file, JSON.stringify(timings));
    forgetOldest(dirname(file));
  } catch {
    // No space, or somebody tidies up: the start has succeeded all the same.
  }
}

function forgetOldest(directory: string): void {
  const names = readdirSync(directory);
  if (names.length <= keptProjects) return;
  const byAge = names.map((name) => ({ name, at: statSync(join(directory, name)).mtimeMs })).sort((a, b) => b.at - a.at);
  for (const { name } of byAge.slice(keptProjects)) rmSync(join(directory, name), { force: true });
}

/** Undefined: there was no start, or it is forgotten. */
export async function readTimings(root: DataRoot, project: ProjectName): Promise<StartTimings | undefined> {
  try {
    const record = JSON.parse(await readFile(join(directoryOf(root), `${project}.json`), "utf8")) as { readonly version?: number };
    return record.version === 1 ? (record as StartTimings) : undefined;
  } catch {
    return undefined;
  }
}
