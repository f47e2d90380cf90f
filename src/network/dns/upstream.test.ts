import { expect, it } from "vitest";
import { askUdp } from "./upstream.ts";

it("goes on to the next server at once where this one cannot even be connected to", async () => {
  // The kernel refuses a broadcast address at connect, as it does an address without a route.
  const options = { timeoutMs: 60_000, rounds: 1, port: 53 };
  const question = { name: "example.org", type: 1, class: 1, end: 12 };
  expect(await askUdp("255.255.255.255", Buffer.alloc(12), question, options, new AbortController().signal)).toBeUndefined();
});
