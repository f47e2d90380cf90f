import type { EngineEvent } from "../../engine/index.ts";
import type { Operation, Plan } from "../../reconcile/index.ts";

/** What one resource is doing: all operations on it are one line for the user. */
export interface Line {
  /** `Container shop-web-1`; names the line. */
  readonly id: string;
  /** `Creating`, `Created`, `Waiting`, `Error` … in Docker Compose's words. */
  readonly status: string;
  readonly state: "working" | "done" | "failed" | "skipped";
  /** No operation on this resource is left. */
  readonly last: boolean;
  /** Why, how far, what was wrong: one line. */
  readonly detail?: string;
  /** Bytes. */
  readonly progress?: { readonly current: number; readonly total: number };
  /** Milliseconds. */
  readonly took?: number;
}

/** Turns the engine's events into changes of lines; the plain, the JSON and the terminal renderer all draw from it. */
export class ProgressLines {
  #plan: Plan | undefined;
  /** Operations of each line that have not ended yet. */
  readonly #left = new Map<string, number>();
  readonly #layers = new Map<number, Map<string, { readonly current: number; readonly total: number }>>();
  /** Images are looked up silently; a line is due only when something has to be fetched. */
  readonly #fetching = new Set<number>();
  readonly #recreating = new Set<string>();
  /** All that the plan does is to stop and start again: one step for the user, as Docker Compose names it. */
  readonly #restarting = new Set<string>();
  /** Names whose recreation has been announced: stop, remove and create are one step for the user. */
  readonly #announced = new Set<string>();
  readonly #told = new Set<string>();

