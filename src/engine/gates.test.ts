import { describe, expect, it } from "vitest";
import { EventSource } from "../core/index.ts";
import { gateState, passGate } from "./gates.ts";
import type { Gate, WaitOperation } from "./gates.ts";
import type { ContainerSummary, EngineEvent } from "./types.ts";

function summary(status: ContainerSummary["status"], extra: { health?: ContainerSummary["health"]; exitCode?: number; signal?: number; output?: string; failures?: number; startedAt?: string } = {}): ContainerSummary {
  return {
    name: "shop-db-1",
    record: {},
    status,
    health: extra.health ?? "none",
    ...(extra.output === undefined ? {} : { healthOutput: extra.output }),
    state: { exitCode: extra.exitCode ?? 0, signal: extra.signal ?? 0, endedBy: "", oomKilled: false, error: null, failures: extra.failures ?? 0, startedAt: extra.startedAt ?? "" },
  } as unknown as ContainerSummary;
}

describe("gateState", () => {
  const table: [WaitOperation["condition"], ContainerSummary, "open" | "waiting" | "failed"][] = [
    ["service_started", summary("created"), "waiting"],
    ["service_started", summary("running"), "open"],
    ["service_started", summary("restarting"), "open"],
    ["service_started", summary("exited", { exitCode: 1 }), "open"],
    ["service_completed_successfully", summary("running"), "waiting"],
    ["service_completed_successfully", summary("restarting"), "waiting"],
    ["service_completed_successfully", summary("exited"), "open"],
    ["service_completed_successfully", summary("exited", { exitCode: 3 }), "failed"],
    ["service_completed_successfully", summary("dead"), "failed"],
    ["service_healthy", summary("running", { health: "starting" }), "waiting"],
    ["service_healthy", summary("running", { health: "healthy" }), "open"],
    ["service_healthy", summary("running", { health: "unhealthy" }), "failed"],
    ["service_healthy", summary("running"), "failed"],
    ["service_healthy", summary("restarting"), "waiting"],
    ["service_healthy", summary("exited"), "failed"],
    ["running_or_healthy", summary("running"), "open"],
    ["running_or_healthy", summary("running", { health: "starting" }), "waiting"],
    ["running_or_healthy", summary("exited"), "open"],
    ["running_or_healthy", summary("exited", { exitCode: 1 }), "failed"],
    ["running_or_healthy", summary("restarting", { exitCode: 1, failures: 4 }), "waiting"],
    ["running_or_healthy", summary("restarting", { exitCode: 1, failures: 5 }), "failed"],
    ["service_healthy", summary("running", { health: "starting", exitCode: 1, failures: 5 }), "failed"],
    ["service_healthy", summary("running", { health: "healthy", exitCode: 1, failures: 5 }), "open"],
    ["service_completed_successfully", summary("restarting", { exitCode: 1, failures: 5 }), "failed"],
    ["service_started", summary("restarting", { exitCode: 1, failures: 50 }), "open"],
  ];
  it.each(table)("%s with %o", (condition, container, expected) => {
    expect(gateState(condition, container, "shop-db-1").state).toBe(expected);
  });

  it("says why: the probe's output, the signal", () => {
    expect(gateState("service_healthy", summary("running", { health: "unhealthy", output: "connection refused\n" }), "x")).toEqual({
      state: "failed",
      why: "is unhealthy: connection refused",
    });
    expect(gateState("running_or_healthy", summary("exited", { exitCode: 137, signal: 9 }), "x")).toEqual({ state: "failed", why: "exited with 137 (SIGKILL)" });
  });
});

describe("a crash loop", () => {
  const looping = summary("restarting", { exitCode: 3, failures: 7 });

  it("is named, with how the last run ended", () => {
    expect(gateState("service_healthy", looping, "x")).toEqual({ state: "failed", why: "is in a crash loop: it failed 7 times in a row, and last exited with 3" });
    expect(gateState("running_or_healthy", summary("exited", { exitCode: 3, failures: 4 }), "x")).toEqual({ state: "failed", why: "exited with 3, 4 times in a row: its restart policy gave up" });
  });

  it("may still end well while there is a limit of time", () => {
    expect(gateState("service_healthy", looping, "x", { patient: true })).toEqual({ state: "waiting", why: "is restarting, after 7 failures in a row: it exited with 3" });
  });
});

