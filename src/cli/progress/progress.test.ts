import { describe, expect, test } from "vitest";
import type { ContainerId } from "../../core/index.ts";
import type { EngineEvent } from "../../engine/index.ts";
import type { Operation, Plan } from "../../reconcile/index.ts";
import { fakeContext, TextSink } from "../fake-context.ts";
import { JsonRenderer } from "./json.ts";
import { PlainRenderer } from "./plain.ts";
import { createProgress } from "./renderer.ts";

const id = "a".repeat(64) as ContainerId;
const operation = (made: object): Operation => ({ id: "x", cause: "no existing container", after: [], ...made }) as unknown as Operation;
const planOf = (...operations: Operation[]): Plan => ({ version: 1, operations, warnings: [], questions: [] });
const running = (index: number): EngineEvent => ({ type: "operation", index, status: "running" });
const done = (index: number, took = 12): EngineEvent => ({ type: "operation", index, status: "done", took });

function plain(events: readonly EngineEvent[], options = {}): string {
  const sink = new TextSink();
  const renderer = new PlainRenderer(sink, options);
  for (const event of events) renderer.event(event);
  return sink.text;
}

const up = planOf(
  operation({ kind: "ensure-image", service: "web", reference: "nginx:1", policy: "missing" }),
  operation({ kind: "create-network", key: "default", name: "shop_default" }),
  operation({ kind: "create-container", service: "web", number: 1, name: "shop-web-1", renewAnonymousVolumes: false }),
  operation({ kind: "start-container", service: "web", name: "shop-web-1" }),
  operation({ kind: "wait", service: "web", condition: "service_healthy", containers: ["shop-web-1"], required: true }),
);

test.each(["plain", "json"] as const)("%s progress leaves standard output to data, unless COMPOSE_STATUS_STDOUT asks for it there", async (progress) => {
  for (const [env, taken, empty] of [[{}, "err", "out"], [{ COMPOSE_STATUS_STDOUT: "0" }, "err", "out"], [{ COMPOSE_STATUS_STDOUT: "1" }, "out", "err"]] as const) {
    const context = fakeContext({ env, globals: { progress } });
    const renderer = await createProgress(context);
    for (const event of [{ type: "plan", plan: up }, running(1), done(1)] as const) renderer.event(event);
    await renderer.end();
    expect(context[taken].text).toContain("Network shop_default");
    expect(context[empty].text).toBe("");
  }
});

describe("plain lines", () => {
  test("are Docker Compose's, and say nothing about an image that is here", () => {
    const events: EngineEvent[] = [{ type: "plan", plan: up }];
    for (const index of up.operations.keys()) events.push(running(index), done(index));
    expect(plain(events).split("\n")).toEqual([
      " Network shop_default  Creating",
      " Network shop_default  Created",
      " Container shop-web-1  Creating",
      " Container shop-web-1  Created",
      " Container shop-web-1  Starting",
      " Container shop-web-1  Started",
      " Container shop-web-1  Waiting",
      " Container shop-web-1  Healthy",
      "",
    ]);
  });

  test("a pull is one line and not one for every chunk; quiet hides it, but not its failure", () => {
    const layer = (current: number, status = "pulling"): EngineEvent => ({ type: "image", index: 0, progress: { kind: "layer", reference: "nginx:1", layer: "l", status: status as "pulling", current, total: 100 } });
    const events: EngineEvent[] = [{ type: "plan", plan: up }, running(0), { type: "image", index: 0, progress: { kind: "resolving", reference: "nginx:1" } }, layer(1), layer(50), layer(100), layer(100, "unpacking"), done(0)];
    expect(plain(events).split("\n")).toEqual([" Image nginx:1  Pulling", " Image nginx:1  Extracting", " Image nginx:1  Pulled", ""]);
    expect(plain(events, { quietImages: true })).toBe("");
    const failed: EngineEvent = { type: "operation", index: 0, status: "failed", error: { code: "image-not-found", message: "there is no nginx:1", exitStatus: 1 } };
    expect(plain([...events.slice(0, 3), failed], { quietImages: true })).toBe(" Image nginx:1  Error  there is no nginx:1\n");
  });

  test("notes, and what was skipped because of what, are told", () => {
    const events: EngineEvent[] = [
      { type: "plan", plan: up },
      running(4),
      { type: "note", index: 4, note: "3rd probe failed" },
      { type: "operation", index: 2, status: "failed", error: { code: "internal", message: "no space", exitStatus: 1 } },
      { type: "operation", index: 3, status: "skipped", because: 1 },
      { type: "warning", rule: "orphans", message: "found orphans" },
    ];
    expect(plain(events).split("\n")).toEqual([
      " Container shop-web-1  Waiting",
      " Container shop-web-1  Waiting  3rd probe failed",
      " Container shop-web-1  Error  no space",
      " Container shop-web-1  Skipped  because of Network shop_default",
      "warning: found orphans",
      "",
    ]);
  });

  test("what is recreated says so, and why", () => {
    const cause = 'environment.DEBUG: "0" → "1"';
    const plan = planOf(
      operation({ kind: "stop-container", service: "web", name: "shop-web-1", container: id, cause }),
      operation({ kind: "remove-container", service: "web", name: "shop-web-1", container: id, removeAnonymousVolumes: false, cause }),
      operation({ kind: "create-container", service: "web", number: 1, name: "shop-web-1", renewAnonymousVolumes: false, cause }),
      operation({ kind: "start-container", service: "web", name: "shop-web-1", cause }),
    );
    const events: EngineEvent[] = [{ type: "plan", plan }];
    for (const index of plan.operations.keys()) events.push(running(index), done(index));
    expect(plain(events).split("\n")).toEqual([
      ` Container shop-web-1  Recreate  ${cause}`,
      " Container shop-web-1  Recreated",
      " Container shop-web-1  Starting",
      " Container shop-web-1  Started",
      "",
    ]);
  });

  test("what belongs to no operation of the plan is left alone", () => {
    expect(plain([running(7), { type: "plan", plan: planOf() }, running(0), done(0)])).toBe("");
  });
});

test("json lines have Docker Compose's id and status, the error whole, and the dry run's mark", () => {
  const sink = new TextSink();
  const renderer = new JsonRenderer(sink, true);
  const error = { code: "port-taken", message: "port 80 is taken", hint: "stop it", exitStatus: 1 } as const;
  for (const event of [{ type: "plan", plan: up }, running(1), done(1), { type: "operation", index: 3, status: "failed", error }] satisfies EngineEvent[]) renderer.event(event);
  expect(sink.text.trim().split("\n").map((line) => JSON.parse(line) as unknown)).toEqual([
    { "dry-run": true, id: "Network shop_default", status: "Creating" },
    { "dry-run": true, id: "Network shop_default", status: "Created", took: 12 },
    { "dry-run": true, id: "Container shop-web-1", status: "Error", text: "port 80 is taken", error },
  ]);
});
