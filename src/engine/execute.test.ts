import { describe, expect, it } from "vitest";
import { StackError, systemClock } from "../core/index.ts";
import type { Operation, Plan } from "../reconcile/index.ts";
import { execute } from "./execute.ts";
import type { Executors, OperationContext } from "./execute.ts";
import type { EngineEvent } from "./types.ts";

const operation = (id: string, after: number[], extra: Partial<Operation> = {}): Operation =>
  ({ id, cause: "test", after, kind: "remove-volume", name: id, ...extra }) as Operation;
const plan = (...operations: Operation[]): Plan => ({ version: 1, operations, warnings: [], questions: [] });

function executorsOf(run: (operation: Operation, context: OperationContext) => Promise<void>): Executors {
  return new Proxy({}, { get: () => run }) as Executors;
}

async function walk(p: Plan, run: (operation: Operation, context: OperationContext) => Promise<void>, signal = new AbortController().signal, parallel = 8) {
  const events: EngineEvent[] = [];
  const result = await execute(p, { executors: executorsOf(run), signal, parallel, clock: systemClock, emit: (e) => events.push(e) });
  return { events, result };
}

describe("execute", () => {
  it("starts an operation only after all that it waits for", async () => {
    const order: string[] = [];
    const { result } = await walk(plan(operation("a", []), operation("b", []), operation("c", [0, 1]), operation("d", [2, 0])), async (op) => {
      order.push(`+${op.id}`);
      await Promise.resolve();
      order.push(`-${op.id}`);
    });
    expect(result).toEqual({ ok: true, done: 4, failures: [], skipped: 0 });
    expect(order.indexOf("+c")).toBeGreaterThan(order.indexOf("-b"));
    expect(order.indexOf("+d")).toBeGreaterThan(order.indexOf("-c"));
  });

  it("skips what depends on a failure, all the way, and says because of which", async () => {
    const { result, events } = await walk(plan(operation("a", []), operation("b", [0]), operation("c", [1]), operation("d", [])), async (op) => {
      if (op.id === "a") throw new StackError("internal", "a broke");
    });
    expect(result.ok).toBe(false);
    expect(result.skipped).toBe(2);
    expect(result.failures.map((f) => f.error.message)).toEqual(["a broke"]);
    expect(events.filter((e) => e.type === "operation" && e.status === "skipped")).toEqual([
      { type: "operation", index: 1, status: "skipped", because: 0 },
      { type: "operation", index: 2, status: "skipped", because: 0 },
    ]);
  });

  it("goes on after a failure of a best-effort operation", async () => {
    const ran: string[] = [];
    await walk(plan(operation("a", [], { bestEffort: true }), operation("b", [0])), async (op) => {
      ran.push(op.id);
      if (op.id === "a") throw new Error("x");
    });
    expect(ran).toEqual(["a", "b"]);
  });

  it("never runs more at once than it may, and gates do not count", async () => {
    let now = 0;
    let most = 0;
    const gate = operation("gate", [], { kind: "wait" });
    let open: (() => void) | undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    await walk(
      plan(gate, ...Array.from({ length: 6 }, (_, i) => operation(`o${i}`, []))),
      async (op) => {
        if (op.id === "gate") return opened;
        now += 1;
        most = Math.max(most, now);
        await new Promise((resolve) => setImmediate(resolve));
        now -= 1;
        if (op.id === "o5") open?.();
      },
      undefined,
      2,
    );
    expect(most).toBe(2);
  });

  it("starts nothing more once it was aborted", async () => {
    const abort = new AbortController();
    const ran: string[] = [];
    const { result } = await walk(plan(operation("a", []), operation("b", [0])), async (op) => {
      ran.push(op.id);
      abort.abort();
    }, abort.signal);
    expect(ran).toEqual(["a"]);
    expect(result.skipped).toBe(1);
  });

  it("ends at once with an empty plan", async () => {
    const { result } = await walk(plan(), async () => undefined);
    expect(result).toEqual({ ok: true, done: 0, failures: [], skipped: 0 });
  });
});
