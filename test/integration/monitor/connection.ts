import { closeSync, openSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import type { NativeFailure } from "../../../src/runtime/formats.ts";

export interface Frame {
  readonly type: number;
  readonly payload: Buffer;
}

/** A failed reply of the monitor. */
export class MonitorError extends Error {
  readonly failure: NativeFailure;
  constructor(failure: NativeFailure) {
    super(`${failure.stage}: ${failure.message}`);
    this.failure = failure;
  }
}

/** One connection on `monitor.sock`, spoken by hand so that the tests check the protocol itself. */
export class Connection {
  readonly #socket: Socket;
  #buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (part: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, part]);
      this.#wake?.();
    });
    for (const event of ["end", "error", "close"] as const)
      socket.on(event, () => {
        this.#ended = true;
        this.#wake?.();
      });
  }

  /** Data roots may be deeper than a socket's address is long: through the directory's descriptor. */
  static open(directory: string): Promise<Connection> {
    const fd = openSync(directory, "r");
    return new Promise((resolve, reject) => {
      const socket = connect({ path: `/proc/self/fd/${fd}/monitor.sock`, allowHalfOpen: true });
      socket.once("connect", () => {
        closeSync(fd);
        resolve(new Connection(socket));
      });
      socket.once("error", (error) => {
        reject(error);
      });
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  async #more(): Promise<boolean> {
    if (this.#ended) return false;
    await new Promise<void>((resolve) => (this.#wake = resolve));
    return true;
  }

  /** The next line; undefined when the monitor has closed. */
  async line<T>(): Promise<T | undefined> {
    for (;;) {
      const end = this.#buffer.indexOf(10);
      if (end >= 0) {
        const text = this.#buffer.subarray(0, end).toString();
        this.#buffer = this.#buffer.subarray(end + 1);
        return JSON.parse(text) as T;
      }
      if (!(await this.#more())) return undefined;
    }
  }

  write(value: object): void {
    this.#socket.write(`${JSON.stringify(value)}\n`);
  }

  async request<T = Record<string, unknown>>(op: string, fields: object = {}): Promise<T> {
    this.write({ v: 1, op, ...fields });
    const reply = await this.line<{ ok: boolean; error?: NativeFailure }>();
    if (reply === undefined) throw new Error(`the monitor closed the connection instead of answering ${op}`);
    if (!reply.ok) throw new MonitorError(reply.error as NativeFailure);
    return reply as T;
  }

  frame(type: number, payload: string | Buffer): void {
    const body = Buffer.from(payload);
    const header = Buffer.alloc(8);
    header[0] = type;
    header.writeUInt32BE(body.length, 4);
    this.#socket.write(Buffer.concat([header, body]));
  }

  async nextFrame(): Promise<Frame | undefined> {
    for (;;) {
      if (this.#buffer.length >= 8) {
        const length = this.#buffer.readUInt32BE(4);
        if (this.#buffer.length >= 8 + length) {
          const frame = { type: this.#buffer[0] ?? 0, payload: this.#buffer.subarray(8, 8 + length) };
          this.#buffer = this.#buffer.subarray(8 + length);
          return frame;
        }
      }
      if (!(await this.#more())) return undefined;
    }
  }

  /** Everything until the last frame: the two streams, and the last control frame. */
  async streams(): Promise<{ readonly stdout: string; readonly stderr: string; readonly last: Record<string, unknown> | undefined }> {
    const text = ["", "", ""];
    let last: Record<string, unknown> | undefined;
    for (let frame = await this.nextFrame(); frame !== undefined; frame = await this.nextFrame()) {
      if (frame.type === 3) last = JSON.parse(frame.payload.toString()) as Record<string, unknown>;
      else text[frame.type] = `${text[frame.type] ?? ""}${frame.payload.toString()}`;
    }
    return { stdout: text[1] ?? "", stderr: text[2] ?? "", last };
  }

  /** Output until it contains `wanted`. */
  async untilOutput(wanted: string, stream = 1): Promise<string> {
    let text = "";
    while (!text.includes(wanted)) {
      const frame = await this.nextFrame();
      if (frame === undefined) throw new Error(`the stream ended before ${JSON.stringify(wanted)}: ${JSON.stringify(text)}`);
      if (frame.type === stream) text += frame.payload.toString();
    }
    return text;
  }

  /** No more requests; what comes is still read. */
  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.destroy();
  }
}
