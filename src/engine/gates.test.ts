import { describe, expect, it } from "vitest";
import { EventSource } from "../core/index.ts";
import { gateState, passGate } from "./gates.ts";
import type { Gate, WaitOperation } from "./gates.ts";
import type { ContainerSummary, EngineEvent } from "./types.ts";

function summary(status: ContainerSummary["status"], extra: { health?: ContainerSummary["health"]; exitCode?: number; signal?: number; output?: string } = {}): ContainerSummary {
  return {
    name: "shop-db-1",
    record: {},
    status,
    health: extra.health ?? "none",
    ...(extra.output === undefined ? {} : { healthOutput: extra.output }),
    state: { exitCode: extra.exitCode ?? 0, signal: extra.signal ?? 0, endedBy: "", oomKilled: false, error: null },
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
