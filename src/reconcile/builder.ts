import type { Operation, OperationIndex, OperationKind, Plan, PlanQuestion, PlanWarning } from "./plan.ts";
import { PLAN_VERSION } from "./plan.ts";

interface Details {
  readonly cause: string;
  readonly after?: Iterable<OperationIndex | undefined>;
  readonly group?: string;
  readonly bestEffort?: boolean;
}

/** Collects operations; every edge points to an operation that is already there, so no plan is cyclic. */
export class PlanBuilder {
  readonly #operations: Operation[] = [];
  readonly #ids = new Set<string>();
  readonly #warnings: PlanWarning[] = [];
  readonly #questions: PlanQuestion[] = [];
  readonly #running: string[] = [];

  add(id: string, kind: OperationKind, details: Details): OperationIndex {
    const index = this.#operations.length;
    const after = [...new Set([...(details.after ?? [])].filter((edge) => edge !== undefined))].sort((a, b) => a - b);
    this.#operations.push({
      id: this.#unique(id),
      cause: details.cause,
      after,
      ...(details.group === undefined ? {} : { group: details.group }),
      ...(details.bestEffort === true ? { bestEffort: true } : {}),
      ...kind,
    });
    return index;
  }

  warn(rule: string, message: string): void {
    if (!this.#warnings.some((warning) => warning.rule === rule && warning.message === message)) this.#warnings.push({ rule, message });
  }

  ask(question: PlanQuestion): void {
    if (!this.#questions.some((known) => known.id === question.id)) this.#questions.push(question);
  }

  /** Nothing is to be done with this container. */
  runs(name: string): void {
    this.#running.push(name);
  }

  finish(): Plan {
    const running = this.#running.length === 0 ? {} : { running: this.#running };
    return { version: PLAN_VERSION, operations: this.#operations, warnings: this.#warnings, questions: this.#questions, ...running };
  }

  #unique(id: string): string {
    let candidate = id;
    for (let n = 2; this.#ids.has(candidate); n++) candidate = `${id} (${n})`;
    this.#ids.add(candidate);
    return candidate;
  }
}
