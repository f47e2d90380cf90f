import { serializeError, StackError, toStackError } from "../core/index.ts";
import type { Clock } from "../core/index.ts";
import type { Operation, OperationKind, Plan } from "../reconcile/index.ts";
import type { ApplyResult, EngineEvent, HeldBy } from "./types.ts";

export interface OperationContext {
  readonly index: number;
  readonly signal: AbortSignal;
  /** One line that the user sees beside the operation. */
  note(text: string): void;
  /** What a gate waited for last, for whoever asks where the time went. */
  held(by: HeldBy): void;
  emit(event: EngineEvent): void;
}

export type Run<K extends OperationKind["kind"]> = (
  operation: Extract<Operation, { kind: K }>,
  context: OperationContext,
) => Promise<void>;

/** A missing executor is a compile error. */
export type Executors = { readonly [K in OperationKind["kind"]]: Run<K> };

export interface ExecuteOptions {
  readonly executors: Executors;
  readonly signal: AbortSignal;
  readonly emit: (event: EngineEvent) => void;
  readonly clock: Clock;
  /** How many operations may run at once; gates do not count. */
  readonly parallel: number;
}

type Status = "waiting" | "running" | "done" | "failed" | "skipped";

/**
 * Walks the graph. An operation starts when all that it is `after` are done; when one of them failed or was
 * skipped, it is skipped, and says because of which. Never throws: what failed is in the result.
 */
export async function execute(plan: Plan, options: ExecuteOptions): Promise<ApplyResult> {
  return new Execution(plan, options).run();
}

class Execution {
  readonly #plan: Plan;
  readonly #options: ExecuteOptions;
  readonly #status: Status[];
  readonly #dependents: number[][];
  /** How many operations each one still waits for. */
  readonly #open: number[];
  readonly #ready: number[] = [];
  readonly #failures: { operation: string; error: ReturnType<typeof serializeError> }[] = [];
  #running = 0;
  #done = 0;
  #skipped = 0;
  #finish: (() => void) | undefined;

  constructor(plan: Plan, options: ExecuteOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#status = plan.operations.map(() => "waiting");
    this.#dependents = plan.operations.map(() => []);
    this.#open = plan.operations.map((operation) => new Set(operation.after).size);
    plan.operations.forEach((operation, index) => {
      for (const before of new Set(operation.after)) this.#dependents[before]?.push(index);
      if (operation.after.length === 0) this.#ready.push(index);
    });
  }

  async run(): Promise<ApplyResult> {
    const finished = new Promise<void>((resolve) => {
      this.#finish = resolve;
    });
    this.#pump();
    await finished;
    return { ok: this.#failures.length === 0, done: this.#done, failures: this.#failures, skipped: this.#skipped };
  }

  #pump(): void {
    for (let at = 0; at < this.#ready.length; ) {
      const index = this.#ready[at];
      const operation = index === undefined ? undefined : this.#plan.operations[index];
      if (index === undefined || operation === undefined) break;
      if (this.#options.signal.aborted) {
        this.#ready.splice(at, 1);
        this.#settle(index, "skipped");
        continue;
      }
      if (operation.kind !== "wait" && this.#running >= this.#options.parallel) {
        at += 1;
        continue;
      }
      this.#ready.splice(at, 1);
      void this.#start(index, operation);
    }
    if (this.#done + this.#skipped + this.#failed() === this.#plan.operations.length) this.#finish?.();
  }

  #failed(): number {
    return this.#status.filter((status) => status === "failed").length;
  }

  async #start(index: number, operation: Operation): Promise<void> {
    const { emit, signal, clock } = this.#options;
    const counted = operation.kind !== "wait";
    if (counted) this.#running += 1;
    this.#status[index] = "running";
    emit({ type: "operation", index, status: "running" });
    const began = clock.now();
    let held: HeldBy | undefined;
    const context: OperationContext = {
      index,
      signal,
      emit,
      note: (note) => {
        emit({ type: "note", index, note });
      },
      held: (by) => {
        held = by;
      },
    };
    let failure: StackError | undefined;
    try {
      const run = this.#options.executors[operation.kind] as Run<OperationKind["kind"]>;
      await run(operation, context);
    } catch (error) {
      failure = toStackError(error);
    }
    if (counted) this.#running -= 1;
    const took = clock.now() - began;
    if (failure === undefined) {
      emit({ type: "operation", index, status: "done", took, ...(held === undefined ? {} : { held }) });
      this.#settle(index, "done");
    } else {
      const error = serializeError(failure);
      emit({ type: "operation", index, status: "failed", error, took });
      this.#failures.push({ operation: operation.id, error });
      this.#settle(index, "failed");
    }
    this.#pump();
  }

  #settle(index: number, status: "done" | "failed" | "skipped", because?: number): void {
    this.#status[index] = status;
    if (status === "done") this.#done += 1;
    if (status === "skipped") {
      this.#skipped += 1;
      this.#options.emit({ type: "operation", index, status: "skipped", ...(because === undefined ? {} : { because }) });
    }
    const passes = status === "done" || (this.#plan.operations[index]?.bestEffort === true && status === "failed");
    for (const dependent of this.#dependents[index] ?? []) {
      if (this.#status[dependent] !== "waiting") continue;
      if (!passes) {
        this.#settle(dependent, "skipped", because ?? index);
        continue;
      }
      const open = (this.#open[dependent] ?? 0) - 1;
      this.#open[dependent] = open;
      if (open === 0) this.#ready.push(dependent);
    }
  }
}
