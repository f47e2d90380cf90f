import { describe, expect, it } from "vitest";
import type { Clock } from "../core/index.ts";
import { initialReadiness, nextAttempt, readinessText, ReadinessRunner, readyReduce } from "./readiness.ts";
import type { Readiness, ReadyEvent, ReadyProbeRun } from "./readiness.ts";

const result = (probe: number, ok: boolean, why = ""): ReadyEvent => ({ kind: "result", probe, ok, why });
const after = (probes: number, ...events: ReadyEvent[]): Readiness => events.reduce(readyReduce, initialReadiness(probes));

describe("readyReduce", () => {
  it("is ready when every probe has held once, in any order", () => {
    expect(after(2, result(1, true)).status).toBe("waiting");
    expect(after(2, result(1, true), result(0, false, "no"), result(0, true)).status).toBe("ready");
    expect(initialReadiness(0).status).toBe("ready");
  });
  it("fails when one is too late, and says what that one last said", () => {
    const late = after(2, result(0, true), result(1, false, "tcp 80: connection refused"), { kind: "late", probe: 1, afterMs: 2500 });
    expect(late.status).toBe("failed");
    expect(readinessText(late)).toBe("not ready within 2.5 s: tcp 80: connection refused");
  });
  it("does not fail because of one that has held before its time was over", () => {
    expect(after(2, result(0, true), { kind: "late", probe: 0, afterMs: 1 }).status).toBe("waiting");
  });
  it("stays as decided", () => {
    expect(after(1, result(0, true), result(0, false, "later")).status).toBe("ready");
    expect(after(1, { kind: "late", probe: 0, afterMs: 1 }, result(0, true)).status).toBe("failed");
  });
  it("says of all that are missing why", () => {
    expect(readinessText(after(3, result(0, false, "a"), result(1, true), result(2, false, "b")))).toBe("a; b");
    expect(readinessText(after(1, result(0, true)))).toBe("");
  });
});

it("attempts come soon at first and once a second later, or as the file says", () => {
  expect([0, 1, 2, 3, 6, 7, 50].map((n) => nextAttempt(n, undefined))).toEqual([0, 20, 40, 80, 640, 1000, 1000]);
  expect([0, 1, 9].map((n) => nextAttempt(n, 300))).toEqual([0, 300, 300]);
});

/** Time that stands still unless told. */
class Held implements Clock {
  #now = 1_000_000;
  readonly #due: { at: number; fn: () => void }[] = [];
  now(): number {
    return this.#now;
  }
  after(ms: number, fn: () => void): () => void {
    const entry = { at: this.#now + ms, fn };
    this.#due.push(entry);
    return () => {
      const index = this.#due.indexOf(entry);
      if (index >= 0) this.#due.splice(index, 1);
    };
  }
  get waiting(): number {
    return this.#due.length;
  }
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const next = this.#due.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#due.splice(this.#due.indexOf(next), 1);
      this.#now = next.at;
      next.fn();
    }
    this.#now = end;
  }
}

describe("ReadinessRunner", () => {
  const begin = (clock: Held, probes: readonly ReadyProbeRun[], more: { startedAt?: number; state?: Readiness } = {}) => {
    const seen: Readiness[] = [];
    const runner = new ReadinessRunner({ probes, startedAt: clock.now(), clock, onChange: (state) => seen.push(state), ...more });
    return { seen, runner };
  };

  it("tries again until it holds, and then never again", async () => {
    const clock = new Held();
    let tries = 0;
    const { seen } = begin(clock, [{ attempt: async () => ({ ok: ++tries === 4, why: "not yet" }) }]);
    await clock.pass(60_000);
    expect(tries).toBe(4);
    expect(seen.map(({ status }) => status)).toEqual(["waiting", "ready"]);
    expect(clock.waiting).toBe(0);
  });

  it("an attempt that fails is a no with its reason, and one that hangs is late", async () => {
    const clock = new Held();
    const { seen } = begin(clock, [{ attempt: () => Promise.reject(new Error("monitor gone")) }, { timeoutMs: 3000, attempt: () => new Promise(() => undefined) }]);
    await clock.pass(2999);
    expect(seen.at(-1)).toMatchObject({ status: "waiting", why: ["monitor gone", ""] });
    await clock.pass(1);
    expect(seen.at(-1)?.status).toBe("failed");
    expect(clock.waiting).toBe(0);
  });

  it("who takes over goes on where the other was: what held is not asked again, and time runs from the start of the run", async () => {
    const clock = new Held();
    let asked = 0;
    const state: Readiness = { status: "waiting", held: [true, false], why: ["", ""] };
    const { seen } = begin(clock, [{ attempt: async () => ({ ok: false, why: `${++asked}` }) }, { timeoutMs: 5000, attempt: () => new Promise(() => undefined) }], { state, startedAt: clock.now() - 4000 });
    await clock.pass(1000);
    expect(asked).toBe(0);
    expect(seen.at(-1)?.status).toBe("failed");
  });

  it("ends when it is stopped", async () => {
    const clock = new Held();
    const { seen, runner } = begin(clock, [{ attempt: async () => ({ ok: false, why: "x" }) }]);
    await clock.pass(100);
    runner.stop();
    const before = seen.length;
    await clock.pass(10_000);
    expect(seen).toHaveLength(before);
    expect(clock.waiting).toBe(0);
  });
});
