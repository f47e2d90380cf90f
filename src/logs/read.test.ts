import { appendFile, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LogMerge, parseTime, readLog } from "./index.ts";
import type { LogEntry, ReadOptions } from "./index.ts";

let directory: string;
let log: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "stack-logs-"));
  await mkdir(join(directory, "log"));
  log = join(directory, "log", "container.log");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const start = Date.parse("2026-01-01T00:00:00Z");
const record = (text: string, second = 0, stream = "stdout"): string =>
  `${JSON.stringify({ log: text, stream, time: new Date(start + second * 1000).toISOString().replace("Z", "123456Z") })}\n`;
const numbered = (from: number, to: number): string => Array.from({ length: to - from }, (_, i) => record(`line ${from + i}\n`, from + i)).join("");

async function all(options: Partial<ReadOptions> = {}): Promise<LogEntry[]> {
  const entries: LogEntry[] = [];
  for await (const batch of readLog(log, { signal: new AbortController().signal, ...options })) entries.push(...batch);
  return entries;
}
const texts = async (options: Partial<ReadOptions> = {}): Promise<string[]> => (await all(options)).map((e) => e.text);

describe("reading", () => {
  test("a container that never wrote has no lines, even without its directory", async () => {
    expect(await texts()).toEqual([]);
    await rm(join(directory, "log"), { recursive: true });
    expect(await texts()).toEqual([]);
  });

  test("rotated files come first, oldest first, and foreign files are left alone", async () => {
    await writeFile(`${log}.10`, numbered(0, 2));
    await writeFile(`${log}.2`, numbered(2, 4));
    await writeFile(`${log}.1`, numbered(4, 6));
    await writeFile(log, numbered(6, 8));
    await writeFile(`${log}.bak`, numbered(90, 91));
    expect(await texts()).toEqual(["line 0", "line 1", "line 2", "line 3", "line 4", "line 5", "line 6", "line 7"]);
  });

  test("parts of a long line are put together, each stream on its own", async () => {
    await writeFile(log, record("a".repeat(16_384)) + record("err\n", 1, "stderr") + record("b\n", 2) + record("no newline", 3));
    const entries = await all();
    expect(entries.map((e) => [e.stream, e.text.length, e.complete])).toEqual([
      ["stderr", 3, true],
      ["stdout", 16_385, true],
      ["stdout", 10, false],
    ]);
    expect(entries[1]!.time).toBe("2026-01-01T00:00:00.000123456Z");
  });

  test("what is no record is skipped and told, never fatal", async () => {
    const damaged: string[] = [];
    const hostile = ["not json", '{"log":1,"stream":"stdout","time":"2026-01-01T00:00:00Z"}', "[]", "null", '{"log":"x\\n","stream":"stdout","time":"never"}', "\x00\xff".repeat(10)];
    await writeFile(log, hostile.map((l) => `${l}\n`).join("") + record("good\n") + '{"log":"cut off');
    expect(await texts({ onDamaged: (line) => damaged.push(line) })).toEqual(["good"]);
    expect(damaged).toHaveLength(hostile.length);
  });

  test("control characters arrive as they were written", async () => {
    await writeFile(log, record("\x1b[31mred\x1b[0m\r\n"));
    expect(await texts()).toEqual(["\x1b[31mred\x1b[0m\r"]);
  });

  test("a record that never ends costs no memory and hides nothing after it", async () => {
    await writeFile(log, `${"x".repeat(9 * 1024 * 1024)}\n${record("after\n")}`);
    expect(await texts()).toEqual(["after"]);
  });
});

describe("tail, since and until", () => {
  test.each([
    [0, []],
    [1, ["line 7"]],
    [3, ["line 5", "line 6", "line 7"]],
    [5, ["line 3", "line 4", "line 5", "line 6", "line 7"]],
    [99, ["line 0", "line 1", "line 2", "line 3", "line 4", "line 5", "line 6", "line 7"]],
  ])("the last %i lines, across rotated files", async (tail, expected) => {
    await writeFile(`${log}.1`, numbered(0, 5));
    await writeFile(log, numbered(5, 8));
    expect(await texts({ tail })).toEqual(expected);
  });

  test("the tail counts lines, not records, and an unfinished one as well", async () => {
    await writeFile(log, record("one\n") + record("t") + record("w") + record("o\n") + record("thr"));
    expect(await texts({ tail: 1 })).toEqual(["thr"]);
    expect(await texts({ tail: 2 })).toEqual(["two", "thr"]);
  });

  test("the tail of a big file is found from its end: what is before it is not even looked at", async () => {
    await writeFile(log, "damaged\n".repeat(100_000) + numbered(0, 6000));
    const damaged: string[] = [];
    const onDamaged = (line: string): void => void damaged.push(line);
    expect(await texts({ tail: 2, onDamaged })).toEqual(["line 5998", "line 5999"]);
    expect((await texts({ tail: 5000, onDamaged }))[0]).toBe("line 1000");
    expect(damaged).toEqual([]);
  });

  test("since and until keep both ends, to the microsecond", async () => {
    await writeFile(log, numbered(0, 8));
    const at = (second: number): number => (start + second * 1000) * 1000 + 123;
    expect(await texts({ since: at(2), until: at(4) })).toEqual(["line 2", "line 3", "line 4"]);
    expect(await texts({ since: at(2) + 1, until: at(4) - 1 })).toEqual(["line 3"]);
    expect(await texts({ since: at(9) })).toEqual([]);
  });
});

