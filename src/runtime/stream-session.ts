import { EventSource } from "../core/index.ts";
import type { MonitorConnection } from "./connection.ts";
import type { ContainerState } from "./formats.ts";
import { encodeFrame, FrameReader, frameType, maxPayload } from "./frames.ts";

export interface ExitStatus {
  /** 128+n when a signal ended it. */
  readonly code: number;
  readonly signal: number;
}

/**
 * The streams of one `exec` or `attach`. Register `onStdout` and `onStderr` in the same turn in which the session
 * was received; output that came before is kept for the first listener.
 */
export class StreamSession<End> {
  readonly #connection: MonitorConnection;
  readonly #reader = new FrameReader();
  readonly #stdout = new EventSource<Buffer>();
  readonly #stderr = new EventSource<Buffer>();
  readonly #early: { readonly source: EventSource<Buffer>; readonly chunk: Buffer }[] = [];
  #listening = false;
  /** How it ended; rejects if the monitor went away before it said so. */
  readonly ended: Promise<End>;
  /** Process id on the host; 0 for `attach`. */
  readonly pid: number;

  constructor(connection: MonitorConnection, pid: number, parseEnd: (message: Readonly<Record<string, unknown>>) => End | undefined, lost: () => Error) {
    this.#connection = connection;
    this.pid = pid;
    this.ended = new Promise((resolve, reject) => {
      const fail = (error: unknown): void => {
        connection.destroy();
        reject(error instanceof Error ? error : lost());
      };
      connection.raw((chunk) => {
        try {
          for (const frame of this.#reader.push(chunk)) this.#take(frame, parseEnd, resolve);
        } catch (error) {
          fail(error);
        }
      });
      void connection.closed.then(() => {
        reject(lost());
      });
    });
    // Whoever does not look at the end (a client that only detaches) must not crash the process.
    this.ended.catch(() => undefined);
  }

  onStdout(listener: (chunk: Buffer) => void): () => void {
    return this.#listen(this.#stdout, listener);
  }

  onStderr(listener: (chunk: Buffer) => void): () => void {
    return this.#listen(this.#stderr, listener);
  }

  /** Standard input. Resolves when more may be written (back-pressure). */
  async write(data: Uint8Array): Promise<void> {
    let room = true;
    for (let at = 0; at < data.length; at += maxPayload)
      room = this.#connection.write(encodeFrame(frameType.stdin, data.subarray(at, at + maxPayload)));
    if (!room) await this.#connection.drained();
  }

  /** End of input. */
  end(): void {
    this.#connection.write(encodeFrame(frameType.stdin, new Uint8Array(0)));
  }

  resize(rows: number, cols: number): void {
    this.#control({ resize: { rows, cols } });
  }

  /** A signal number for the process. */
  signal(signal: number): void {
    this.#control({ signal });
  }

  /** Stops and goes on reading: the consumer of the output is slow. */
  pause(): void {
    this.#connection.pause();
  }

  resume(): void {
    this.#connection.resume();
  }

  /** Leaves; the process runs on. */
  close(): void {
    this.#connection.destroy();
  }

  #control(message: object): void {
    this.#connection.write(encodeFrame(frameType.control, Buffer.from(JSON.stringify(message))));
  }

  #listen(source: EventSource<Buffer>, listener: (chunk: Buffer) => void): () => void {
    const off = source.on(listener);
    if (!this.#listening) {
      this.#listening = true;
      queueMicrotask(() => {
        for (const { source: from, chunk } of this.#early.splice(0)) from.emit(chunk);
      });
    }
    return off;
  }

  #take(
    frame: { readonly type: number; readonly payload: Buffer },
    parseEnd: (message: Readonly<Record<string, unknown>>) => End | undefined,
    resolve: (end: End) => void,
  ): void {
    if (frame.type === frameType.control) {
      const message = JSON.parse(frame.payload.toString("utf8")) as Readonly<Record<string, unknown>>;
      const end = parseEnd(message);
      if (end === undefined) return;
      // After the output that is still waiting for its first listener.
      queueMicrotask(() => {
        resolve(end);
        this.#connection.destroy();
      });
      return;
    }
    const source = frame.type === frameType.stderr ? this.#stderr : this.#stdout;
    if (this.#early.length > 0 || !this.#listening) this.#early.push({ source, chunk: frame.payload });
    else source.emit(frame.payload);
  }
}

export type ExecSession = StreamSession<ExitStatus>;
export type AttachSession = StreamSession<ContainerState | undefined>;
