import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { criticalPath, waitedFor } from "./critical-path.ts";
import type { TimedOperation } from "./critical-path.ts";

const op = (after: number[], start?: number, end?: number): TimedOperation => ({ after, ...(start === undefined || end === undefined ? {} : { time: { start, end } }) });

describe("criticalPath", () => {
  it("goes back from what ended last over what each one waited for longest", () => {
    //   0 image 0–100 ── 1 create 100–110 ── 2 start 112–120 ── 3 wait 120–400 ── 5 start 400–410
    //                └── 4 create 100–105 ───────────────────────────────────────┘
    const operations = [op([], 0, 100), op([0], 100, 110), op([1], 112, 120), op([2], 120, 400), op([0], 100, 105), op([3, 4], 400, 410)];
    expect(criticalPath(operations)).toEqual([
      { operation: 0, queued: 0, took: 100 },
      { operation: 1, queued: 0, took: 10 },
      { operation: 2, queued: 2, took: 8 },
      { operation: 3, queued: 0, took: 280 },
      { operation: 5, queued: 0, took: 10 },
    ]);
    expect(waitedFor(operations, 5)).toBe(3);
    expect(waitedFor(operations, 0)).toBeUndefined();
  });

  it("counts what the first step waited from the beginning of the run", () => {
    expect(criticalPath([op([], 30, 40)], 10)).toEqual([{ operation: 0, queued: 20, took: 10 }]);
  });

  it("leaves out what did not run: it ends where the failure was", () => {
    expect(criticalPath([op([], 0, 5), op([0], 5, 9), op([1])])).toEqual([
      { operation: 0, queued: 0, took: 5 },
      { operation: 1, queued: 0, took: 4 },
    ]);
    expect(criticalPath([])).toEqual([]);
    expect(criticalPath([op([])])).toEqual([]);
  });

  it("follows edges, ends with the last end, and fills the whole time", () => {
    // Any graph, carried out by any number of workers: each operation starts some time after all that it waits for.
    const run = fc.array(fc.record({ edges: fc.array(fc.nat(), { maxLength: 3 }), queued: fc.nat(5), took: fc.nat(50) }), { minLength: 1, maxLength: 25 });
    fc.assert(
      fc.property(run, (parts) => {
        const operations: TimedOperation[] = [];
        for (const [index, { edges, queued, took }] of parts.entries()) {
          const after = index === 0 ? [] : [...new Set(edges.map((edge) => edge % index))];
          const free = Math.max(0, ...after.map((before) => operations[before]?.time?.end ?? 0));
          operations.push(op(after, free + queued, free + queued + took));
        }
        const path = criticalPath(operations);
        const last = Math.max(...operations.map((operation) => operation.time?.end ?? 0));
        expect(path.reduce((sum, step) => sum + step.queued + step.took, 0)).toBe(last);
        expect(operations[path.at(-1)?.operation ?? -1]?.time?.end).toBe(last);
        for (const [at, step] of path.entries()) {
          const before = path[at - 1]?.operation;
          if (before === undefined) expect(operations[step.operation]?.after).toEqual([]);
          else expect(operations[step.operation]?.after).toContain(before);
        }
      }),
    );
  });
});