describe("following", () => {
  /** Hands out lines as they come; `next(n)` waits for n more. */
  function follow(options: Partial<ReadOptions> = {}): { next(n: number): Promise<string[]>; rest(): Promise<string[]>; ended: AbortController; stop: AbortController } {
    const ended = new AbortController();
    const stop = new AbortController();
    const lines = (async function* () {
      for await (const batch of readLog(log, { follow: true, ended: ended.signal, signal: stop.signal, ...options })) for (const e of batch) yield e.text;
    })();
    return {
      ended,
      stop,
      async next(n) {
        const taken: string[] = [];
        while (taken.length < n) {
          const { value, done } = await lines.next();
          if (done === true) break;
          taken.push(value);
        }
        return taken;
      },
      async rest() {
        const taken: string[] = [];
        for await (const line of lines) taken.push(line);
        return taken;
      },
    };
  }

  test("lines arrive as they are written, half written ones when they are whole", async () => {
    await writeFile(log, numbered(0, 1));
    const reader = follow();
    expect(await reader.next(1)).toEqual(["line 0"]);
    const line = record("late\n");
    await appendFile(log, line.slice(0, 20));
    await appendFile(log, line.slice(20));
    expect(await reader.next(1)).toEqual(["late"]);
    reader.ended.abort();
    expect(await reader.rest()).toEqual([]);
  });

  test("nothing is lost or doubled when the log is rotated, even twice between two looks", async () => {
    await writeFile(log, numbered(0, 2));
    const reader = follow();
    expect(await reader.next(2)).toEqual(["line 0", "line 1"]);
    await appendFile(log, numbered(2, 3));
    await rename(log, `${log}.1`);
    await writeFile(log, numbered(3, 4));
    await rename(`${log}.1`, `${log}.2`);
    await rename(log, `${log}.1`);
    await writeFile(log, numbered(4, 6));
    expect(await reader.next(4)).toEqual(["line 2", "line 3", "line 4", "line 5"]);
    reader.ended.abort();
    expect(await reader.rest()).toEqual([]);
  });

  test("a log that is not there yet is waited for, and so is its directory", async () => {
    await rm(join(directory, "log"), { recursive: true });
    const reader = follow();
    const first = reader.next(1);
    await mkdir(join(directory, "log"));
    await writeFile(log, numbered(0, 1));
    expect(await first).toEqual(["line 0"]);
    reader.stop.abort();
    expect(await reader.rest()).toEqual([]);
  });

  test("the end of the container ends reading after the last line", async () => {
    await writeFile(log, numbered(0, 3));
    const reader = follow();
    reader.ended.abort();
    expect(await reader.rest()).toEqual(["line 0", "line 1", "line 2"]);
  });

  test("a file that was cut off is read from its start", async () => {
    await writeFile(log, numbered(0, 5));
    const reader = follow();
    await reader.next(5);
    await writeFile(log, numbered(7, 8));
    expect(await reader.next(1)).toEqual(["line 7"]);
    reader.stop.abort();
  });
});

describe("merging", () => {
  const entry = (text: string, at: number): LogEntry => ({ stream: "stdout", time: "", at, text, complete: true });
  async function* batches(...all: LogEntry[][]): AsyncGenerator<readonly LogEntry[]> {
    yield* all;
  }

  test("several logs come in the order of time", async () => {
    const merge = new LogMerge<string>();
    merge.add("a", () => batches([entry("1", 1), entry("4", 4)], [entry("5", 5)]));
    merge.add("b", () => batches([entry("2", 2)], [entry("3", 3), entry("6", 6)]));
    merge.add("c", () => batches());
    merge.close();
    const got: string[] = [];
    for await (const batch of merge) got.push(...batch.map((m) => m.source + m.entry.text));
    expect(got).toEqual(["a1", "b2", "b3", "a4", "a5", "b6"]);
  });

  test("a log that has been read to its end does not delay the others", async () => {
    const merge = new LogMerge<string>();
    let release: () => void = () => undefined;
    merge.add("quiet", async function* (caughtUp) {
      caughtUp();
      await new Promise<void>((resolve) => (release = resolve));
      yield [entry("late", 1)];
    });
    merge.add("busy", () => batches([entry("now", 9)]));
    const output = merge[Symbol.asyncIterator]();
    expect((await output.next()).value).toMatchObject([{ source: "busy" }]);
    release();
    expect((await output.next()).value).toMatchObject([{ source: "quiet" }]);
    merge.close();
    expect((await output.next()).done).toBe(true);
  });

  test("a log that fails ends the merge with its error", async () => {
    const merge = new LogMerge<string>();
    merge.add("broken", async function* () {
      throw new Error("no disk");
    });
    await expect(merge[Symbol.asyncIterator]().next()).rejects.toThrow("no disk");
  });
});

test.each([
  ["2026-01-01T00:00:00Z", start * 1000],
  ["2026-01-01T00:00:00.000001999Z", start * 1000 + 1],
  ["2026-01-01T01:00:00.5+01:00", start * 1000 + 500_000],
  ["2026-01-01T00:00", start * 1000],
  ["yesterday", undefined],
  ["2026-13-01T00:00:00Z", undefined],
])("time %s", (text, expected) => {
  expect(parseTime(text)).toBe(expected);
});
