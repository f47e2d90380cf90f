import { describe, expect, it } from "vitest";
import type { Service } from "../model/index.ts";
import { container, context, project, service, stateOf } from "./fixtures.ts";
import type { ObservedContainer } from "./observed.ts";
import { reconcileOptions } from "./options.ts";
import type { Remedy } from "./plan.ts";
import { reconcile } from "./reconcile.ts";
import { renderPlan } from "./render.ts";

const sick: Remedy = { action: "restart", reason: "unhealthy: no answer" };

function treated(services: readonly Service[], containers: readonly ObservedContainer[]): string {
  const shop = project([...services]);
  return `\n${renderPlan(reconcile(shop, stateOf(shop, [...containers]), reconcileOptions("treat"), context))}\n`;
}

const db = service("db");

describe("treating what is unhealthy", () => {
  it("touches nothing that needs no treatment, or does not run any more", () => {
    expect(treated([db], [container(db)])).toBe("\n\n");
    expect(treated([db], [{ ...container(db), status: "exited", remedy: sick }])).toBe("\n\n");
  });

  it("restarts with it what depends on it with `restart`, when it is well again if that is the condition", () => {
    const web = service("web", { depends_on: { db: { restart: true, condition: "service_healthy" } } });
    const proxy = service("proxy", { depends_on: { web: { restart: true } } });
    const other = service("other", { depends_on: { db: {} } });
    expect(treated([db, web, proxy, other], [{ ...container(db), remedy: sick }, container(web), container(proxy), container(other)])).toMatchInlineSnapshot(`
      "
      0 treat-container shop-db-1        (unhealthy: no answer)
      1 wait db service_healthy for web  (web needs db: healthy)  after 0
      2 treat-container shop-web-1       (db is restarted)  after 1
      3 treat-container shop-proxy-1     (web is restarted)  after 2
      "
    `);
  });

  it("restarts whoever shares its namespaces, and not who does not run", () => {
    const inside = service("inside", { network_mode: "service:db" });
    const stopped = service("stopped", { depends_on: { db: { restart: true } } });
    expect(treated([db, inside, stopped], [{ ...container(db), remedy: sick }, container(inside), { ...container(stopped), status: "exited" }])).toMatchInlineSnapshot(`
      "
      0 treat-container shop-db-1      (unhealthy: no answer)
      1 treat-container shop-inside-1  (db is restarted)  after 0
      "
    `);
  });

  it("stops, or runs a command in it, and leaves the others alone", () => {
    const web = service("web", { depends_on: { db: { restart: true } } });
    for (const action of ["stop", "run"] as const) {
      const shop = project([db, web]);
      const remedy: Remedy = { action, reason: "unhealthy", ...(action === "run" ? { command: ["mend"] } : {}) };
      const { operations } = reconcile(shop, stateOf(shop, [{ ...container(db), remedy }, container(web)]), reconcileOptions("treat"), context);
      expect(operations).toMatchObject([{ kind: "treat-container", name: "shop-db-1", by: "health", ...remedy }]);
    }
  });
});
