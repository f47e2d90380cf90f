import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { linkSignals } from "./linked-signal.ts";

describe("a signal that is linked to others", () => {
  it("is aborted with the first of them, for its reason", () => {
    const [a, b] = [new AbortController(), new AbortController()];
    using linked = linkSignals([a.signal, b.signal]);
    expect(linked.signal.aborted).toBe(false);
    b.abort(new Error("b"));
    a.abort(new Error("a"));
    expect(linked.signal.reason).toEqual(new Error("b"));
  });

  it("is aborted from the start where one of them is", () => {
    using linked = linkSignals([new AbortController().signal, AbortSignal.abort("gone")]);
    expect(linked.signal.reason).toBe("gone");
  });

  it("leaves nothing behind in a source that outlives it", () => {
    const long = new AbortController();
    for (let i = 0; i < 3; i += 1) {
      using linked = linkSignals([long.signal, new AbortController().signal]);
      expect(getEventListeners(long.signal, "abort")).toHaveLength(1);
      expect(linked.signal.aborted).toBe(false);
    }
    expect(getEventListeners(long.signal, "abort")).toEqual([]);
  });
});
