import { describe, expect, it } from "vitest";
import type { Service } from "../model/index.ts";
import { refuseImpossible } from "./not-carried-out.ts";

const plain = { name: "web", ready: [], processes: {}, expect: [], models: {}, pre_start: [] } as unknown as Service;
/** Asks for everything that is ours. */
const all: Service = {
  ...plain,
  ready: [{ kind: "tcp", port: 80 }],
  processes: { a: {} as Service["processes"][string] },
  expect: ["nginx"],
  on_unhealthy: { action: "stop", after: 1, max: 1 },
  on_orphan_exit: "log",
};

describe("refuseImpossible", () => {
  it("lets a service pass that asks for nothing impossible", () => {
    expect(() => refuseImpossible(all)).not.toThrow();
  });

  it.each([
    ["models", { models: { llm: null } }],
  ])("names what cannot be done: %s", (key, members) => {
    expect(() => refuseImpossible({ ...plain, ...members })).toThrow(`Service "web": \`${key}\` is not supported`);
  });
});
