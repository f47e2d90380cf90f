import { describe, expect, it } from "vitest";
import { container, context, defaults, project, service, stateOf, volumeMount } from "./fixtures.ts";
import type { ObservedState } from "./observed.ts";
import { reconcile } from "./reconcile.ts";
import { renderPlan } from "./render.ts";

const db = service("db", { restart: { policy: "always" }, volumes: [volumeMount("data", "/data")] });
const web = service("web", { scale: 2, depends_on: { db: {} } });
const shop = project([db, web]);
const whole = stateOf(shop, [container(db), container(web, 1), container(web, 2)]);

/** There were two of `web` and one of `db`. */
function healed(state: ObservedState, scale: Readonly<Record<string, number>> = { db: 1, web: 2 }): string {
  const options = { ...defaults, goal: "heal" as const, services: Object.keys(scale), noDeps: true, recreate: "lost" as const, scale, ignoreOrphans: true, pull: "missing" as const };
  return `\n${renderPlan(reconcile(shop, state, options, context))}\n`;
}

const without = (name: string): ObservedState => ({ ...whole, containers: whole.containers.filter((one) => one.name !== name) });
const change = (name: string, members: Partial<ObservedState["containers"][number]>): ObservedState => ({
  ...whole,
  containers: whole.containers.map((one) => (one.name === name ? { ...one, ...members } : one)),
});

describe("healing", () => {
  it("does nothing where nothing is lost", () => {
    expect(healed(whole)).toBe("\n\n");
  });

  it("makes a container again that somebody has removed", () => {
    expect(healed(without("shop-web-1"))).toMatchInlineSnapshot(`
      "
      0 create-container shop-web-1  (no existing container)
      1 start-container shop-web-1   (no existing container)  after 0
      "
    `);
  });

  it("leaves what was stopped, what has ended, and what was only created", () => {
    for (const members of [{ status: "exited" as const, stopRequested: true }, { status: "exited" as const, exitCode: 3 }, { status: "created" as const }])
      expect(healed(change("shop-web-2", members))).toBe("\n\n");
  });

  it("starts what died unseen if its policy would have brought it back", () => {
    expect(healed(change("shop-db-1", { status: "dead" }))).toMatchInlineSnapshot(`
      "
      0 start-container shop-db-1  (its process has gone)
      "
    `);
    expect(healed(change("shop-db-1", { status: "dead", stopRequested: true }))).toBe("\n\n");
    expect(healed(change("shop-web-1", { status: "dead" }))).toBe("\n\n");
  });

  it("makes a volume again that has gone, and whoever has it mounted", () => {
    expect(healed({ ...whole, volumes: [] })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-db-1    (volume shop_data is new)
      1 remove-container shop-db-1  (volume shop_data is new)  after 0
      2 create-volume shop_data     (no existing volume)
      3 create-container shop-db-1  (volume shop_data is new)  after 1, 2
      4 start-container shop-db-1   (volume shop_data is new)  after 3
      "
    `);
  });

  it("makes a network again that has gone, and whoever is attached to it", () => {
    expect(healed({ ...whole, networks: [] })).toMatchInlineSnapshot(`
      "
       0 stop-container shop-web-1    (network shop_default is new)
       1 stop-container shop-web-2    (network shop_default is new)
       2 stop-container shop-db-1     (network shop_default is new)  after 0, 1
       3 remove-container shop-db-1   (network shop_default is new)  after 2
       4 remove-container shop-web-1  (network shop_default is new)  after 0
       5 remove-container shop-web-2  (network shop_default is new)  after 1
       6 create-network shop_default  (no existing network)
       7 create-container shop-db-1   (network shop_default is new)  after 3, 6
       8 start-container shop-db-1    (network shop_default is new)  after 7
       9 create-container shop-web-1  (network shop_default is new)  after 4, 6
      10 create-container shop-web-2  (network shop_default is new)  after 5, 6
      11 start-container shop-web-1   (network shop_default is new)  after 8, 9
      12 start-container shop-web-2   (network shop_default is new)  after 8, 10
      "
    `);
  });

  it("puts limits back that somebody has changed", () => {
    expect(healed(change("shop-db-1", { alteredLimits: ["memory.max: 67108864 → 33554432"] }))).toMatchInlineSnapshot(`
      "
      0 restore-limits shop-db-1  (memory.max: 67108864 → 33554432)
      "
    `);
  });

  it("recreates nothing that was left behind on purpose, and removes nothing", () => {
    expect(healed(change("shop-db-1", { configHash: "older" }))).toBe("\n\n");
    expect(healed(whole, { db: 1, web: 1 })).toBe("\n\n");
  });
});
