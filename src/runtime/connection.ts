import { Socket } from "node:net";
import { StackError } from "../core/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { parseFailure, RuntimeFailure } from "./failure.ts";

/** A reply line of the monitor after `ok` was looked at. */
export type Reply = Readonly<Record<string, unknown>>;

/** Longest reply or event line; a monitor's state is a few KiB, an exec's captured output is limited by its request. */
const maxLine = 16 * 1024 * 1024;

/** Is the monitor's socket gone, or is nobody behind it? */
export function monitorGone(error: unknown): boolean {
  return error instanceof StackError && error.code === "container-not-running";
}

/**
 * One connection to a monitor: lines first, then, for `exec` and `attach`, raw bytes.
 * Ends with the first fault; whoever waits for a line gets it as an error.
 */
export class MonitorConnection {
  readonly #socket: Socket;
  readonly #what: string;
  readonly #waiting: { resolve: (line: string) => void; reject: (error: Error) => void }[] = [];
  readonly closed: Promise<void>;
  /** Process id of whoever listened on the socket. */
  readonly peer: number;
  #buffer: Buffer = Buffer.alloc(0);
  #raw: ((chunk: Buffer) => void) | undefined;
  #failure: Error | undefined;

  constructor(native: Pick<NativeBinding, "connectUnix" | "peerCredentials">, path: string, what: string) {
    this.#what = what;
    let fd: number;
    try {
      fd = native.connectUnix(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== undefined && !["ENOENT", "ENOTDIR", "ECONNREFUSED", "ECONNRESET"].includes(code)) throw new RuntimeFailure(what, parseFailure(error));
      throw gone(what, error);
    }
    this.peer = native.peerCredentials(fd).pid;
    this.#socket = new Socket({ fd, readable: true, writable: true });
    this.#socket.on("data", (chunk: Buffer) => {
      this.#receive(chunk);
    });
    this.#socket.on("error", (error) => {
      this.#fail(error);
    });
    this.closed = new Promise((resolve) => {
      this.#socket.once("close", () => {
        this.#fail(gone(what));
        resolve();
      });
    });
  }

  /** Sends a request and waits for its reply; throws RuntimeFailure if that says so. */
  async request(request: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<Reply> {
    signal?.throwIfAborted();
    const abort = (): void => {
      this.destroy(new StackError("cancelled", `Cancelled: ${this.#what}`));
    };
    signal?.addEventListener("abort", abort, { once: true });
    try {
      this.write(`${JSON.stringify({ v: 1, ...request })}\n`);
      const reply = await this.readLine();
      if (reply["ok"] !== true) throw new RuntimeFailure(this.#what, parseFailure(reply["error"]));
      return reply;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  async readLine(): Promise<Reply> {
    const line = await this.#nextLine();
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw new StackError("internal", `${this.#what}: the monitor sent a line that is not JSON`, { cause: error });
    }
    return typeof value === "object" && value !== null ? (value as Reply) : {};
  }

  #nextLine(): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#cut();
      if (this.#failure !== undefined) this.#fail(this.#failure);
    });
  }

  /** From here on everything goes to `onData`, what has come already first. */
  raw(onData: (chunk: Buffer) => void): void {
    this.#raw = onData;
    const rest = this.#buffer;
    this.#buffer = Buffer.alloc(0);
    if (rest.length > 0) onData(rest);
  }

  /** False: wait for `drained` before writing more. */
  write(data: string | Uint8Array): boolean {
    return this.#socket.destroyed ? true : this.#socket.write(data);
  }

  drained(): Promise<void> {
    if (this.#socket.destroyed || !this.#socket.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#socket.off("drain", done);
        this.#socket.off("close", done);
        resolve();
      };
      this.#socket.on("drain", done);
      this.#socket.on("close", done);
    });
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Sends what is left and closes. */
  end(): void {
    this.#socket.end();
  }

  destroy(error?: Error): void {
    if (error !== undefined) this.#fail(error);
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    if (this.#raw !== undefined) {
      this.#raw(chunk);
      return;
    }
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    this.#cut();
    if (this.#buffer.length > maxLine) this.destroy(new StackError("internal", `${this.#what}: the monitor sent a line of more than ${maxLine} bytes`));
  }

  /** Lines are cut only for who waits for one: the reader of a line may switch to raw bytes after it. */
  #cut(): void {
    for (let end = this.#buffer.indexOf(10); end >= 0; end = this.#buffer.indexOf(10)) {
      const waiting = this.#waiting.shift();
      if (waiting === undefined) return;
      const line = this.#buffer.toString("utf8", 0, end);
      this.#buffer = this.#buffer.subarray(end + 1);
      waiting.resolve(line);
    }
  }

  /** Hands on every line until the connection ends. */
  async eachLine(onLine: (line: Reply) => void): Promise<void> {
    try {
      for (;;) onLine(await this.readLine());
    } catch (error) {
      if (!monitorGone(error)) throw error;
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure);
  }
}

function gone(what: string, cause?: unknown): StackError {
  return new StackError("container-not-running", `${what}: its monitor does not run`, {
    hint: "Start the container first.",
    ...(cause === undefined ? {} : { cause }),
  });
}
