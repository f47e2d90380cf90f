import { describe, expect, it } from "vitest";
import type { Service } from "../model/index.ts";
import { notCarriedOut } from "./not-carried-out.ts";

const plain = { ready: [], processes: {}, expect: [], models: {}, use_api_socket: false } as unknown as Service;

describe("notCarriedOut", () => {
  it("says nothing of a service that asks for nothing of it", () => {
    expect(notCarriedOut(plain)).toEqual([]);
    expect(notCarriedOut({ ...plain, deploy: { mode: "replicated", labels: {} } })).toEqual([]);
  });
  it("names every key that is accepted and not acted on", () => {
    const service: Service = {
      ...plain,
      ready: [{ kind: "tcp", port: 80 }],
      expect: ["nginx"],
      on_orphan_exit: "log",
      deploy: { labels: {}, mode: "global", placement: {}, restart_policy: { delay: 5 } },
    };
    expect(notCarriedOut(service)).toEqual(["ready", "expect", "on_orphan_exit", "deploy.placement", "deploy.mode", "deploy.restart_policy.delay"]);
  });
});
