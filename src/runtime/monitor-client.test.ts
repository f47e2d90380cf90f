import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseHostPath } from "../core/index.ts";
import type { DataRoot } from "../core/index.ts";
import { loadNative } from "../native/index.ts";
import { id } from "./fixtures.ts";
import { encodeFrame, FrameReader, frameType } from "./frames.ts";
import { MonitorClient } from "./monitor-client.ts";

/** A monitor that says what the test wants: each connection goes to `serve` with its first line. */
class FakeMonitor {
  readonly #server: Server;
  readonly requests: unknown[] = [];
  serve: (socket: Socket, request: Record<string, unknown>) => void = () => undefined;

  constructor() {
    this.#server = createServer((socket) => {
      let text = "";
      const first = (chunk: Buffer): void => {
        text += chunk.toString("latin1");
        const end = text.indexOf("\n");
        if (end < 0) return;
        socket.off("data", first);
        const request = JSON.parse(text.slice(0, end)) as Record<string, unknown>;
        this.requests.push(request);
        this.serve(socket, request);
        const rest = text.slice(end + 1);
        if (rest !== "") socket.emit("data", Buffer.from(rest, "latin1"));
      };
      socket.on("data", first);
      socket.on("error", () => undefined);
    });
  }

  listen(fd: number): Promise<void> {
    return new Promise((resolve) => this.#server.listen({ fd }, resolve));
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}

const native = loadNative();
let directory = "";
let root: DataRoot;
let monitor: FakeMonitor;
let client: MonitorClient;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "stack-monitor-"));
  // Longer than the 107 bytes that a socket's address holds.
  root = { root: parseHostPath(join(directory, "d".repeat(60)))! };
  client = new MonitorClient(native, root, id);
  await mkdir(client.directory, { recursive: true });
  monitor = new FakeMonitor();
  await monitor.listen(native.listenUnix(join(client.directory, "monitor.sock"), 16));
});

afterEach(async () => {
  await monitor.close();
  await rm(directory, { recursive: true });
});

const line = (message: object): string => `${JSON.stringify(message)}\n`;
const state = { status: "running", pid: 7 };
const exit = (code: number, signal = 0): Buffer => encodeFrame(frameType.control, Buffer.from(JSON.stringify({ exit: { code, signal } })));
const text = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString();

describe("requests", () => {
  it("are one line each, with the version, and give the reply's members", async () => {
    monitor.serve = (socket) => socket.end(line({ ok: true, state, ignored: true }));
    expect(await client.stop({ graceMs: 50, by: "stop" })).toEqual({ state, ignored: true, killed: false });
    expect(await client.state()).toEqual(state);
    await client.kill(9, true);
    expect(monitor.requests).toEqual([{ v: 1, op: "stop", graceMs: 50, by: "stop" }, { v: 1, op: "state" }, { v: 1, op: "kill", signal: 9, all: true }]);
  });

  it("fail with what the native side said", async () => {
    monitor.serve = (socket) => socket.end(line({ ok: false, error: { stage: "exec", call: "execve", errno: 2, path: "/nope", message: "No such file or directory" } }));
    await expect(client.execDetached({ args: ["/nope"] })).rejects.toMatchObject({
      code: "command-not-found",
      exitStatus: 127,
      message: "exec of container 0123456789ab: exec: execve /nope: No such file or directory",
      failure: { stage: "exec", errno: 2 },
    });
  });

  it("say where no monitor runs; there is nothing to stop then", async () => {
    const nobody = new MonitorClient(native, { root: parseHostPath(join(directory, "other"))! }, id);
    await expect(nobody.state()).rejects.toMatchObject({ code: "container-not-running" });
    expect(await nobody.stop()).toBeUndefined();
    expect(await nobody.wait()).toBeUndefined();
  });

  it("end when the monitor goes away without an answer, or talks nonsense", async () => {
    monitor.serve = (socket) => socket.end();
    await expect(client.pause()).rejects.toMatchObject({ code: "container-not-running" });
    monitor.serve = (socket) => socket.end("nonsense\n");
    await expect(client.pause()).rejects.toMatchObject({ code: "internal" });
  });

  it("can be given up", async () => {
    const aborted = new AbortController();
    monitor.serve = () => aborted.abort();
    await expect(client.wait(aborted.signal)).rejects.toMatchObject({ code: "cancelled" });
  });

  it("ended: who gives up leaves nobody behind that waits", async () => {
    const lock = join(client.directory, "lock");
    const held = native.lock(lock, "exclusive", false);
    const patience = new AbortController();
    const waiting = client.ended(patience.signal);
    patience.abort();
    await expect(waiting).rejects.toThrow();
    native.close(held);
    const again = native.lock(lock, "exclusive", false);
    expect(again).toBeGreaterThan(-1);
    native.close(again);
    await client.ended();
  });

  it("wait: of who has ended already reads the record", async () => {
    await monitor.close();
    await writeFile(join(client.directory, "state.json"), JSON.stringify({ version: 1, status: "exited", exitCode: 3 }));
    expect(await client.wait()).toMatchObject({ exitCode: 3 });
    monitor = new FakeMonitor();
  });
});

