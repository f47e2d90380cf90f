import { describe, expect, it } from "vitest";
import type { HostPath } from "../core/index.ts";
import type { Project } from "../model/index.ts";
import { container, context, defaults, empty, id, network, now, project, projectNetwork, projectVolume, service, stateOf, volumeMount, withoutImage } from "./fixtures.ts";
import type { ObservedState } from "./observed.ts";
import type { ReconcileOptions } from "./plan.ts";
import { reconcile } from "./reconcile.ts";
import { renderPlan } from "./render.ts";

const healthcheck = { disable: false, test: { kind: "shell" as const, command: "true" } };
const plan = (wanted: Project, state: ObservedState, options: Partial<ReconcileOptions> = {}): string => `\n${renderPlan(reconcile(wanted, state, { ...defaults, ...options }, context))}\n`;

const db = service("db", { healthcheck, volumes: [volumeMount("data", "/data")] });
const web = service("web", { scale: 2, depends_on: { db: { condition: "service_healthy" } } });
const shop = project([db, web]);
const running = stateOf(shop, [container(db), container(web, 1), container(web, 2)]);

describe("up", () => {
  it("from nothing makes everything at once and starts in dependency order behind gates", () => {
    expect(plan(shop, empty)).toMatchInlineSnapshot(`
      "
       0 ensure-image db:1 missing    (image is not here)
       1 ensure-image web:1 missing   (image is not here)
       2 create-network shop_default  (no existing network)  after 0, 1
       3 create-volume shop_data      (no existing volume)  after 0, 1
       4 create-container shop-db-1   (no existing container)  after 0, 1, 2, 3
       5 start-container shop-db-1    (no existing container)  after 4
       6 create-container shop-web-1  (no existing container)  after 0, 1, 2
       7 create-container shop-web-2  (no existing container)  after 0, 1, 2
       8 wait db service_healthy      (web needs db: healthy)  after 5
       9 start-container shop-web-1   (no existing container)  after 6, 8
      10 start-container shop-web-2   (no existing container)  after 7, 8
      "
    `);
  });

  it("touches nothing before the last image is here: one that cannot be had leaves everything as it was", () => {
    const changed = { ...db, image: "db:2", canonical: { v: 2 } };
    const { operations } = reconcile(project([changed, service("web", { scale: 1, image: "web:2", depends_on: { db: { restart: true } } }), service("new")]), running, { ...defaults, removeOrphans: true }, context);
    const images = operations.flatMap((operation, index) => (operation.kind === "ensure-image" ? [index] : []));
    expect(images).toHaveLength(3);
    const behind = (index: number): ReadonlySet<number> => new Set((operations[index]?.after ?? []).flatMap((before) => [before, ...behind(before)]));
    operations.forEach((operation, index) => {
      if (operation.kind !== "ensure-image") expect([...behind(index)], operation.id).toEqual(expect.arrayContaining(images));
    });
  });

  it("recreates for a config or secret that holds something else now, and says which", () => {
    const made = { "config site": "1", "secret key": "1", "secret gone": "1" };
    const [container1] = [container(db, 1, { files: made })];
    const state = (files: Readonly<Record<string, string>>) => stateOf(project([db]), [container1], { files });
    expect(plan(project([db]), state(made))).toBe("\n\n");
    expect(plan(project([db]), state({ ...made, "config site": "2", "secret key": "2" }))).toContain("stop-container shop-db-1    (config site: content changed; secret key: content changed)");
    expect(plan(project([db]), state({ "config site": "1", "secret key": "1" })), "what cannot be read now is no change").toBe("\n\n");
    expect(plan(project([db]), stateOf(project([db]), [container(db)], { files: made })), "made before this was known").toBe("\n\n");
  });

  it("does nothing when everything is as it should be", () => {
    expect(plan(shop, running)).toBe("\n\n");
  });

  it("starts what is stopped and opens a gate only where somebody starts", () => {
    const state = stateOf(shop, [container(db, 1, { status: "exited", exitCode: 0 }), container(web, 1), container(web, 2, { status: "dead" })]);
    expect(plan(shop, state)).toMatchInlineSnapshot(`
      "
      0 start-container shop-db-1   (exited (0))
      1 wait db service_healthy     (web needs db: healthy)  after 0
      2 start-container shop-web-2  (its process has gone)  after 1
      "
    `);
  });

  it("does not start again what ran and ended since the command began", () => {
    const job = service("job");
    const state = stateOf(project([job]), [container(job, 1, { status: "exited", exitCode: 0, startedAt: now + 1 })]);
    expect(plan(project([job]), state)).toBe("\n\n");
  });

  it("recreates exactly what changed, and says what that is", () => {
    const changed = { ...web, canonical: { environment: { DEBUG: "1" } } };
    const before = { ...web, canonical: { environment: { DEBUG: "0" } } };
    const state = stateOf(shop, [container(db), container(before, 1), container(before, 2)]);
    expect(plan(project([db, changed]), state)).toMatchInlineSnapshot(`
      "
      0 stop-container shop-web-1    (environment: {"DEBUG":"0"} → {"DEBUG":"1"})
      1 stop-container shop-web-2    (environment: {"DEBUG":"0"} → {"DEBUG":"1"})
      2 remove-container shop-web-1  (environment: {"DEBUG":"0"} → {"DEBUG":"1"})  after 0
      3 remove-container shop-web-2  (environment: {"DEBUG":"0"} → {"DEBUG":"1"})  after 1
      4 create-container shop-web-1  (environment: {"DEBUG":"0"} → {"DEBUG":"1"})  after 2
      5 create-container shop-web-2  (environment: {"DEBUG":"0"} → {"DEBUG":"1"})  after 3
      6 start-container shop-web-1   (environment: {"DEBUG":"0"} → {"DEBUG":"1"})  after 4
      7 start-container shop-web-2   (environment: {"DEBUG":"0"} → {"DEBUG":"1"})  after 5
      "
    `);
  });

  it("recreates a dependency after its dependents have stopped, and restarts those that ask for it", () => {
    const follower = service("follower", { depends_on: { db: { restart: true } } });
    const other = service("other", { depends_on: { db: {} } });
    const of = project([{ ...db, canonical: { v: 2 } }, follower, other]);
    expect(plan(of, stateOf(of, [container(db), container(follower), container(other)]))).toMatchInlineSnapshot(`
      "
      0 stop-container shop-follower-1   (db is recreated)
      1 stop-container shop-db-1         (v: undefined → 2)  after 0
      2 remove-container shop-db-1       (v: undefined → 2)  after 1
      3 create-container shop-db-1       (v: undefined → 2)  after 2
      4 start-container shop-db-1        (v: undefined → 2)  after 3
      5 start-container shop-follower-1  (db is recreated)  after 0, 4
      "
    `);
  });

  it("recreates a container whose image has another id now", () => {
    const state = stateOf(project([web]), [container(web, 1, { imageId: "sha:old" }), container(web, 2)]);
    expect(plan(project([{ ...web, depends_on: {} }]), state)).toMatchInlineSnapshot(`
      "
      0 stop-container shop-web-1    (image changed)
      1 remove-container shop-web-1  (image changed)  after 0
      2 create-container shop-web-1  (image changed)  after 1
      3 start-container shop-web-1   (image changed)  after 2
      "
    `);
  });

  it("recreates a container that mounts an image of which a newer one is here, and says which; one that nobody knows of stays", () => {
    const mounting = service("web", { volumes: [{ type: "image", source: "tools:1", target: "/tools", read_only: true }] });
    const images = { "web:1": { id: "sha:web:1", pulledAt: 1, healthcheck: false }, "tools:1": { id: "sha:new", pulledAt: 1, healthcheck: false } };
    const one = project([mounting]);
    const made = (mountedImages?: readonly string[]) => stateOf(one, [container(mounting, 1, mountedImages === undefined ? {} : { mountedImages })], { images });
    expect(plan(one, made(["sha:old"]))).toMatchInlineSnapshot(`
      "
      0 stop-container shop-web-1    (image tools:1 mounted on /tools changed)
      1 remove-container shop-web-1  (image tools:1 mounted on /tools changed)  after 0
      2 create-container shop-web-1  (image tools:1 mounted on /tools changed)  after 1
      3 start-container shop-web-1   (image tools:1 mounted on /tools changed)  after 2
      "
    `);
    expect(plan(one, made(["sha:new"]))).toMatchInlineSnapshot(`
      "

      "
    `);
    expect(plan(one, made())).toMatchInlineSnapshot(`
      "

      "
    `);
    expect(plan(one, made(["sha:old"]), { recreate: "never" })).toMatchInlineSnapshot(`
      "

      "
    `);
  });

  it("scales down from the highest number and up into the gaps", () => {
    const three = project([{ ...web, depends_on: {} }]);
    const state = stateOf(three, [container(web, 1), container(web, 3), container(web, 4)]);
    expect(plan(three, state, { scale: { web: 1 } })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-web-3    (scaled down to 1)
      1 stop-container shop-web-4    (scaled down to 1)
      2 remove-container shop-web-3  (scaled down to 1)  after 0
      3 remove-container shop-web-4  (scaled down to 1)  after 1
      "
    `);
    expect(plan(three, state, { scale: { web: 4 } })).toMatchInlineSnapshot(`
      "
      0 create-container shop-web-2  (no existing container)
      1 start-container shop-web-2   (no existing container)  after 0
      "
    `);
  });

  it("removes the second holder of a replica's number", () => {
    const one = project([db]);
    const state = stateOf(one, [container(db), container(db, 1, { id: id("other"), name: "shop-db-1-old", status: "exited", createdAt: 9 })]);
    expect(plan(one, state)).toMatchInlineSnapshot(`
      "
      0 remove-container shop-db-1-old  (number 1 is taken by another container)
      "
    `);
  });

  it("recreates who shares the namespaces of a recreated container, asked for or not", () => {
    const main = service("main");
    const side = service("side", { network_mode: "service:main" });
    const wanted = project([{ ...main, canonical: { v: 2 } }, side]);
    const state = stateOf(wanted, [container(main), container(side, 1, { joins: [id("id:shop-main-1")] })]);
    expect(plan(wanted, state, { services: ["main"] })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-side-1    (network_mode: container of service main is recreated)
      1 stop-container shop-main-1    (v: undefined → 2)  after 0
      2 remove-container shop-main-1  (v: undefined → 2)  after 1
      3 remove-container shop-side-1  (network_mode: container of service main is recreated)  after 0
      4 create-container shop-main-1  (v: undefined → 2)  after 2
      5 start-container shop-main-1   (v: undefined → 2)  after 4
      6 create-container shop-side-1  (network_mode: container of service main is recreated)  after 2, 3, 4
      7 start-container shop-side-1   (network_mode: container of service main is recreated)  after 5, 6
      "
    `);
  });

  it("recreates who shares the namespaces of a container that was replaced before", () => {
    const main = service("main");
    const side = service("side", { ipc: "service:main", depends_on: { main: {} } });
    const wanted = project([main, side]);
    const state = stateOf(wanted, [container(main), container(side, 1, { joins: [id("gone")] })]);
    expect(plan(wanted, state)).toMatchInlineSnapshot(`
      "
      0 stop-container shop-side-1    (ipc: container of service main is another one now)
      1 remove-container shop-side-1  (ipc: container of service main is another one now)  after 0
      2 create-container shop-side-1  (ipc: container of service main is another one now)  after 1
      3 start-container shop-side-1   (ipc: container of service main is another one now)  after 2
      "
    `);
  });

  it("makes a changed network anew, and everything that is attached to it", () => {
    const wanted = project([db, web], { networks: { default: projectNetwork("shop_default", { driver_opts: { mtu: "1400" } }) } });
    expect(plan(wanted, running, { services: ["db"] })).toMatchInlineSnapshot(`
      "
       0 stop-container shop-web-1    (network shop_default is recreated)
       1 stop-container shop-web-2    (network shop_default is recreated)
       2 stop-container shop-db-1     (network shop_default is recreated)  after 0, 1
       3 remove-container shop-db-1   (network shop_default is recreated)  after 2
       4 remove-container shop-web-1  (network shop_default is recreated)  after 0
       5 remove-container shop-web-2  (network shop_default is recreated)  after 1
       6 remove-network shop_default  (network configuration changed)  after 3, 4, 5
       7 create-network shop_default  (network configuration changed)  after 6
       8 create-container shop-db-1   (network shop_default is recreated)  after 3, 7
       9 start-container shop-db-1    (network shop_default is recreated)  after 8
      10 create-container shop-web-1  (network shop_default is recreated)  after 4, 7
      11 create-container shop-web-2  (network shop_default is recreated)  after 5, 7
      12 wait db service_healthy      (web needs db: healthy)  after 9
      13 start-container shop-web-1   (network shop_default is recreated)  after 10, 12
      14 start-container shop-web-2   (network shop_default is recreated)  after 11, 12
      "
    `);
  });

  it("asks before a changed volume loses its data, and does as it is answered", () => {
    const wanted = project([db], { volumes: { data: projectVolume("shop_data", { driver_opts: { type: "tmpfs" } }) } });
    const state = stateOf(project([db]), [container(db)]);
    expect(plan(wanted, state)).toMatchInlineSnapshot(`
      "
      question: Volume "shop_data" exists with another configuration than the file has. Recreate it? Its data will be lost
      "
    `);
    expect(plan(wanted, state, { answers: ["recreate-volume:shop_data"] })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-db-1    (volume shop_data is recreated)
      1 remove-container shop-db-1  (volume shop_data is recreated)  after 0
      2 remove-volume shop_data     (volume configuration changed)  after 1
      3 create-volume shop_data     (volume configuration changed)  after 2
      4 create-container shop-db-1  (volume shop_data is recreated)  after 1, 3
      5 start-container shop-db-1   (volume shop_data is recreated)  after 4
      "
    `);
    expect(plan(wanted, state, { answers: ["!recreate-volume:shop_data"] })).toMatchInlineSnapshot(`
      "
      warning: Volume "shop_data" keeps its old configuration
      "
    `);
  });

  it("takes anonymous volumes over, or renews them", () => {
    const cache = service("cache", { volumes: [volumeMount(undefined, "/cache")] });
    const wanted = project([{ ...cache, canonical: { v: 2 } }]);
    const state = stateOf(wanted, [container(cache)]);
    const creation = (options: Partial<ReconcileOptions>) => reconcile(wanted, state, { ...defaults, ...options }, context).operations.filter((operation) => operation.kind === "create-container" || operation.kind === "remove-container");
    expect(creation({})).toMatchObject([{ removeAnonymousVolumes: false }, { replaces: "id:shop-cache-1", renewAnonymousVolumes: false }]);
    expect(creation({ renewAnonymousVolumes: true })).toMatchObject([{ removeAnonymousVolumes: true }, { renewAnonymousVolumes: true }]);
  });

  it("pulls always or when due before it stops anything, once for one command", () => {
    const always = { ...web, scale: 1, depends_on: {}, pull_policy: { kind: "always" as const }, canonical: { v: 2 } };
    const state = stateOf(project([web]), [container(web)]);
    expect(plan(project([always]), state)).toMatchInlineSnapshot(`
      "
      0 ensure-image web:1 always    (pull policy is always)
      1 stop-container shop-web-1    (v: undefined → 2)  after 0
      2 remove-container shop-web-1  (v: undefined → 2)  after 1
      3 create-container shop-web-1  (v: undefined → 2)  after 0, 2
      4 start-container shop-web-1   (v: undefined → 2)  after 3
      "
    `);
    const pulled = { ...state, images: { "web:1": { id: "sha:web:1", pulledAt: now, healthcheck: false } } };
    expect(plan(project([{ ...always, canonical: {} }]), pulled)).toBe("\n\n");
    const daily = { ...always, canonical: {}, pull_policy: { kind: "every" as const, interval: now } };
    expect(plan(project([daily]), state)).toBe("\n\n");
    expect(plan(project([{ ...daily, pull_policy: { kind: "every" as const, interval: 10 } }]), state)).toMatchInlineSnapshot(`
      "
      0 ensure-image web:1 always  (image is older than its pull policy allows)
      "
    `);
  });

  it("runs hooks around start and stop", () => {
    const hook = { command: ["true"], privileged: false, environment: {} };
    const hooked = service("hooked", { pre_start: [hook], post_start: [hook, hook], pre_stop: [hook] });
    const next = service("next", { depends_on: { hooked: {} } });
    const wanted = project([{ ...hooked, canonical: { v: 2 } }, next]);
    expect(plan(wanted, stateOf(wanted, [container(hooked)]))).toMatchInlineSnapshot(`
      "
      0 run-hook pre_stop 1 shop-hooked-1    (pre_stop hook of hooked)
      1 stop-container shop-hooked-1         (v: undefined → 2)  after 0
      2 remove-container shop-hooked-1       (v: undefined → 2)  after 1
      3 create-container shop-hooked-1       (v: undefined → 2)  after 2
      4 run-hook pre_start 1 shop-hooked-1   (pre_start hook of hooked)  after 3
      5 start-container shop-hooked-1        (v: undefined → 2)  after 3, 4
      6 run-hook post_start 1 shop-hooked-1  (post_start hook of hooked)  after 5
      7 run-hook post_start 2 shop-hooked-1  (post_start hook of hooked)  after 6
      8 create-container shop-next-1         (no existing container)
      9 start-container shop-next-1          (no existing container)  after 7, 8
      "
    `);
  });

  it("starts who publishes a port only after everything that stops has stopped", () => {
    const old = service("old");
    const fresh = service("fresh", { ports: [{ target: 80, published: "80", protocol: "tcp", mode: "ingress" }] });
    const wanted = project([fresh]);
    expect(plan(wanted, stateOf(wanted, [container(old, 1, { networks: {} })]), { removeOrphans: true })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-old-1      (orphan)
      1 remove-container shop-old-1    (orphan)  after 0
      2 create-container shop-fresh-1  (no existing container)
      3 start-container shop-fresh-1   (no existing container)  after 0, 2
      "
    `);
  });

  it("warns of orphans, or removes them", () => {
    const state = stateOf(project([db]), [container(db), container(service("gone"), 1, { networks: {} })]);
    expect(plan(project([db]), state)).toMatchInlineSnapshot(`
      "
      warning: Found orphan containers (shop-gone-1) for project "shop". If you removed or renamed these services, use --remove-orphans to clean them up
      "
    `);
    expect(plan(project([db]), state, { ignoreOrphans: true })).toBe("\n\n");
    expect(plan(project([db]), state, { removeOrphans: true })).toMatchInlineSnapshot(`
      "
      0 stop-container shop-gone-1    (orphan)
      1 remove-container shop-gone-1  (orphan)  after 0
      "
    `);
  });

  it("does not count running one-off containers and those of other profiles as orphans", () => {
    const wanted = project([db], { disabled_services: { debug: service("debug") } });
    const state = stateOf(wanted, [container(db), container(db, 0, { id: id("run"), name: "shop-db-run-1", oneoff: true }), container(service("debug"), 1, { networks: {} })]);
    expect(plan(wanted, state, { removeOrphans: true })).toBe("\n\n");
  });

  it("removes one-off containers that have ended with the orphans, without a warning before", () => {
    const state = stateOf(project([db]), [container(db), container(db, 0, { id: id("run"), name: "shop-db-run-1", oneoff: true, status: "exited" })]);
    expect(plan(project([db]), state)).toBe("\n\n");
    expect(plan(project([db]), state, { removeOrphans: true })).toMatchInlineSnapshot(`
      "
      0 remove-container shop-db-run-1  (orphan)
      "
    `);
  });

  it("with --wait ends with a gate on every service that is not there yet", () => {
    const job = service("job");
    const app = service("app", { depends_on: { job: { condition: "service_completed_successfully" } } });
    expect(plan(project([db, job, app]), stateOf(project([db]), [container(db)]), { wait: true, waitTimeoutMs: 5000 })).toMatchInlineSnapshot(`
      "
      0 ensure-image job:1 missing               (image is not here)
      1 ensure-image app:1 missing               (image is not here)
      2 create-container shop-job-1              (no existing container)  after 0, 1
      3 start-container shop-job-1               (no existing container)  after 2
      4 create-container shop-app-1              (no existing container)  after 0, 1
      5 wait job service_completed_successfully  (app needs job: completed)  after 3
      6 start-container shop-app-1               (no existing container)  after 4, 5
      7 wait app running_or_healthy              (--wait)  after 6
      "
    `);
  });

  it("of one service leaves the others alone, and with --no-deps what it needs as well", () => {
    expect(plan(shop, empty, { services: ["db"] })).toMatchInlineSnapshot(`
      "
      0 ensure-image db:1 missing    (image is not here)
      1 create-network shop_default  (no existing network)  after 0
      2 create-volume shop_data      (no existing volume)  after 0
      3 create-container shop-db-1   (no existing container)  after 0, 1, 2
      4 start-container shop-db-1    (no existing container)  after 3
      "
    `);
    expect(plan(shop, empty, { services: ["web"], noDeps: true, scale: { web: 1 } })).toMatchInlineSnapshot(`
      "
      0 ensure-image web:1 missing   (image is not here)
      1 create-network shop_default  (no existing network)  after 0
      2 create-container shop-web-1  (no existing container)  after 0, 1
      3 start-container shop-web-1   (no existing container)  after 2
      "
    `);
  });

  it("forced recreates what was named, and its dependencies only if asked", () => {
    const named = (options: Partial<ReconcileOptions>) =>
      reconcile(shop, running, { ...defaults, services: ["web"], scale: { web: 1 }, recreate: "force", ...options }, context).operations.flatMap((operation) => (operation.kind === "create-container" ? [operation.name] : []));
    expect(named({})).toEqual(["shop-web-1"]);
    expect(named({ recreateDependencies: true })).toEqual(["shop-db-1", "shop-web-1"]);
  });

  it("with --no-recreate leaves what changed as it is", () => {
    const state = stateOf(shop, [container({ ...db, canonical: { v: 0 } }), container(web, 1), container(web, 2)]);
    expect(plan(shop, state, { recreate: "never" })).toBe("\n\n");
  });

  it("skips dependencies that need not be there", () => {
    const wanted = project([service("app", { depends_on: { extra: { required: false } } })], { disabled_services: { extra: service("extra") } });
    expect(plan(wanted, empty)).toMatchInlineSnapshot(`
      "
      0 ensure-image app:1 missing   (image is not here)
      1 create-network shop_default  (no existing network)  after 0
      2 create-container shop-app-1  (no existing container)  after 0, 1
      3 start-container shop-app-1   (no existing container)  after 2
      "
    `);
  });

  it("uses networks and volumes of others with a warning, and external ones without", () => {
    const wanted = project([db], { networks: { default: projectNetwork("common", { external: true }) } });
    const state = stateOf(wanted, []);
    const foreign = { ...state, volumes: state.volumes.map((volume) => ({ ...volume, project: "other" })) };
    expect(plan(wanted, foreign)).toMatchInlineSnapshot(`
      "
      0 create-container shop-db-1  (no existing container)
      1 start-container shop-db-1   (no existing container)  after 0
      warning: Volume "shop_data" exists but was not made for project "shop"; it is used as it is. Set \`external: true\` if that is meant
      "
    `);
  });

  it("waits with a static address until old addresses are free", () => {
    const fixed = service("fixed", { networks: { default: network({ ipv4_address: "10.0.0.5" }) } });
    const wanted = project([fixed, { ...db, canonical: { v: 2 } }]);
    const result = reconcile(wanted, stateOf(wanted, [container(db)]), defaults, context).operations;
    const removal = result.findIndex((operation) => operation.kind === "remove-container");
    expect(result.find((operation) => operation.kind === "create-container" && operation.service === "fixed")?.after).toContain(removal);
  });

  it("of a rootfs service needs no image", () => {
    const rest = withoutImage(service("host"));
    expect(plan(project([{ ...rest, rootfs: "/" as HostPath, networks: {} }]), empty)).toMatchInlineSnapshot(`
      "
      0 create-container shop-host-1  (no existing container)
      1 start-container shop-host-1   (no existing container)  after 0
      "
    `);
  });
});