  /** Ids of the lines of the plan, in its order. */
  get ids(): readonly string[] {
    return [...this.#left.keys()];
  }

  take(event: EngineEvent): readonly Line[] {
    if (event.type === "plan") {
      this.#begin(event.plan);
      // A command may plan more than once; what runs is told once.
      const running = (event.plan.running ?? []).filter((name) => !this.#told.has(name));
      for (const name of running) this.#told.add(name);
      return running.map((name) => ({ id: `Container ${name}`, status: "Running", state: "done", last: true }));
    }
    if (event.type !== "operation" && event.type !== "note" && event.type !== "image") return [];
    const operation = this.#plan?.operations[event.index];
    if (operation === undefined) return [];
    if (event.type === "image") return this.#image(event, operation);
    if (event.type === "note") return lineIds(operation).map((id) => ({ id, status: this.#words(operation)[0], state: "working", last: false, detail: event.note }));
    return this.#operation(event, operation);
  }

  #begin(plan: Plan): void {
    this.#plan = plan;
    this.#left.clear();
    this.#layers.clear();
    this.#fetching.clear();
    this.#recreating.clear();
    this.#restarting.clear();
    this.#announced.clear();
    const created = new Set<string>();
    for (const operation of plan.operations) {
      for (const id of lineIds(operation)) this.#left.set(id, (this.#left.get(id) ?? 0) + 1);
      if (operation.kind === "create-container") created.add(operation.name);
    }
    for (const operation of plan.operations)
      if (operation.kind === "remove-container" && created.has(operation.name)) this.#recreating.add(operation.name);
      else if (operation.kind === "create-container" && operation.replaces !== undefined) this.#recreating.add(operation.name);
    const stopped = plan.operations.flatMap((operation) => (operation.kind === "stop-container" ? [operation.name] : []));
    const started = new Set(plan.operations.flatMap((operation) => (operation.kind === "start-container" ? [operation.name] : [])));
    const other = plan.operations.some(({ kind }) => !["stop-container", "start-container", "wait", "run-hook"].includes(kind));
    if (!other && stopped.every((name) => started.has(name))) for (const name of stopped) this.#restarting.add(name);
  }

  #operation(event: Extract<EngineEvent, { type: "operation" }>, operation: Operation): readonly Line[] {
    const [doing, done] = this.#words(operation);
    const detail = event.error?.message ?? event.note;
    const base = { ...(detail === undefined ? {} : { detail }), ...(event.took === undefined ? {} : { took: event.took }) };
    const ended = event.status !== "running";
    const lines: Line[] = [];
    for (const id of lineIds(operation)) {
      const left = (this.#left.get(id) ?? 1) - (ended ? 1 : 0);
      this.#left.set(id, left);
      const last = ended && left === 0;
      if (operation.kind === "ensure-image" && event.status !== "failed" && !this.#fetching.has(event.index)) {
        if (last) lines.push({ id, status: "Present", state: "done", last });
        continue;
      }
      if (this.#isMiddleOfRecreation(operation, event.status) && detail === undefined) continue;
      switch (event.status) {
        case "running":
          lines.push({ id, status: doing, state: "working", last: false, ...this.#why(operation), ...base });
          break;
        case "done":
          lines.push({ id, status: done, state: "done", last, ...base });
          break;
        case "failed":
          lines.push({ id, status: "Error", state: "failed", last, ...base });
          break;
        case "skipped":
          lines.push({ id, status: "Skipped", state: "skipped", last, ...this.#because(event.because), ...base });
          break;
      }
    }
    return lines;
  }

  #image({ index, progress }: Extract<EngineEvent, { type: "image" }>, operation: Operation): readonly Line[] {
    if (progress.kind === "done") return [];
    this.#fetching.add(index);
    const layers = this.#layers.get(index) ?? new Map<string, { readonly current: number; readonly total: number }>();
    this.#layers.set(index, layers);
    if (progress.kind === "layer") layers.set(progress.layer, { current: progress.current, total: progress.total });
    let current = 0;
    let total = 0;
    for (const layer of layers.values()) {
      current += layer.current;
      total += layer.total;
    }
    const unpacking = progress.kind === "layer" && progress.status === "unpacking";
    return lineIds(operation).map((id) => ({
      id,
      status: unpacking ? "Extracting" : "Pulling",
      state: "working",
      last: false,
      ...(total === 0 ? {} : { progress: { current, total } }),
    }));
  }

  /** The cause is worth a word where something that exists is thrown away. */
  #why(operation: Operation): { readonly detail?: string } {
    return this.#recreates(operation) ? { detail: operation.cause } : {};
  }

  #because(index: number | undefined): { readonly detail?: string } {
    const cause = index === undefined ? undefined : this.#plan?.operations[index];
    return cause === undefined ? {} : { detail: `because of ${lineIds(cause)[0] ?? cause.id}` };
  }

  #recreates(operation: Operation): boolean {
    return (operation.kind === "stop-container" || operation.kind === "remove-container" || operation.kind === "create-container") && this.#recreating.has(operation.name);
  }

  #isMiddleOfRecreation(operation: Operation, status: Extract<EngineEvent, { type: "operation" }>["status"]): boolean {
    if (!("name" in operation)) return false;
    if (this.#restarting.has(operation.name)) return (operation.kind === "stop-container" && status === "done") || (operation.kind === "start-container" && status === "running");
    if (!this.#recreates(operation)) return false;
    if (status === "done") return operation.kind !== "create-container";
    if (status !== "running") return false;
    if (this.#announced.has(operation.name)) return true;
    this.#announced.add(operation.name);
    return false;
  }

  #words(operation: Operation): readonly [doing: string, done: string] {
    if (operation.kind === "stop-container" && this.#restarting.has(operation.name)) return ["Restarting", "Restarting"];
    return this.#recreates(operation) ? ["Recreate", operation.kind === "create-container" ? "Recreated" : "Recreate"] : words(operation);
  }
}

function lineIds(operation: Operation): readonly string[] {
  switch (operation.kind) {
    case "ensure-image":
    case "remove-image":
      return [`Image ${operation.reference}`];
    case "create-network":
    case "remove-network":
      return [`Network ${operation.name}`];
    case "create-volume":
    case "remove-volume":
      return [`Volume ${operation.name}`];
    case "wait":
      return operation.containers.map((name) => `Container ${name}`);
    default:
      return [`Container ${operation.name}`];
  }
}

function words(operation: Operation): readonly [doing: string, done: string] {
  switch (operation.kind) {
    case "ensure-image":
      return ["Pulling", "Pulled"];
    case "create-network":
    case "create-volume":
    case "create-container":
      return ["Creating", "Created"];
    case "remove-network":
    case "remove-volume":
    case "remove-container":
    case "remove-image":
      return ["Removing", "Removed"];
    case "start-container":
      return ["Starting", "Started"];
    case "stop-container":
      return ["Stopping", "Stopped"];
    case "wait":
      return ["Waiting", waited(operation.condition)];
    case "treat-container":
      return ["Treating", "Treated"];
    case "restore-limits":
      return ["Restoring limits", "Limits restored"];
    case "run-hook":
      return [`Running ${operation.hook}[${operation.index}]`, `Ran ${operation.hook}[${operation.index}]`];
  }
}

function waited(condition: Extract<Operation, { kind: "wait" }>["condition"]): string {
  switch (condition) {
    case "service_started":
      return "Started";
    case "service_completed_successfully":
      return "Exited";
    case "service_healthy":
    case "running_or_healthy":
      return "Healthy";
  }
}
