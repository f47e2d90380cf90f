import { describe, expect, it } from "vitest";
import type { StartTimings, TimedStep } from "../../engine/index.ts";
import { renderBars, renderCriticalTable, renderDot, renderHead, timingsJson } from "./timings.ts";

const step = (id: string, after: number[], start: number, end: number, more: Partial<TimedStep> = {}): TimedStep => ({
  id,
  kind: id.slice(0, id.indexOf(" ")) as TimedStep["kind"],
  cause: "test",
  after,
  status: "done",
  time: { start, end },
  ...more,
});

const timings: StartTimings = {
  version: 1,
  project: "shop",
  goal: "up",
  services: [],
  began: "2026-01-01T00:58:00.000Z",
  asked: 100,
  planned: 120,
  ended: 4000,
  ok: true,
  operations: [
    step("ensure-image postgres:16", [], 120, 2000, { fetched: 34_200_000 }),
    step("ensure-image busybox:1", [], 120, 121),
    step("create-container shop-db-1", [0, 1], 2000, 2010),
    step("create-container shop-web-1", [0, 1], 2000, 2008),
    step("start-container shop-db-1", [2], 2110, 2200),
    step("wait db service_healthy", [4], 2200, 3900, { held: { container: "shop-db-1", why: "health: starting: \u001b[31mrefused" } }),
    step("start-container shop-web-1", [3, 5], 3900, 4000),
  ],
};

describe("the time of a start", () => {
  it("is a table of what waited for what, which together took all of it", () => {
    expect(`${renderHead(timings, Date.parse("2026-01-01T01:00:00.000Z"))}${renderCriticalTable(timings)}`).toBe(
      [
        "shop: up, 2 minutes ago, took 4.00 s",
        "CRITICAL PATH                          TOOK   SHARE",
        "load the files, reach the agent      100 ms     3 %",
        "look at what is there, plan           20 ms     1 %",
        "ensure-image postgres:16             1.88 s    47 %   pulled 34.2MB",
        "create-container shop-db-1            10 ms     0 %",
        "(wait for a free hand)               100 ms     3 %",
        "start-container shop-db-1             90 ms     2 %",
        "wait db service_healthy              1.70 s    43 %   shop-db-1: health: starting: \uFFFD[31mrefused",
        "start-container shop-web-1           100 ms     3 %",
        "2 more operations ran beside these: the start would have been no quicker without them",
        "",
      ].join("\n"),
    );
  });

  it("is bars in the order of time, dark on the critical path, that fit the terminal", () => {
    const lines = renderBars(timings, 80).trimEnd().split("\n");
    expect(lines).toHaveLength(10);
    expect(lines.every((line) => line.length <= 80)).toBe(true);
    expect(lines.find((line) => line.startsWith("create-container shop-web-1"))).toMatch(/ ░ +8\.0 ms$/);
    expect(lines.find((line) => line.startsWith("wait db"))).toMatch(/^wait db service_healthy {20,}█{16} +1\.70 s$/);
    expect(lines[0]).toMatch(/^load the files, reach the agent {2}█ /);
  });

  it("shows of very many operations those that took longest, and how many there are besides", () => {
    const many = Array.from({ length: 300 }, (_, i) => step(`create-container shop-w-${i}`, [], 120, 121 + i / 100));
    const lines = renderBars({ ...timings, operations: [...timings.operations, ...many] }, 100).trimEnd().split("\n");
    expect(lines).toHaveLength(41);
    expect(lines.at(-1)).toBe("and 270 more, none longer than 3.7 ms");
  });

  it("is a graph for Graphviz, with the critical path in red and no name that breaks out of its quotes", () => {
    const dot = renderDot({ ...timings, project: 'a"b\\', operations: timings.operations.slice(0, 3) });
    expect(dot).toContain('digraph "a\\"b\\\\" {');
    expect(dot).toContain('n0 [label="ensure-image postgres:16\\n1.88 s", color=red, penwidth=2];');
    expect(dot).toContain('n1 [label="ensure-image busybox:1\\n1.0 ms"];');
    expect(dot).toContain("n0 -> n2 [color=red, penwidth=2];\n  n1 -> n2;");
  });

  it("says where a start failed, and what was skipped", () => {
    const failed = { ...timings, ok: false, ended: 3900, operations: [...timings.operations.slice(0, 5), step("wait db service_healthy", [4], 2200, 3900, { status: "failed", error: "it broke" }), { ...step("start-container shop-web-1", [3, 5], 0, 0), status: "skipped" as const }] };
    const { time, ...skipped } = failed.operations[6] ?? { time: undefined };
    expect(time).toBeDefined();
    const table = renderCriticalTable({ ...failed, operations: [...failed.operations.slice(0, 6), skipped as TimedStep] });
    expect(table).toContain("wait db service_healthy              1.70 s    44 %   failed: it broke\n");
    expect(table).toContain("1 operation was skipped\n");
  });

  it("says what failed also when something else took longer", () => {
    const operations = timings.operations.map((each) => (each.id === "create-container shop-web-1" ? { ...each, status: "failed" as const, error: "no space" } : each));
    expect(renderCriticalTable({ ...timings, ok: false, operations })).toContain("create-container shop-web-1 (beside these) failed: no space\n");
  });

  it("is data, with what each operation waited for longest", () => {
    expect(timingsJson(timings)).toMatchObject({
      version: 1,
      operations: [{}, {}, { waitedFor: 0 }, { waitedFor: 0 }, { waitedFor: 2 }, { waitedFor: 4 }, { waitedFor: 5 }],
      criticalPath: [{ operation: 0, id: "ensure-image postgres:16" }, { operation: 2 }, { operation: 4, queued: 100, took: 90 }, { operation: 5 }, { operation: 6 }],
    });
  });
});
