import { constants } from "node:os";
import { StackError } from "../core/index.ts";
import type { Context } from "./context.ts";

/** One process in a container with its streams, as `exec`, `run` and `attach` have it. */
export interface Session<End> {
  readonly ended: Promise<End>;
  onStdout(listener: (chunk: Buffer) => void): () => void;
  onStderr(listener: (chunk: Buffer) => void): () => void;
  write(data: Uint8Array): Promise<void>;
  end(): void;
  resize(rows: number, cols: number): void;
  signal(signal: number): void;
  pause(): void;
  resume(): void;
  close(): void;
}

export interface StreamOptions {
  readonly tty: boolean;
  readonly stdin: boolean;
  /** Signals that come to us go to the process. */
  readonly proxySignals: boolean;
  /** Bytes that detach; empty: none do. */
  readonly detachKeys: readonly number[];
}

/** The process runs on; we left. */
export const detached = Symbol("detached");

/**
 * Connects our streams with those of a process until it ends, or the detach keys are typed, or our output is gone.
 * With `tty` our terminal is raw meanwhile, and its size is the process's.
 */
export async function stream<End>(context: Context, session: Session<End>, options: StreamOptions): Promise<End | typeof detached> {
  const { stdin, stdout, stderr } = context;
  const raw = options.tty && stdin.isTTY;
  let leave: () => void = () => undefined;
  const left = new Promise<typeof detached>((resolve) => (leave = () => resolve(detached)));
  const pending = new Set<Promise<void>>();
  const forward = (sink: { write(data: Uint8Array): Promise<void> }) => (chunk: Buffer): void => {
    const written = sink.write(chunk);
    if (pending.size === 0) session.pause();
    pending.add(written);
    void written.finally(() => {
      pending.delete(written);
      if (pending.size === 0) session.resume();
    });
  };
  session.onStdout(forward(stdout));
  session.onStderr(forward(stderr));
  using _signals = context.interrupts.divert((signal) => {
    if (options.proxySignals) session.signal(constants.signals[signal]);
    else leave();
  });
  using _raw = raw ? rawMode(context) : undefined;
  if (raw) await context.doors.passOutputThrough();
  using _size = options.tty ? followSize(session) : undefined;
  using _input = options.stdin ? forwardInput(stdin, session, new DetachKeys(raw ? options.detachKeys : []), leave) : undefined;
  try {
    return await Promise.race([session.ended, left]);
  } finally {
    await Promise.all(pending);
    session.close();
  }
}

function rawMode({ stdin }: Context): Disposable {
  stdin.setRawMode(true);
  return {
    [Symbol.dispose]() {
      try {
        stdin.setRawMode(false);
      } catch {
        // The terminal has gone.
      }
    },
  };
}

/** Rows and columns of our terminal; undefined where there is none. */
export function terminalSize(): { readonly rows: number; readonly cols: number } | undefined {
  for (const output of [process.stdout, process.stderr]) {
    if (!output.isTTY) continue;
    const [cols, rows] = output.getWindowSize();
    if (cols > 0 && rows > 0) return { rows, cols };
  }
  return undefined;
}

function followSize(session: Pick<Session<unknown>, "resize">): Disposable {
  const resize = (): void => {
    const size = terminalSize();
    if (size !== undefined) session.resize(size.rows, size.cols);
  };
  resize();
  process.on("SIGWINCH", resize);
  return { [Symbol.dispose]: () => void process.off("SIGWINCH", resize) };
}

function forwardInput(stdin: NodeJS.ReadStream, session: Session<unknown>, keys: DetachKeys, detach: () => void): Disposable {
  const onData = (chunk: Buffer): void => {
    const { data, complete } = keys.push(chunk);
    if (data.length > 0) {
      stdin.pause();
      session.write(data).then(
        () => stdin.resume(),
        () => undefined,
      );
    }
    if (complete) detach();
  };
  const onEnd = (): void => session.end();
  stdin.on("data", onData);
  stdin.on("end", onEnd);
  stdin.on("error", onEnd);
  stdin.resume();
  return {
    [Symbol.dispose]() {
      stdin.off("data", onData);
      stdin.off("end", onEnd);
      stdin.off("error", onEnd);
      stdin.pause();
    },
  };
}

/** Holds back what may be the beginning of the detach keys; what turns out not to be goes through. */
export class DetachKeys {
  readonly #keys: readonly number[];
  #matched = 0;

  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  push(chunk: Uint8Array): { readonly data: Uint8Array; readonly complete: boolean } {
    if (this.#keys.length === 0) return { data: chunk, complete: false };
    const data: number[] = [];
    for (const byte of chunk) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched += 1;
        if (this.#matched === this.#keys.length) return { data: Uint8Array.from(data), complete: true };
        continue;
      }
      data.push(...this.#keys.slice(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) data.push(byte);
    }
    return { data: Uint8Array.from(data), complete: false };
  }
}

/** `ctrl-p,ctrl-q` → bytes, as Docker writes key sequences. */
export function parseDetachKeys(text: string): readonly number[] {
  return text.split(",").map((key) => {
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key);
    if (control !== null) return control[1] === "@" ? 0 : (control[1] ?? "").toUpperCase().charCodeAt(0) - 64;
    if (key.length === 1) return key.charCodeAt(0);
    throw new StackError("usage", `invalid detach keys "${text}"`, { hint: "For example ctrl-p,ctrl-q." });
  });
}