describe("create", () => {
  it("makes, and starts nothing", () => {
    expect(plan(project([web, db]), empty, { goal: "create" })).not.toContain("start-container");
  });
});

describe("what no plan can mend is an error that names it", () => {
  const code = (make: () => unknown): unknown => {
    try {
      make();
    } catch (error) {
      return [(error as { code?: string }).code, (error as Error).message];
    }
    return "no error";
  };

  it("an unknown service", () => {
    expect(code(() => plan(shop, empty, { services: ["wbe"] }))).toEqual(["no-such-service", 'There is no service "wbe" in project "shop"']);
    expect(code(() => plan(shop, empty, { scale: { wbe: 2 } }))).toEqual(["no-such-service", '--scale: there is no service "wbe" in project "shop"']);
  });

  it("an external network or volume that is missing", () => {
    const networks = { default: projectNetwork("common", { external: true }) };
    expect(code(() => plan(project([db], { networks }), empty))).toEqual(["no-such-network", 'Network "common" is external (networks.default) and does not exist']);
    const volumes = { data: projectVolume("common", { external: true }) };
    expect(code(() => plan(project([db], { volumes }), empty))).toEqual(["no-such-volume", 'Volume "common" is external (volumes.data) and does not exist']);
  });

  it("a circle", () => {
    const a = service("a", { depends_on: { b: {} } });
    const b = service("b", { depends_on: { a: {} } });
    expect(code(() => plan(project([a, b]), empty))).toEqual(["dependency-cycle", "Services depend on each other in a circle: a → b → a"]);
  });

  it("a gate that could never open", () => {
    const app = service("app", { depends_on: { web: { condition: "service_healthy" } } });
    const state = { ...empty, images: { "web:1": { id: "x", pulledAt: 0, healthcheck: false } } };
    expect(code(() => plan(project([app, { ...web, depends_on: {} }]), state))).toEqual(["dependency-failed", 'Service "app" waits for "web" to be healthy, but that has no health check']);
  });

  it("a changed network that others use", () => {
    const wanted = project([db], { networks: { default: projectNetwork("shop_default", { driver_opts: { a: "b" } }) } });
    const state = stateOf(project([db]), []);
    const shared = { ...state, networks: state.networks.map((one) => ({ ...one, containers: [id("stranger")] })) };
    expect(code(() => plan(wanted, shared))).toEqual(["network-in-use", 'Network "shop_default" has changed in the file, but containers of other projects are attached to it']);
  });

  it("several replicas with one name", () => {
    expect(code(() => plan(project([{ ...db, container_name: "one" }]), empty, { scale: { db: 2 } }))).toEqual([
      "usage",
      'Service "db" cannot have 2 replicas: container_name gives all of them the same name',
    ]);
  });
});
