import { describe, expect, it } from "vitest";
import type { Project } from "../model/index.ts";
import { container, context, defaults, empty, id, project, service, stateOf } from "./fixtures.ts";
import type { ObservedState } from "./observed.ts";
import type { ReconcileOptions } from "./plan.ts";
import { reconcile } from "./reconcile.ts";
import { renderPlan } from "./render.ts";

const db = service("db", { healthcheck: { disable: false, test: { kind: "shell", command: "true" } } });
const web = service("web", { scale: 2, depends_on: { db: { condition: "service_healthy", restart: true } } });
const other = service("other");
const shop = project([db, web, other]);
const all = stateOf(shop, [container(db), container(web, 1), container(web, 2), container(other)]);
const stopped = stateOf(shop, [container(db, 1, { status: "exited", exitCode: 0 }), container(web, 1, { status: "exited", exitCode: 1 }), container(other)]);

const planOf =
  (goal: ReconcileOptions["goal"]) =>
  (wanted: Project, state: ObservedState, options: Partial<ReconcileOptions> = {}): string =>
    `\n${renderPlan(reconcile(wanted, state, { ...defaults, goal, ...options }, context))}\n`;

const refusal = (make: () => unknown): unknown => {
  try {
    make();
  } catch (error) {
    return [(error as { code?: string }).code, (error as Error).message];
  }
  return "no error";
};

describe("stop", () => {
  const plan = planOf("stop");
  it("stops what runs, dependents first", () => {
    expect(plan(shop, all)).toMatchInlineSnapshot(`
      "
      0 stop-container shop-web-1    (asked to stop)
      1 stop-container shop-web-2    (asked to stop)
      2 stop-container shop-other-1  (asked to stop)
      3 stop-container shop-db-1     (asked to stop)  after 0, 1
      "
    `);
    expect(plan(shop, stopped, { services: ["db"] })).toBe("\n\n");
  });
  it("of one service stops only that", () => {
    expect(plan(shop, all, { services: ["db"] })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-db-1  (asked to stop)
      "
    `);
  });
  it("leaves one-off containers alone", () => {
    expect(plan(shop, stateOf(shop, [container(db, 0, { id: id("run"), name: "run", oneoff: true })]))).toBe("\n\n");
  });
  it("stops services that are no longer in the file only where no file was read, in the order of their labels", () => {
    const old = [container(service("x"), 1, { labels: { "com.docker.compose.depends_on": "y:service_started:false" }, networks: {} }), container(service("y"), 1, { networks: {} })];
    expect(plan(project([]), stateOf(project([]), old))).toBe("\n\n");
    expect(plan(project([]), stateOf(project([]), old), { undeclared: true })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-x-1  (asked to stop)
      1 stop-container shop-y-1  (asked to stop)  after 0
      "
    `);
  });
});

describe("kill", () => {
  it("is at once, for all", () => {
    expect(planOf("kill")(shop, all)).toMatchInlineSnapshot(`
      "
      0 stop-container shop-web-1    (asked to kill)
      1 stop-container shop-web-2    (asked to kill)
      2 stop-container shop-other-1  (asked to kill)
      3 stop-container shop-db-1     (asked to kill)
      "
    `);
  });
});

describe("start", () => {
  const plan = planOf("start");
  it("starts what is stopped behind its gates, and what it needs", () => {
    expect(plan(shop, stopped, { services: ["web"] })).toMatchInlineSnapshot(`
      "
      0 start-container shop-db-1   (exited (0))
      1 wait db service_healthy     (web needs db: healthy)  after 0
      2 start-container shop-web-1  (exited (1))  after 1
      "
    `);
  });
  it("does nothing where all runs, and says what there is nothing of", () => {
    expect(plan(shop, all)).toBe("\n\n");
    expect(refusal(() => plan(shop, empty, { services: ["web"] }))).toEqual(["no-such-container", 'service "web" has no container to start']);
    expect(refusal(() => plan(shop, empty))).toEqual(["no-such-container", 'service "db" has no container to start']);
  });
  it("of everything starts what there is and warns of what has no container, unless it is to have none", () => {
    const { operations, warnings } = reconcile(project([db, other, service("off", { scale: 0 })]), stateOf(shop, [container(db, 1, { status: "exited", exitCode: 0 })]), { ...defaults, goal: "start" }, context);
    expect(operations.map((operation) => operation.id)).toEqual(["start-container shop-db-1"]);
    expect(warnings.map((warning) => warning.message)).toEqual(['service "other" has no container to start. Create it with `stack up`.']);
  });
});

describe("restart", () => {
  const plan = planOf("restart");
  it("takes those along that depend on it with restart: true", () => {
    expect(plan(shop, all, { services: ["db"] })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-web-1   (db is restarted)
      1 stop-container shop-web-2   (db is restarted)
      2 stop-container shop-db-1    (asked to restart)  after 0, 1
      3 start-container shop-db-1   (asked to restart)  after 2
      4 wait db service_healthy     (web needs db: healthy)  after 3
      5 start-container shop-web-1  (db is restarted)  after 0, 4
      6 start-container shop-web-2  (db is restarted)  after 1, 4
      "
    `);
    expect(plan(shop, all, { services: ["db"], noDeps: true })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-db-1   (asked to restart)
      1 start-container shop-db-1  (asked to restart)  after 0
      "
    `);
  });
  it("takes those along that share namespaces with it, whatever depends_on says", () => {
    const side = service("side", { pid: "service:other", depends_on: { other: {} } });
    const wanted = project([other, side]);
    expect(plan(wanted, stateOf(wanted, [container(other), container(side, 1, { joins: [id("id:shop-other-1")] })]), { services: ["other"] })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-side-1    (other is restarted)
      1 stop-container shop-other-1   (asked to restart)  after 0
      2 start-container shop-other-1  (asked to restart)  after 1
      3 start-container shop-side-1   (other is restarted)  after 0, 2
      "
    `);
  });
  it("starts what is stopped", () => {
    expect(plan(shop, stopped, { services: ["web"] })).toMatchInlineSnapshot(`
      "
      0 start-container shop-web-1  (asked to restart)
      "
    `);
  });
});

describe("rm", () => {
  const plan = planOf("remove");
  it("removes what is stopped, and with -s what runs", () => {
    expect(plan(shop, stopped)).toMatchInlineSnapshot(`
      "
      0 remove-container shop-db-1   (asked to remove)
      1 remove-container shop-web-1  (asked to remove)
      "
    `);
    expect(plan(shop, all, { removeStopFirst: true, removeAnonymousVolumes: true, services: ["web"] })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-web-1                           (asked to remove)
      1 stop-container shop-web-2                           (asked to remove)
      2 remove-container shop-web-1 with anonymous volumes  (asked to remove)  after 0
      3 remove-container shop-web-2 with anonymous volumes  (asked to remove)  after 1
      "
    `);
  });
  it("knows when a name is wrong", () => {
    expect(refusal(() => plan(shop, all, { services: ["nope"] }))).toEqual(["no-such-service", 'There is no service "nope" in project "shop"']);
  });
});
