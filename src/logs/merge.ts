import type { LogEntry } from "./types.ts";

export interface Merged<S> {
  readonly source: S;
  readonly entry: LogEntry;
}

interface Head<S> {
  readonly source: S;
  readonly batches: AsyncIterator<readonly LogEntry[]>;
  batch: readonly LogEntry[];
  at: number;
  asking: boolean;
  caughtUp: boolean;
  done: boolean;
}

/**
 * Several logs as one: what was there is merged by time, what comes later is handed on as it comes.
 * Logs may join at any time. Holds one batch of each.
 */
export class LogMerge<S> {
  readonly #heads = new Set<Head<S>>();
  #open = true;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  /** The returned function tells that the log has been read up to its present end: it delays the others no longer. */
  add(source: S, open: (caughtUp: () => void) => AsyncIterable<readonly LogEntry[]>): void {
    const caughtUp = (): void => {
      head.caughtUp = true;
      this.#wake();
    };
    const head: Head<S> = { source, batches: open(caughtUp)[Symbol.asyncIterator](), batch: [], at: 0, asking: false, caughtUp: false, done: false };
    this.#heads.add(head);
    this.#wake();
  }

  /** No log joins any more: ends when those that are here have ended. */
  close(): void {
    this.#open = false;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Merged<S>[]> {
    try {
      while (this.#failure === undefined) {
        for (const head of this.#heads) this.#ask(head);
        const ready = this.#take();
        if (ready.length > 0) yield ready;
        else if (!this.#open && this.#heads.size === 0) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      throw this.#failure.error;
    } finally {
      for (const head of this.#heads) if (!head.asking) await head.batches.return?.();
    }
  }

  /** Everything whose place in time is certain: as long as no log that is still behind could have something older. */
  #take(): readonly Merged<S>[] {
    const taken: Merged<S>[] = [];
    for (;;) {
      let least: Head<S> | undefined;
      let leastAt = Infinity;
      for (const head of this.#heads) {
        const entry = head.batch[head.at];
        if (entry === undefined) {
          if (!head.caughtUp && !head.done) return taken;
        } else if (entry.at < leastAt) {
          least = head;
          leastAt = entry.at;
        }
      }
      const entry = least?.batch[least.at];
      if (least === undefined || entry === undefined) return taken;
      taken.push({ source: least.source, entry });
      least.at += 1;
      if (least.done && least.at >= least.batch.length) this.#heads.delete(least);
    }
  }

  #ask(head: Head<S>): void {
    if (head.asking || head.done || head.at < head.batch.length) return;
    head.asking = true;
    head.batches.next().then(
      (next) => {
        head.asking = false;
        if (next.done === true) {
          head.done = true;
          this.#heads.delete(head);
        } else {
          head.batch = next.value;
          head.at = 0;
        }
        this.#wake();
      },
      (error: unknown) => {
        this.#failure = { error };
        this.#wake();
      },
    );
  }
}
