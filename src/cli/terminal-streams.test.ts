import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { EventSource } from "../core/index.ts";
import { fakeContext } from "./fake-context.ts";
import { detached, DetachKeys, parseDetachKeys, stream } from "./terminal-streams.ts";
import type { Session } from "./terminal-streams.ts";

class FakeSession implements Session<number> {
  readonly stdout = new EventSource<Buffer>();
  readonly stderr = new EventSource<Buffer>();
  readonly input = new TextOf();
  readonly signals: number[] = [];
  finish: (code: number) => void = () => undefined;
  inputEnded: () => void = () => undefined;
  readonly ended = new Promise<number>((resolve) => (this.finish = resolve));
  readonly endOfInput = new Promise<void>((resolve) => (this.inputEnded = resolve));
  closed = false;
  onStdout = (l: (c: Buffer) => void): (() => void) => this.stdout.on(l);
  onStderr = (l: (c: Buffer) => void): (() => void) => this.stderr.on(l);
  write = (data: Uint8Array): Promise<void> => this.input.add(data);
  end = (): void => this.inputEnded();
  resize = (): void => undefined;
  signal = (signal: number): void => void this.signals.push(signal);
  pause = (): void => undefined;
  resume = (): void => undefined;
  close = (): void => void (this.closed = true);
}

class TextOf {
  text = "";
  add(data: Uint8Array): Promise<void> {
    this.text += Buffer.from(data).toString();
    return Promise.resolve();
  }
}

const options = { tty: false, stdin: true, proxySignals: true, detachKeys: [] };

describe("streams of a process in a container", () => {
  test("output, errors, input and the exit code go through; the end of input is told", async () => {
    const context = fakeContext();
    const session = new FakeSession();
    const ended = stream(context, session, options);
    session.stdout.emit(Buffer.from("out\n"));
    session.stderr.emit(Buffer.from("err\n"));
    (context.stdin as unknown as PassThrough).end("hello");
    await session.endOfInput;
    session.finish(7);
    expect(await ended).toBe(7);
    expect([context.out.text, context.err.text, session.input.text, session.closed]).toEqual(["out\n", "err\n", "hello", true]);
  });

  test("signals go to the process, and back to us when it has ended", async () => {
    const context = fakeContext();
    const session = new FakeSession();
    const ended = stream(context, session, options);
    context.interrupts.raise("SIGINT");
    context.interrupts.raise("SIGTERM");
    session.finish(130);
    await ended;
    expect(session.signals).toEqual([2, 15]);
    context.interrupts.raise("SIGINT");
    expect(context.interrupts.graceful.aborted).toBe(true);
  });

  test("without signal proxy the first signal detaches, and the process runs on", async () => {
    const context = fakeContext();
    const session = new FakeSession();
    const ended = stream(context, session, { ...options, proxySignals: false });
    context.interrupts.raise("SIGINT");
    expect(await ended).toBe(detached);
    expect(session.signals).toEqual([]);
  });

  test("a monitor that goes away is an error and not silence", async () => {
    const session = Object.assign(new FakeSession(), { ended: Promise.reject(new Error("the monitor went away")) });
    await expect(stream(fakeContext(), session, options)).rejects.toThrow("the monitor went away");
  });
});

describe("detach keys", () => {
  const keys = parseDetachKeys("ctrl-p,ctrl-q");
  const push = (...chunks: number[][]): { sent: number[]; complete: boolean } => {
    const detector = new DetachKeys(keys);
    const sent: number[] = [];
    let complete = false;
    for (const chunk of chunks) {
      const result = detector.push(Uint8Array.from(chunk));
      sent.push(...result.data);
      complete ||= result.complete;
    }
    return { sent, complete };
  };

  test.each<[string, number[][], { sent: number[]; complete: boolean }]>([
    ["in one piece", [[1, 16, 17]], { sent: [1], complete: true }],
    ["in two pieces", [[16], [17]], { sent: [], complete: true }],
    ["the first key alone is held back, then goes through", [[16], [65]], { sent: [16, 65], complete: false }],
    ["the first key twice", [[16, 16, 17]], { sent: [16], complete: true }],
  ])("%s", (_, chunks, expected) => {
    expect(push(...chunks)).toEqual(expected);
  });

  test.each([
    ["ctrl-p,ctrl-q", [16, 17]],
    ["a", [97]],
    ["ctrl-@", [0]],
    ["ctrl-[", [27]],
  ])("%s", (text, expected) => {
    expect(parseDetachKeys(text)).toEqual(expected);
  });

  test("nonsense is refused", () => {
    expect(() => parseDetachKeys("ctrl-F5")).toThrow("invalid detach keys");
  });
});
