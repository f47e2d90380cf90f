/**
 * Signals to this process. The first SIGINT, SIGTERM or SIGHUP asks for a graceful end, the second for a hard one;
 * after that the kernel's default applies, so a third one ends the process whatever it hangs in.
 */
export interface Interrupts {
  readonly graceful: AbortSignal;
  readonly hard: AbortSignal;
  /** The first signal that came: 128 + its number is the exit status. */
  readonly received: NodeJS.Signals | undefined;
  /** Hands signals to somebody else (a process in a container) until disposed. */
  divert(handler: (signal: NodeJS.Signals) => void): Disposable;
  /** As if a signal had come: a closed output, `Ctrl-C` as a key. */
  raise(signal: NodeJS.Signals): void;
}

const asked = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export class ProcessInterrupts implements Interrupts {
  readonly #graceful = new AbortController();
  readonly #hard = new AbortController();
  readonly #diverted: ((signal: NodeJS.Signals) => void)[] = [];
  readonly #listener = (signal: NodeJS.Signals): void => this.raise(signal);
  received: NodeJS.Signals | undefined;

  constructor() {
    for (const signal of asked) process.on(signal, this.#listener);
  }

  get graceful(): AbortSignal {
    return this.#graceful.signal;
  }

  get hard(): AbortSignal {
    return this.#hard.signal;
  }

  raise(signal: NodeJS.Signals): void {
    const taker = this.#diverted.at(-1);
    if (taker !== undefined) {
      taker(signal);
      return;
    }
    this.received ??= signal;
    if (!this.#graceful.signal.aborted) {
      this.#graceful.abort();
      return;
    }
    this.#hard.abort();
    this.release();
  }

  divert(handler: (signal: NodeJS.Signals) => void): Disposable {
    this.#diverted.push(handler);
    return {
      [Symbol.dispose]: () => {
        this.#diverted.splice(this.#diverted.indexOf(handler), 1);
      },
    };
  }

  /** Back to the kernel's default. */
  release(): void {
    for (const signal of asked) process.off(signal, this.#listener);
  }
}