describe("subscribe", () => {
  it("hands on every change, also those that came with the reply, until the monitor ends", async () => {
    monitor.serve = (socket) => {
      socket.write(line({ ok: true, state }) + line({ event: "state", state: { status: "paused" } }).slice(0, 5));
      setImmediate(() => socket.end(line({ event: "state", state: { status: "paused" } }).slice(5) + line({ event: "state", state: { status: "exited" } })));
    };
    const seen: string[] = [];
    const subscription = await client.subscribe("agent", (next) => seen.push(next.status));
    expect(subscription.state).toEqual(state);
    await subscription.closed;
    expect(seen).toEqual(["paused", "exited"]);
    expect(monitor.requests).toEqual([{ v: 1, op: "subscribe", role: "agent" }]);
  });

  it("leaves with a good-bye", async () => {
    const farewell = new Promise<string>((resolve) => {
      monitor.serve = (socket) => {
        socket.on("data", (chunk: Buffer) => resolve(chunk.toString()));
        socket.on("end", () => socket.end());
        socket.write(line({ ok: true, state }));
      };
    });
    const subscription = await client.subscribe("agent", () => undefined);
    subscription.close();
    expect(await farewell).toBe('{"bye":true}\n');
    await subscription.closed;
  });
});

describe("exec", () => {
  it("streams both ways and ends with the exit code", async () => {
    const received: { type: number; text: string }[] = [];
    monitor.serve = (socket) => {
      const reader = new FrameReader();
      socket.on("data", (chunk: Buffer) => {
        for (const frame of reader.push(chunk)) {
          received.push({ type: frame.type, text: frame.payload.toString() });
          if (frame.type === frameType.stdin && frame.payload.length === 0) socket.end(Buffer.concat([encodeFrame(1, Buffer.from("late")), exit(137, 9)]));
        }
      });
      // Reply, first frame and half of the next in one write: a client may not lose a byte of it.
      const early = encodeFrame(2, Buffer.from("err"));
      socket.write(Buffer.concat([Buffer.from(line({ ok: true, pid: 42 })), encodeFrame(1, Buffer.from("early ")), early.subarray(0, 9)]));
      setImmediate(() => socket.write(early.subarray(9)));
    };
    const session = await client.exec({ args: ["cat"], tty: false, stdin: true });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    session.onStdout((chunk) => out.push(chunk));
    session.onStderr((chunk) => err.push(chunk));
    await session.write(Buffer.from("hello"));
    session.resize(24, 80);
    session.signal(15);
    session.end();
    expect(await session.ended).toEqual({ code: 137, signal: 9 });
    expect(session.pid).toBe(42);
    expect([text(out), text(err)]).toEqual(["early late", "err"]);
    expect(received).toEqual([
      { type: 0, text: "hello" },
      { type: 3, text: '{"resize":{"rows":24,"cols":80}}' },
      { type: 3, text: '{"signal":15}' },
      { type: 0, text: "" },
    ]);
  });

  it("cuts long input into frames", async () => {
    const sizes: number[] = [];
    monitor.serve = (socket) => {
      const reader = new FrameReader();
      socket.on("data", (chunk: Buffer) => {
        for (const frame of reader.push(chunk)) {
          sizes.push(frame.payload.length);
          if (frame.payload.length === 0) socket.end(exit(0));
        }
      });
      socket.write(line({ ok: true, pid: 1 }));
    };
    const session = await client.exec({ args: ["cat"], stdin: true });
    await session.write(Buffer.alloc(150_000));
    session.end();
    await session.ended;
    expect(sizes).toEqual([65536, 65536, 18928, 0]);
  });

  it("ends with an error when the monitor goes before the process has ended, or sends no frames", async () => {
    monitor.serve = (socket) => socket.end(Buffer.concat([Buffer.from(line({ ok: true, pid: 1 })), encodeFrame(1, Buffer.from("x"))]));
    await expect((await client.exec({ args: ["x"] })).ended).rejects.toMatchObject({ code: "container-not-running" });
    monitor.serve = (socket) => socket.end(`${line({ ok: true, pid: 1 })}garbage that is no frame`);
    await expect((await client.exec({ args: ["x"] })).ended).rejects.toThrow("not a frame");
  });

  it("captured gives output, code and whether its time was over", async () => {
    monitor.serve = (socket) => socket.end(line({ ok: true, exitCode: 1, signal: 0, timedOut: true, output: "no\n" }));
    expect(await client.execCapture({ args: ["probe"], timeoutMs: 10, capture: 4096 })).toEqual({ exitCode: 1, signal: 0, timedOut: true, output: "no\n" });
    expect(monitor.requests).toEqual([{ v: 1, op: "exec", args: ["probe"], timeoutMs: 10, tty: false, stdin: false, capture: 4096 }]);
  });
});

describe("attach", () => {
  it("ends with the container's last state", async () => {
    monitor.serve = (socket) => socket.end(Buffer.concat([Buffer.from(line({ ok: true })), encodeFrame(1, Buffer.from("hi")), encodeFrame(3, Buffer.from(JSON.stringify({ state: { status: "exited", exitCode: 2 } })))]));
    const session = await client.attach({ stdin: false, stdout: true, stderr: true });
    const out: Buffer[] = [];
    session.onStdout((chunk) => out.push(chunk));
    expect(await session.ended).toMatchObject({ exitCode: 2 });
    expect(text(out)).toBe("hi");
  });
});
