import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MonitorWorld } from "./monitor/container.ts";
import type { TestContainer } from "./monitor/container.ts";

let world: MonitorWorld;
beforeEach(() => {
  world = new MonitorWorld();
});
afterEach(() => world.dispose());

async function ended(script: string, log: object = {}): Promise<TestContainer> {
  const container = world.container({ args: ["sh", "-c", script], spec: { log } });
  await container.started();
  await container.untilExited();
  return container;
}

describe("json-file", () => {
  test("a line without its newline is kept as it was", async () => {
    const container = await ended("printf 'a\\nb'");
    expect(container.log().map((line) => line.log)).toEqual(["a\n", "b"]);
  });

  test("long lines are cut at 16 KiB, and only the last piece has the newline", async () => {
    const container = await ended("yes | head -c 39998 | while read x; do printf xx; done; echo");
    const pieces = container.log().map((line) => line.log);
    expect(pieces.map((piece) => piece.length)).toEqual([16384, 16384, pieces[2]?.length]);
    expect(pieces.slice(0, 2).every((piece) => !piece.includes("\n"))).toBe(true);
    expect(pieces.join("")).toBe(`${"x".repeat(39998)}\n`);
  });

  test("characters are not cut in two, and bytes that are none are replaced", async () => {
    const container = await ended("i=0; printf x; while [ $i -lt 9000 ]; do printf '\\303\\244'; i=$((i+1)); done; echo; printf '\\377\\n'");
    const pieces = container.log().map((line) => line.log);
    expect(pieces.slice(0, -1).join("")).toBe(`x${"ä".repeat(9000)}\n`);
    expect(pieces.at(-1)).toBe("\u{fffd}\n");
  });

  test("control characters, quotes and markup are escaped as Docker does", async () => {
    const container = await ended("printf '\\001\\t\"\\\\<&>\\r\\n'");
    const text = readFileSync(join(container.directory, "log/container.log"), "utf8");
    expect(text).toContain('{"log":"\\u0001\\u0009\\"\\\\\\u003c\\u0026\\u003e\\r\\n","stream":"stdout","time":"');
    expect(container.text()).toBe('\u0001\t"\\<&>\r\n');
  });

  test("attributes are on every line", async () => {
    const container = await ended("echo x", { attributes: { team: 'a"b' } });
    expect(container.log()[0]).toMatchObject({ log: "x\n", attrs: { team: 'a"b' } });
  });

  test("files are rotated at their size, and no line is lost or torn", async () => {
    const container = await ended("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; done", { maxSize: 60_000, maxFiles: 8 });
    const suffixes = [".7", ".6", ".5", ".4", ".3", ".2", ".1", ""].filter((suffix) => existsSync(join(container.directory, `log/container.log${suffix}`)));
    expect(suffixes.length).toBeGreaterThan(3);
    const numbers = suffixes.flatMap((suffix) => container.log(suffix).map((line) => Number(line.log)));
    expect(numbers).toEqual(Array.from({ length: 3000 }, (_, i) => i + 1));
    for (const suffix of suffixes) expect(statSync(join(container.directory, `log/container.log${suffix}`)).size).toBeLessThanOrEqual(60_000);
  });

  test("no more files than allowed are kept; one alone starts anew", async () => {
    const two = await ended("seq 2000", { maxSize: 20_000, maxFiles: 2 });
    expect(existsSync(join(two.directory, "log/container.log.1"))).toBe(true);
    expect(existsSync(join(two.directory, "log/container.log.2"))).toBe(false);
    expect(two.log().at(-1)?.log).toBe("2000\n");
    const one = await ended("seq 2000", { maxSize: 20_000, maxFiles: 1 });
    expect(existsSync(join(one.directory, "log/container.log.1"))).toBe(false);
    expect(one.log().at(-1)?.log).toBe("2000\n");
  });

  test("a restart goes on in the same file", async () => {
    const container = world.container({ args: ["sh", "-c", "echo run; exit 1"], spec: { restart: { policy: "on-failure", maxAttempts: 2, delayMs: 1 } } });
    await container.started();
    await container.untilExited();
    expect(container.text()).toBe("run\nrun\nrun\n");
  });
});

test("none keeps nothing", async () => {
  const container = await ended("seq 100000", { driver: "none" });
  expect(existsSync(join(container.directory, "log/container.log"))).toBe(false);
});

test("in non-blocking mode a slow log does not hold the container up, and what was dropped is told", async () => {
  const container = await ended("seq 200000; echo end", { mode: "non-blocking", bufferSize: 65536 });
  const numbers = container.log().map((line) => Number(line.log)).filter((n) => !Number.isNaN(n));
  expect(numbers.every((n, i) => i === 0 || n > (numbers[i - 1] ?? 0))).toBe(true);
  const dropped = container.events.filter((event) => event.type === "log-dropped").at(-1)?.["bytes"] ?? 0;
  const kept = container.text().length;
  expect(Number(dropped)).toBeGreaterThan(0);
  expect(kept + Number(dropped)).toBe(Array.from({ length: 200000 }, (_, i) => String(i + 1).length + 1).reduce((a, b) => a + b) + 4);
});
