import { describe, expect, it } from "vitest";
import type { Project } from "../model/index.ts";
import { container, context, defaults, empty, id, project, projectNetwork, projectVolume, service, stateOf, volumeMount, withoutImage } from "./fixtures.ts";
import type { ObservedState } from "./observed.ts";
import type { ReconcileOptions } from "./plan.ts";
import { reconcile } from "./reconcile.ts";
import { renderPlan } from "./render.ts";

const plan = (wanted: Project, state: ObservedState, options: Partial<ReconcileOptions> = {}): string =>
  `\n${renderPlan(reconcile(wanted, state, { ...defaults, goal: "down", ...options }, context))}\n`;

const db = service("db", { volumes: [volumeMount("data", "/data")] });
const cache = service("cache");
const web = service("web", { depends_on: { db: {}, cache: {} } });
const proxy = service("proxy", { depends_on: { web: {} } });
const shop = project([db, cache, web, proxy]);
const containers = [container(db), container(cache), container(web), container(proxy)];

describe("down", () => {
  it("stops dependents first, what is independent at once, then removes networks and keeps volumes", () => {
    expect(plan(shop, stateOf(shop, containers))).toMatchInlineSnapshot(`
      "
      0 stop-container shop-proxy-1    (project goes down)
      1 stop-container shop-web-1      (project goes down)  after 0
      2 stop-container shop-db-1       (project goes down)  after 1
      3 stop-container shop-cache-1    (project goes down)  after 1
      4 remove-container shop-cache-1  (project goes down)  after 3
      5 remove-container shop-db-1     (project goes down)  after 2
      6 remove-container shop-proxy-1  (project goes down)  after 0
      7 remove-container shop-web-1    (project goes down)  after 1
      8 remove-network shop_default    (project goes down)  after 4, 5, 6, 7
      "
    `);
  });

  it("of nothing does nothing", () => {
    expect(plan(shop, empty, { removeVolumes: true, removeImages: "all" })).toBe("\n\n");
  });

  it("keeps the order when a service in the middle has no container", () => {
    const state = stateOf(shop, [container(db), container(proxy)]);
    expect(plan(shop, state)).toMatchInlineSnapshot(`
      "
      0 stop-container shop-proxy-1    (project goes down)
      1 stop-container shop-db-1       (project goes down)  after 0
      2 remove-container shop-db-1     (project goes down)  after 1
      3 remove-container shop-proxy-1  (project goes down)  after 0
      4 remove-network shop_default    (project goes down)  after 2, 3
      "
    `);
  });

  it("-v removes the project's own volumes, never external or foreign ones, nor those that others use", () => {
    const wanted = project([service("a", { volumes: ["own", "ext", "foreign", "busy"].map((key) => volumeMount(key, `/${key}`)) })]);
    const of: Project = { ...wanted, volumes: { ...wanted.volumes, ext: projectVolume("ext", { external: true }) } };
    const state = stateOf(of, [container(of.services["a"]!)]);
    const volumes = state.volumes.map((volume) => (volume.key === "foreign" ? { ...volume, project: "other" } : volume.key === "busy" ? { ...volume, containers: [...volume.containers, id("stranger00001")] } : volume));
    expect(plan(of, { ...state, volumes }, { removeVolumes: true })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-a-1                           (project goes down)
      1 remove-container shop-a-1 with anonymous volumes  (project goes down)  after 0
      2 remove-network shop_default                       (project goes down)  after 1
      3 remove-volume shop_own                            (asked to remove volumes)  after 1
      warning: Volume "shop_busy" is kept: it is still used by container stranger0000 of another project
      warning: Volume "shop_foreign" is kept: it was not made for project "shop"
      "
    `);
  });

  it("keeps networks that others are attached to, and external ones", () => {
    const of: Project = { ...project([cache]), networks: { default: projectNetwork("shop_default") } };
    const state = stateOf(of, [container(cache)]);
    const shared = { ...state, networks: state.networks.map((one) => ({ ...one, containers: [...one.containers, id("stranger00001")] })) };
    expect(plan(of, shared)).toMatchInlineSnapshot(`
      "
      0 stop-container shop-cache-1    (project goes down)
      1 remove-container shop-cache-1  (project goes down)  after 0
      warning: Network "shop_default" is kept: it is still used by container stranger0000 of another project
      "
    `);
    const external: Project = { ...of, networks: { default: projectNetwork("common", { external: true }) } };
    expect(plan(external, stateOf(external, []))).toBe("\n\n");
  });

  it("removes ended one-off containers; those of other profiles never, orphans and one-off containers that run only when asked", () => {
    const of = project([cache], { disabled_services: { debug: service("debug", { profiles: ["dev"] }) } });
    const state = stateOf(of, [
      container(cache),
      container(cache, 0, { id: id("run"), name: "shop-cache-run-abc", oneoff: true, status: "exited" }),
      container(cache, 0, { id: id("run2"), name: "shop-cache-run-def", oneoff: true }),
      container(service("debug"), 1, { networks: {} }),
      container(service("gone"), 1, { labels: { "com.docker.compose.depends_on": "cache:service_started:false" } }),
    ]);
    expect(plan(of, state)).toMatchInlineSnapshot(`
      "
      0 stop-container shop-cache-1          (project goes down)
      1 remove-container shop-cache-1        (project goes down)  after 0
      2 remove-container shop-cache-run-abc  (project goes down)
      warning: Containers of services whose profiles are not active are kept (shop-debug-1): give --profile dev to take them down as well
      warning: One-off containers that run are kept (shop-cache-run-def): --remove-orphans takes them down as well
      warning: Found orphan containers (shop-gone-1) for project "shop". If you removed or renamed these services, use --remove-orphans to clean them up
      warning: Network "shop_default" is kept: it is still used by shop-cache-run-def, shop-gone-1
      "
    `);
    expect(plan(of, state, { removeOrphans: true })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-gone-1           (orphan)
      1 stop-container shop-cache-run-def    (project goes down)  after 0
      2 stop-container shop-cache-1          (project goes down)  after 0
      3 remove-container shop-cache-1        (project goes down)  after 2
      4 remove-container shop-cache-run-abc  (project goes down)
      5 remove-container shop-cache-run-def  (project goes down)  after 1
      6 remove-container shop-gone-1         (orphan)  after 0
      7 remove-network shop_default          (project goes down)  after 3, 4, 5, 6
      warning: Containers of services whose profiles are not active are kept (shop-debug-1): give --profile dev to take them down as well
      "
    `);
  });

  it("of named services leaves the rest, and the networks", () => {
    expect(plan(shop, stateOf(shop, containers), { services: ["web", "db"], removeVolumes: true })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-web-1                           (project goes down)
      1 stop-container shop-db-1                            (project goes down)  after 0
      2 remove-container shop-db-1 with anonymous volumes   (project goes down)  after 1
      3 remove-container shop-web-1 with anonymous volumes  (project goes down)  after 0
      4 remove-volume shop_data                             (asked to remove volumes)  after 2
      "
    `);
  });

  it("--rmi local removes only images without a name of their own", () => {
    const rest = withoutImage(service("built"));
    const of = project([cache, { ...rest, build: { context: ".", args: {}, no_cache: false, pull: false, tags: [], platforms: [], labels: {}, secrets: [], additional_contexts: {}, extra_hosts: {}, canonical: {} } }]);
    const state = stateOf(of, [], { images: { "cache:1": { id: "x", pulledAt: 0, healthcheck: false }, "shop-built": { id: "y", pulledAt: 0, healthcheck: false } }, networks: [] });
    expect(plan(of, state, { removeImages: "local" })).toMatchInlineSnapshot(`
      "
      0 remove-image shop-built  (--rmi local)
      "
    `);
    expect(plan(of, state, { removeImages: "all" })).toMatchInlineSnapshot(`
      "
      0 remove-image cache:1     (--rmi all)
      1 remove-image shop-built  (--rmi all)
      "
    `);
  });

  it("goes on with the others where a stop fails, and says so where a removal does", () => {
    const { operations } = reconcile(shop, stateOf(shop, containers), { ...defaults, goal: "down" }, context);
    expect(operations.filter((operation) => operation.kind === "stop-container").every((operation) => operation.bestEffort === true)).toBe(true);
    expect(operations.filter((operation) => operation.kind === "remove-container").some((operation) => operation.bestEffort === true)).toBe(false);
  });

  it("passes a grace of its own on", () => {
    const { operations } = reconcile(shop, stateOf(shop, containers), { ...defaults, goal: "down", graceMs: 1500 }, context);
    expect(operations.flatMap((operation) => (operation.kind === "stop-container" ? [operation.graceMs] : []))).toEqual([1500, 1500, 1500, 1500]);
  });
});
