import type { IncomingMessage } from "node:http";

/** How long a server is waited for. */
export interface Patience {
  /** Until its answer begins, from the request on; milliseconds. */
  readonly answerMs: number;
  /** So much waiting for bytes, milliseconds, */
  readonly windowMs: number;
  /** has to bring at least so many: a server that lets them trickle would keep us for ever otherwise. */
  readonly windowBytes: number;
}

/** One kilobyte a second: a hundredth of what the slowest link that one would pull an image by has. */
export const patience: Patience = { answerMs: 60_000, windowMs: 30_000, windowBytes: 30 << 10 };

/** What is read of an answer that nobody wants, so that its connection can be used again; beyond, the connection goes. */
const discardBytes = 64 << 10;

/** The server is there, and too slow to be waited for. */
export class SlowServerError extends Error {
  readonly code = "ETIMEDOUT";
}

/** The body of an answer, which has to keep coming; the time that our side takes to use it does not count. */
export class Body implements AsyncIterable<Buffer> {
  readonly #message: IncomingMessage;
  readonly #patience: Patience;

  constructor(message: IncomingMessage, patience: Patience) {
    this.#message = message;
    this.#patience = patience;
  }

  destroy(): void {
    this.#message.destroy();
  }

  /** Nobody wants it; returns at once. */
  discard(): void {
    const read = async (): Promise<void> => {
      let size = 0;
      for await (const chunk of this) {
        size += chunk.length;
        if (size > discardBytes) break;
      }
    };
    read().catch(() => undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    const { windowMs, windowBytes } = this.#patience;
    let left = windowMs;
    let bytes = 0;
    const chunks: AsyncIterator<Buffer, undefined> = (this.#message as AsyncIterable<Buffer, undefined>)[Symbol.asyncIterator]();
    const slow = (): void => {
      this.#message.destroy(new SlowServerError(`it sent ${bytes} bytes in ${windowMs / 1000} s`));
    };
    try {
      for (;;) {
        const began = performance.now();
        const timer = setTimeout(slow, left);
        const next = await chunks.next().finally(() => clearTimeout(timer));
        if (next.done === true) return;
        const chunk = next.value;
        left -= performance.now() - began;
        bytes += chunk.length;
        if (bytes >= windowBytes) [left, bytes] = [windowMs, 0];
        else left = Math.max(left, 1);
        yield chunk;
      }
    } finally {
      // Whoever breaks off wants no more of it, and its connection is of no use.
      await chunks.return?.();
    }
  }
}