describe("a container without a probe", () => {
  const at = (ms: number, failures = 0): ReturnType<typeof gateState> =>
    gateState("running_or_healthy", summary("running", { failures, startedAt: "2026-01-01T00:00:00.000Z" }), "x", { now: Date.parse("2026-01-01T00:00:00.000Z") + ms });

  it("runs when it has run for a moment, longer after a failure", () => {
    expect(at(0)).toEqual({ state: "waiting", why: "has just been started", againMs: 250 });
    expect(at(250)).toEqual({ state: "open" });
    expect(at(400, 1)).toEqual({ state: "waiting", why: "has just been started again, after 1 failure", againMs: 600 });
    expect(at(400, 3)).toMatchObject({ why: "has just been started again, after 3 failures in a row" });
    expect(at(1000, 3)).toEqual({ state: "open" });
    expect(at(10, 5)).toMatchObject({ state: "failed", why: "is in a crash loop: it failed 5 times in a row, and last exited with 0" });
  });

  it("is not waited for because the clock was set back", () => {
    expect(at(-5000)).toEqual({ state: "open" });
  });

  it("opens its gate without an event", async () => {
    const gate = new FakeGate();
    gate.set("shop-db-1", summary("running", { startedAt: new Date(Date.now() - 200).toISOString() }));
    expect(await passGate(wait({ condition: "running_or_healthy" }), gate, new AbortController().signal)).toMatchObject({ why: "has just been started" });
  });
});

class FakeGate implements Gate {
  readonly events = new EventSource<EngineEvent>();
  readonly containers = new Map<string, ContainerSummary>();
  find(name: string): ContainerSummary | undefined {
    return this.containers.get(name);
  }
  set(name: string, container: ContainerSummary): void {
    this.containers.set(name, container);
    this.events.emit({ type: "container", container, change: "health" });
  }
}

const wait = (extra: Partial<WaitOperation> = {}): WaitOperation => ({
  id: "wait db",
  cause: "web depends on it",
  after: [],
  kind: "wait",
  service: "db",
  condition: "service_healthy",
  containers: ["shop-db-1"],
  required: true,
  ...extra,
});

describe("passGate", () => {
  it("opens the moment the last container holds", async () => {
    const gate = new FakeGate();
    gate.set("a", summary("running", { health: "healthy" }));
    gate.set("b", summary("running", { health: "starting" }));
    let passed = false;
    const passing = passGate(wait({ containers: ["a", "b"] }), gate, new AbortController().signal).then(() => (passed = true));
    await Promise.resolve();
    expect(passed).toBe(false);
    gate.set("b", summary("running", { health: "healthy" }));
    await passing;
  });

  it("fails with the reason as soon as it cannot open any more", async () => {
    const gate = new FakeGate();
    gate.set("shop-db-1", summary("running", { health: "starting" }));
    const passing = passGate(wait(), gate, new AbortController().signal);
    gate.set("shop-db-1", summary("exited", { exitCode: 1 }));
    await expect(passing).rejects.toThrow("shop-db-1 was expected to become healthy, but exited with 1");
  });

  it("fails at the fifth failure in a row, tells each one before, and waits on with a limit of time", async () => {
    const crash = (failures: number): ContainerSummary => summary("restarting", { exitCode: 1, failures });
    const gate = new FakeGate();
    gate.set("shop-db-1", summary("running", { health: "starting" }));
    const notes: string[] = [];
    const never = new AbortController();
    const passing = passGate(wait(), gate, never.signal, undefined, (text) => notes.push(text));
    const patient = passGate(wait({ timeoutMs: 60_000 }), gate, never.signal);
    for (let n = 1; n < 5; n += 1) {
      gate.set("shop-db-1", crash(n));
      gate.set("shop-db-1", summary("running", { health: "starting", failures: n }));
    }
    expect(notes).toEqual(["is restarting: it exited with 1", ...[2, 3, 4].map((n) => `is restarting, after ${n} failures in a row: it exited with 1`)]);
    gate.set("shop-db-1", crash(5));
    await expect(passing).rejects.toThrow("shop-db-1 was expected to become healthy, but is in a crash loop: it failed 5 times in a row, and last exited with 1");
    gate.set("shop-db-1", summary("running", { health: "healthy", failures: 5 }));
    expect(await patient).toEqual({ container: "shop-db-1", why: "is restarting, after 5 failures in a row: it exited with 1" });
  });

  it("says after its time what it still waited for", async () => {
    const gate = new FakeGate();
    gate.set("shop-db-1", summary("running", { health: "starting" }));
    await expect(passGate(wait({ timeoutMs: 5 }), gate, new AbortController().signal)).rejects.toMatchObject({ code: "timeout" });
  });

  it("ends when the command is cancelled", async () => {
    const gate = new FakeGate();
    gate.set("shop-db-1", summary("running", { health: "starting" }));
    const abort = new AbortController();
    const passing = passGate(wait(), gate, abort.signal);
    abort.abort();
    await expect(passing).rejects.toMatchObject({ code: "cancelled" });
  });
});
