import { expect, it } from "vitest";
import type { ContainerId } from "../core/index.ts";
import { removeContainer } from "./executors.ts";

it("a container's record goes before its address and its anonymous volumes: nobody who dies between leaves one whose address another gets", async () => {
  const order: string[] = [];
  const did = (what: string) => async () => void order.push(what);
  const id = "a".repeat(64) as ContainerId;
  const work = {
    rooms: {
      networks: { disconnect: did("address") },
      containers: { discard: async () => (order.push("record"), { deleted: Promise.resolve() }) },
      volumes: { remove: did("volume") },
    },
    hub: { get: () => ({ record: { name: "web", volumes: [{ name: "v", target: "/v", anonymous: true }] } }), monitor: () => ({ ended: did("monitor") }), untrack: () => undefined },
  } as unknown as Parameters<typeof removeContainer>[0];
  await removeContainer(work, id, true);
  expect(order).toEqual(["monitor", "record", "address", "volume"]);
});
