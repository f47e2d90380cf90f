import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DataRoot, HostPath, ProjectName } from "../core/index.ts";
import type { Operation, Plan, ReconcileOptions } from "../reconcile/index.ts";
import { keepTimings, readTimings, TimingRecorder } from "./start-timings.ts";
import type { StartTimings } from "./start-timings.ts";
import type { EngineEvent } from "./types.ts";

const operation = (id: string, after: number[], kind: Operation["kind"] = "create-volume"): Operation => ({ id, cause: "test", after, kind, name: id, key: id }) as Operation;
const plan = (...operations: Operation[]): EngineEvent => ({ type: "plan", plan: { version: 1, operations, warnings: [], questions: [] } satisfies Plan });
const is = (index: number, status: "running" | "done" | "failed" | "skipped", more: object = {}): EngineEvent => ({ type: "operation", index, status, ...more });

function recorded(...events: readonly (readonly [at: number, event: EngineEvent])[]): StartTimings | undefined {
  let now = 1000.25;
  const recorder = new TimingRecorder("shop" as ProjectName, { goal: "up", services: ["web"] } as unknown as ReconcileOptions, 900, () => now);
  for (const [at, event] of events) {
    now = at;
    recorder.take(event);
  }
  now = 2000;
  return recorder.finish(true);
}

describe("the recorder of a start", () => {
  it("writes down when each operation ran, what a gate waited for, and what was fetched", () => {
    const held = { container: "shop-db-1", why: "starting" };
    const layer = (status: "done" | "exists", total: number): EngineEvent => ({ type: "image", index: 0, progress: { kind: "layer", reference: "db", layer: "a", status, current: total, total } });
    const timings = recorded(
      [1010, plan(operation("image", [], "ensure-image"), operation("gate", [0], "wait"), operation("start", [1]))],
      [1011, is(0, "running")],
      [1100, layer("done", 500)],
      [1101, layer("exists", 900)],
      [1200, is(0, "done")],
      [1200, is(1, "running")],
      [1500, is(1, "done", { held })],
    );
    expect(timings).toMatchObject({ version: 1, project: "shop", goal: "up", services: ["web"], began: "1970-01-01T00:00:00.900Z", asked: 100.25, planned: 110, ended: 1100, ok: true });
    expect(timings?.operations).toEqual([
      { id: "image", kind: "ensure-image", cause: "test", after: [], status: "done", time: { start: 111, end: 300 }, fetched: 500 },
      { id: "gate", kind: "wait", cause: "test", after: [0], status: "done", time: { start: 300, end: 600 }, held },
      { id: "start", kind: "create-volume", cause: "test", after: [1], status: "skipped" },
    ]);
  });

  it("hangs a second plan behind what ended last in the first", () => {
    const timings = recorded([1010, plan(operation("a", []), operation("b", []))], [1010, is(0, "running")], [1011, is(1, "running")], [1040, is(0, "done")], [1050, is(1, "done")], [1060, plan(operation("c", []), operation("d", [0]))], [1060, is(0, "running")], [1070, is(0, "done")]);
    expect(timings?.operations.map(({ after }) => after)).toEqual([[], [], [1], [2]]);
    expect(timings?.operations[2]?.time).toEqual({ start: 160, end: 170 });
  });

  it("ends with the command what a cancelled command left running", () => {
    expect(recorded([1010, plan(operation("a", []))], [1020, is(0, "running")])?.operations[0]?.time).toEqual({ start: 120, end: 1100 });
  });

  it("has nothing to tell of a plan without operations", () => {
    expect(recorded([1010, plan()])).toBeUndefined();
    expect(recorded()).toBeUndefined();
  });
});

describe("the record of a start", () => {
  let root: DataRoot;
  beforeEach(() => {
    root = { root: mkdtempSync(join(tmpdir(), "stack-timings-")) as HostPath };
  });
  afterEach(() => {
    rmSync(root.root, { recursive: true });
  });
  const timings = (project: string): StartTimings => ({ version: 1, project, goal: "up", services: [], began: "", asked: 0, planned: 0, ended: 0, ok: true, operations: [] });

  it("is read as it was kept; one of another version, or half of one, is none", async () => {
    keepTimings(root, timings("shop"));
    expect(await readTimings(root, "shop" as ProjectName)).toEqual(timings("shop"));
    expect(await readTimings(root, "other" as ProjectName)).toBeUndefined();
    writeFileSync(join(root.root, "cache/last-up/shop.json"), '{"version": 2}');
    expect(await readTimings(root, "shop" as ProjectName)).toBeUndefined();
    writeFileSync(join(root.root, "cache/last-up/shop.json"), '{"vers');
    expect(await readTimings(root, "shop" as ProjectName)).toBeUndefined();
  });

  it("is forgotten when a hundred others are younger", () => {
    keepTimings(root, timings("first"));
    utimesSync(join(root.root, "cache/last-up/first.json"), 1, 1);
    for (let n = 0; n < 99; n += 1) keepTimings(root, timings(`run-${n}`));
    expect(readdirSync(join(root.root, "cache/last-up"))).toContain("first.json");
    keepTimings(root, timings("last"));
    expect(readdirSync(join(root.root, "cache/last-up"))).toHaveLength(100);
    expect(readdirSync(join(root.root, "cache/last-up"))).not.toContain("first.json");
  });

  it("does not fail where nothing can be written", () => {
    writeFileSync(join(root.root, "cache"), "");
    expect(() => keepTimings(root, timings("shop"))).not.toThrow();
  });
});
