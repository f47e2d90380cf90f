import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Dependency, Project, Service } from "../model/index.ts";
import { container, context, defaults, empty, id, network, now, project, service, volumeMount } from "./fixtures.ts";
import { serviceGraph } from "./graph.ts";
import type { ObservedContainer, ObservedState } from "./observed.ts";
import type { Plan, ReconcileOptions } from "./plan.ts";
import { reconcile } from "./reconcile.ts";
import { renderPlan } from "./render.ts";
import { simulate } from "./simulate.ts";

const names = ["a", "b", "c", "d", "e"];
const later = { ...context, now: now + 1000 };

const dependency = fc.record({
  condition: fc.constantFrom<Dependency["condition"]>("service_started", "service_healthy", "service_completed_successfully"),
  restart: fc.boolean(),
  required: fc.boolean(),
});

/** A service that may depend on and join those before it. */
function anyService(index: number): fc.Arbitrary<Service> {
  const name = names[index]!;
  const earlier = names.slice(0, index);
  return fc
    .record({
      version: fc.integer({ min: 1, max: 3 }),
      image: fc.constantFrom("one:1", "two:1"),
      scale: fc.integer({ min: 0, max: 3 }),
      depends_on: fc.dictionary(fc.constantFrom(...(earlier.length === 0 ? ["-"] : earlier)), dependency, { maxKeys: 2 }),
      networks: fc.subarray(["default", "back"]),
      volumes: fc.subarray(["data", "logs"]),
      anonymous: fc.boolean(),
      joins: earlier.length === 0 ? fc.constant(undefined) : fc.option(fc.constantFrom(...earlier), { nil: undefined, freq: 4 }),
      donor: earlier.length === 0 ? fc.constant(undefined) : fc.option(fc.constantFrom(...earlier), { nil: undefined, freq: 4 }),
      publishes: fc.boolean(),
    })
    .map(({ version, image, scale, depends_on, networks, volumes, anonymous, joins, donor, publishes }) =>
      service(name, {
        image,
        // A service that others may join has one container that is there.
        scale: Math.max(scale, 1),
        depends_on: Object.fromEntries(Object.entries(depends_on).filter(([other]) => other !== "-")),
        ...(joins === undefined ? { networks: Object.fromEntries(networks.map((key) => [key, network()])) } : { network_mode: `service:${joins}` }),
        volumes: [...volumes.map((key) => volumeMount(key, `/${key}`)), ...(anonymous ? [volumeMount(undefined, "/scratch")] : [])],
        volumes_from: donor === undefined ? [] : [donor],
        ...(publishes ? { ports: [{ target: 80, published: "80", protocol: "tcp" as const, mode: "ingress" as const }] } : {}),
        healthcheck: { disable: false, test: { kind: "shell", command: "true" } },
        canonical: { version },
      }),
    );
}

const anyProject: fc.Arbitrary<Project> = fc
  .tuple(...names.map((_, index) => anyService(index)))
  .chain((services) => fc.tuple(fc.subarray(services, { minLength: 1 }), fc.constantFrom("x", "y"), fc.constantFrom("x", "y")))
  .map(([kept, networkVersion, volumeVersion]) => {
    const present = new Set(kept.map((one) => one.name as string));
    const services = kept.map((one): Service => {
      const joined = one.network_mode?.slice("service:".length);
      const { network_mode, ...rest } = one;
      return {
        ...(joined !== undefined && !present.has(joined) ? { ...rest, networks: {} } : { ...rest, ...(network_mode === undefined ? {} : { network_mode }) }),
        depends_on: Object.fromEntries(Object.entries(one.depends_on).filter(([other]) => present.has(other))),
        volumes_from: one.volumes_from.filter((other) => present.has(other)),
      };
    });
    const made = project(services);
    const change = <T extends object>(all: Readonly<Record<string, T>>, version: string): Record<string, T> =>
      Object.fromEntries(Object.entries(all).map(([key, value]) => [key, { ...value, driver_opts: { version } }]));
    return { ...made, networks: change(made.networks, networkVersion), volumes: change(made.volumes, volumeVersion) };
  });

const anyStatus = fc.constantFrom<ObservedContainer["status"]>("created", "running", "paused", "restarting", "exited", "dead");

/** What another version of the project left behind, with containers in any state, an extra one, and one of another service. */
const anyState: fc.Arbitrary<{ readonly state: ObservedState; readonly old: Project }> = fc
  .record({ old: anyProject, statuses: fc.array(anyStatus, { minLength: 15, maxLength: 15 }), drop: fc.subarray([...Array(15).keys()]), orphan: fc.boolean(), double: fc.boolean() })
  .map(({ old, statuses, drop, orphan, double }) => {
    const up = reconcile(old, empty, defaults, context);
    const after = simulate(old, empty, up, context);
    const dropped = after.containers.flatMap((one, index) => (drop.includes(index) ? [] : [{ ...one, status: statuses[index % 15]!, exitCode: 0, startedAt: 1 }]));
    const extra: ObservedContainer[] = [];
    const [first] = dropped;
    if (orphan) extra.push(container(service("gone"), 1, { networks: {} }));
    if (double && first !== undefined) extra.push({ ...first, id: id("double"), name: "double", status: "exited" });
    const containers = [...dropped, ...extra];
    const own = (uses: (one: ObservedContainer) => boolean) => containers.filter(uses).map((one) => one.id);
    return {
      old,
      state: {
        ...after,
        containers,
        networks: after.networks.map((one) => ({ ...one, containers: own((each) => Object.values(each.networks).includes(one.id)) })),
        volumes: after.volumes.map((one) => ({ ...one, containers: own((each) => each.volumes.some((volume) => volume.name === one.name)) })),
      },
    };
  });

