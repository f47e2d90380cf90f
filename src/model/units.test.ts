import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatDuration, parseBytes, parseDuration, splitCommand } from "./units.ts";

describe("durations", () => {
  it.each([
    ["10s", 10e9],
    ["1m30s", 90e9],
    ["1.5h", 5400e9],
    ["100ms", 100e6],
    ["1us", 1e3],
    ["1d", 86400e9],
    ["2w", 14 * 86400e9],
    ["0", 0],
    ["-1s", -1e9],
  ])("%s is %d ns", (text, ns) => {
    expect(parseDuration(text)).toBe(ns);
  });

  it.each(["", "10", "s", "1x", "1 s", "1s ", "ms", "1e3s", "--1s", "1y"])("%j is none", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it.each([
    [0, "0s"],
    [90e9, "1m30s"],
    [3600e9, "1h0m0s"],
    [1.5e9, "1.5s"],
    [1e8, "100ms"],
    [1500, "1.5µs"],
    [-5e9, "-5s"],
  ])("%d ns prints %s", (ns, text) => {
    expect(formatDuration(ns)).toBe(text);
  });

  it("reads what it prints", () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 1e15 }), (ns) => parseDuration(formatDuration(ns)) === ns));
  });
});

describe("sizes", () => {
  it.each([
    ["512", 512],
    ["64m", 64 * 2 ** 20],
    ["1.5gb", 1.5 * 2 ** 30],
    ["2GiB", 2 ** 31],
    ["10kb", 10240],
    ["1b", 1],
    ["1 k", 1024],
  ])("%s is %d bytes", (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each(["", "m", "5x", "-2", "1bb", "1kbb", "1.2.3m", "1ib"])("%j is none", (text) => {
    expect(parseBytes(text)).toBeUndefined();
  });
});

describe("command lines", () => {
  it.each<[string, readonly string[]]>([
    ["a b  c", ["a", "b", "c"]],
    [`a 'b  c' "d 'e'" f\\ g`, ["a", "b  c", "d 'e'", "f g"]],
    ["", []],
    [`a '' ""`, ["a", "", ""]],
    ["a $(b c) `d e`", ["a", "$(b c)", "`d e`"]],
  ])("%s is split as a shell's quotes say", (line, words) => {
    expect(splitCommand(line)).toEqual({ words });
  });

  it("says where it stops, since no shell reads on", () => {
    expect(splitCommand("a b && c")).toEqual({ words: ["a", "b"], stoppedAt: 4 });
    expect(splitCommand("a 2>x")).toEqual({ words: ["a"], stoppedAt: 3 });
  });

  it.each(["a 'b", 'a "b', "a \\", "a (b)", "$(a"])("%s has no end", (line) => {
    expect(splitCommand(line)).toBeUndefined();
  });
});
