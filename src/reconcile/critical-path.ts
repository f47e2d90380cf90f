import type { OperationIndex } from "./plan.ts";

/** One operation of a plan that was carried out, as far as time goes. */
export interface TimedOperation {
  /** Operations that had to be over before; smaller indices only, as in a plan. */
  readonly after: readonly OperationIndex[];
  /** Milliseconds since whatever the caller counts from. Absent: it did not run (skipped). */
  readonly time?: { readonly start: number; readonly end: number };
}

/** One operation of the critical path. */
export interface CriticalStep {
  readonly operation: OperationIndex;
  /**
   * Milliseconds between the moment when all that it waited for was over and its own start: others had the workers.
   * Of the first step: since `began`.
   */
  readonly queued: number;
  /** Milliseconds from its start to its end. */
  readonly took: number;
}

/**
 * What the whole run took its time for: from what ended last back over whatever each operation waited for longest.
 * Steps come in the order of time; together with their queueing they fill the time from `began` to the last end.
 * Had any other operation been quicker, the run would have ended no sooner. Pure.
 */
export function criticalPath(operations: readonly TimedOperation[], began = 0): readonly CriticalStep[] {
  const steps: CriticalStep[] = [];
  let at = lastToEnd(operations, operations.keys());
  while (at !== undefined) {
    const { after, time } = operations[at] ?? { after: [] };
    if (time === undefined) break;
    const before = lastToEnd(operations, after);
    const free = before === undefined ? began : (operations[before]?.time?.end ?? began);
    steps.push({ operation: at, queued: Math.max(0, time.start - free), took: Math.max(0, time.end - time.start) });
    at = before;
  }
  return steps.reverse();
}

/** The operation that each one waited for longest; undefined: for none. */
export function waitedFor(operations: readonly TimedOperation[], operation: OperationIndex): OperationIndex | undefined {
  return lastToEnd(operations, operations[operation]?.after ?? []);
}

/** Of two that end together the later one: it may have waited for the other. */
function lastToEnd(operations: readonly TimedOperation[], among: Iterable<OperationIndex>): OperationIndex | undefined {
  let last: OperationIndex | undefined;
  let latest = -Infinity;
  for (const index of among) {
    const end = operations[index]?.time?.end;
    if (end === undefined || end < latest || (end === latest && last !== undefined && index < last)) continue;
    last = index;
    latest = end;
  }
  return last;
}