/** Any order in which the executor may run the operations. */
function anyOrder(plan: Plan, choose: (count: number) => number): readonly number[] {
  const left = new Set(plan.operations.keys());
  const order: number[] = [];
  while (left.size > 0) {
    const ready = [...left].filter((index) => plan.operations[index]!.after.every((before) => !left.has(before)));
    const next = ready[choose(ready.length)]!;
    left.delete(next);
    order.push(next);
  }
  return order;
}

/** Does `later` wait for `earlier`, directly or through others? */
function waitsFor(plan: Plan, later: number, earlier: number): boolean {
  const seen = new Set<number>();
  const stack = [later];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    if (at === earlier) return true;
    if (seen.has(at)) continue;
    seen.add(at);
    stack.push(...plan.operations[at]!.after);
  }
  return false;
}

const yes = (plan: Plan): ReconcileOptions => ({ ...defaults, answers: plan.questions.map((question) => question.id) });
const runs = { numRuns: 250 };

describe("every plan", () => {
  it("can be executed in every order that its edges allow, and leaves nothing to do", () => {
    fc.assert(
      fc.property(anyProject, anyState, fc.gen(), (wanted, { state }, gen) => {
        const options = { ...yes(tryPlan(wanted, state, { ...defaults, removeOrphans: true })), removeOrphans: true };
        const plan = reconcile(wanted, state, options, later);
        const order = anyOrder(plan, (count) => gen(fc.integer, { min: 0, max: count - 1 }));
        const after = simulate(wanted, state, plan, later, { order });
        expect(renderPlan(reconcile(wanted, after, options, later))).toBe("");
      }),
      runs,
    );
  });

  it("for some of the services can be executed as well, whatever else is asked", () => {
    const asked = fc.record({
      noDeps: fc.boolean(),
      recreate: fc.constantFrom<ReconcileOptions["recreate"]>("diverged", "force", "never"),
      recreateDependencies: fc.boolean(),
      renewAnonymousVolumes: fc.boolean(),
      wait: fc.boolean(),
    });
    fc.assert(
      fc.property(anyProject, anyState, fc.gen(), asked, (wanted, { state }, gen, more) => {
        const services = Object.keys(wanted.services).filter(() => gen(fc.boolean));
        const options = { ...defaults, ...more, services, removeOrphans: true };
        const answered = { ...options, answers: tryPlan(wanted, state, options).questions.map((question) => question.id) };
        const plan = tryPlan(wanted, state, answered);
        const after = simulate(wanted, state, plan, later, { order: anyOrder(plan, (count) => gen(fc.integer, { min: 0, max: count - 1 })) });
        if (more.recreate === "diverged" && !more.recreateDependencies) expect(renderPlan(reconcile(wanted, after, { ...answered, wait: false }, later))).toBe("");
      }),
      runs,
    );
  });

  it("has edges that point backwards, and operations with a cause and a name of their own", () => {
    fc.assert(
      fc.property(anyProject, anyState, fc.constantFrom<ReconcileOptions["goal"]>("up", "create", "start", "stop", "restart", "down", "remove", "kill"), (wanted, { state }, goal) => {
        const plan = tryPlan(wanted, state, { ...defaults, goal, removeOrphans: true, removeStopFirst: true });
        for (const [index, operation] of plan.operations.entries()) {
          for (const before of operation.after) expect(before).toBeLessThan(index);
          expect(operation.cause).not.toBe("");
        }
        expect(new Set(plan.operations.map((operation) => operation.id)).size).toBe(plan.operations.length);
      }),
      runs,
    );
  });

  it("is the same for the same input, however the containers are listed", () => {
    fc.assert(
      fc.property(anyProject, anyState, (wanted, { state }) => {
        const reversed = { ...state, containers: [...state.containers].reverse(), networks: [...state.networks].reverse(), volumes: [...state.volumes].reverse() };
        const options = { ...defaults, removeOrphans: true };
        expect(renderPlan(tryPlan(wanted, reversed, options))).toBe(renderPlan(tryPlan(wanted, state, options)));
      }),
      runs,
    );
  });

  it("that heals brings back what was lost, touches nothing else, and leaves nothing to heal", () => {
    fc.assert(
      fc.property(anyState, fc.gen(), ({ state, old }, gen) => {
        const own = state.containers.filter((one) => !one.oneoff && old.services[one.service] !== undefined);
        const scale: Record<string, number> = {};
        for (const one of own) scale[one.service] = new Set(own.flatMap((other) => (other.service === one.service && other.number > 0 ? [other.number] : []))).size;
        fc.pre(own.length > 0 && !own.some((one) => one.id === "double")); // no service named would mean all of them
        const lost = new Set(own.filter(() => gen(fc.boolean)).map((one) => one.id));
        const joined = new Set(own.flatMap((one) => one.joins));
        const left: ObservedState = { ...state, containers: state.containers.filter((one) => !lost.has(one.id)), networks: state.networks.map((one) => ({ ...one, containers: one.containers.filter((user) => !lost.has(user)) })) };
        const options: ReconcileOptions = { ...defaults, goal: "heal", services: Object.keys(scale), noDeps: true, recreate: "lost", scale, ignoreOrphans: true };
        const plan = tryPlan(old, left, options);
        const after = simulate(old, left, plan, later, { order: anyOrder(plan, (count) => gen(fc.integer, { min: 0, max: count - 1 })) });
        for (const [name, count] of Object.entries(scale)) expect(after.containers.filter((one) => one.service === name && !one.oneoff).length).toBeGreaterThanOrEqual(count);
        expect(renderPlan(reconcile(old, after, options, later))).toBe("");
        // Who has lost nothing, and joins nobody who has, stays.
        const shares = joined.size > 0 || Object.values(old.services).some((one) => one.volumes_from.length > 0);
        if (lost.size === 0 && !shares) expect(plan.operations.filter((operation) => operation.kind === "remove-container" || operation.kind === "create-container")).toEqual([]);
      }),
      runs,
    );
  });

  it("removes no volume that nobody agreed to lose", () => {
    fc.assert(
      fc.property(anyProject, anyState, fc.constantFrom<ReconcileOptions["goal"]>("up", "create", "down", "remove", "restart"), (wanted, { state }, goal) => {
        const plan = tryPlan(wanted, state, { ...defaults, goal, removeOrphans: true, removeStopFirst: true });
        expect(plan.operations.filter((operation) => operation.kind === "remove-volume")).toEqual([]);
        expect(plan.operations.filter((operation) => operation.kind === "remove-container" && operation.removeAnonymousVolumes)).toEqual([]);
      }),
      runs,
    );
  });

  it("stops nobody before those that need it have stopped", () => {
    fc.assert(
      fc.property(anyProject, anyState, fc.constantFrom<ReconcileOptions["goal"]>("up", "stop", "restart", "down"), (wanted, { state }, goal) => {
        const plan = tryPlan(wanted, state, { ...defaults, goal, removeOrphans: true });
        const graph = serviceGraph(wanted, state);
        const stops = plan.operations.flatMap((operation, index) => (operation.kind === "stop-container" ? [{ index, service: operation.service }] : []));
        for (const dependent of stops)
          for (const needed of stops)
            if (Object.hasOwn(graph.dependencies(dependent.service), needed.service)) expect(waitsFor(plan, needed.index, dependent.index)).toBe(true);
      }),
      runs,
    );
  });

  it("starts nobody before what it needs has been started", () => {
    fc.assert(
      fc.property(anyProject, anyState, fc.constantFrom<ReconcileOptions["goal"]>("up", "start", "restart"), (wanted, { state }, goal) => {
        const plan = tryPlan(wanted, state, { ...defaults, goal, removeOrphans: true });
        const graph = serviceGraph(wanted, state);
        const starts = plan.operations.flatMap((operation, index) => (operation.kind === "start-container" ? [{ index, service: operation.service }] : []));
        for (const dependent of starts)
          for (const needed of starts)
            if (Object.hasOwn(graph.dependencies(dependent.service), needed.service)) expect(waitsFor(plan, dependent.index, needed.index)).toBe(true);
      }),
      runs,
    );
  });

  it("of down leaves nothing of the project but its volumes, and with -v not even those", () => {
    fc.assert(
      fc.property(anyState, fc.gen(), fc.boolean(), ({ state, old }, gen, removeVolumes) => {
        const options: ReconcileOptions = { ...defaults, goal: "down", removeOrphans: true, removeVolumes };
        const plan = reconcile(old, state, options, later);
        const after = simulate(old, state, plan, later, { order: anyOrder(plan, (count) => gen(fc.integer, { min: 0, max: count - 1 })) });
        expect(after.containers).toEqual([]);
        expect(after.networks).toEqual([]);
        expect(after.volumes.filter((volume) => !volume.anonymous).length).toBe(removeVolumes ? 0 : state.volumes.filter((volume) => !volume.anonymous).length);
        expect(renderPlan(reconcile(old, after, options, later))).toBe("");
      }),
      runs,
    );
  });
});

/** Projects that nobody could run (a changed network in use by a container that stays) are no counterexample. */
function tryPlan(wanted: Project, state: ObservedState, options: ReconcileOptions): Plan {
  try {
    return reconcile(wanted, state, options, later);
  } catch (error) {
    if ((error as { code?: string }).code === "network-in-use" || (error as { code?: string }).code === "no-such-container") fc.pre(false);
    throw error;
  }
}
