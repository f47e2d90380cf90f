/** A stream of text for the user. Writing waits for a slow reader, and goes quiet when there is none any more. */
export interface Sink {
  readonly isTTY: boolean;
  /** False: a terminal that does not know its width (a serial line): nothing can be drawn and redrawn on it. */
  readonly drawable?: boolean;
  /** 80 where nobody knows. */
  readonly columns: number;
  write(text: string | Uint8Array): Promise<void>;
}

export class StreamSink implements Sink {
  readonly #open: () => NodeJS.WriteStream;
  readonly #onBroken: (error: Error) => void;
  #opened: NodeJS.WriteStream | undefined;
  #broken = false;

  /**
   * `open`: asked when the stream is first used, since Node makes its own only then, and slowly.
   * `onBroken`: the reader has gone (EPIPE); called once.
   */
  constructor(open: () => NodeJS.WriteStream, onBroken: (error: Error) => void) {
    this.#open = open;
    this.#onBroken = onBroken;
  }

  get #stream(): NodeJS.WriteStream {
    if (this.#opened !== undefined) return this.#opened;
    this.#opened = this.#open();
    this.#opened.on("error", (error: Error) => {
      if (this.#broken) return;
      this.#broken = true;
      this.#onBroken(error);
    });
    return this.#opened;
  }

  get drawable(): boolean {
    return this.#stream.isTTY && this.#stream.columns > 0;
  }

  get isTTY(): boolean {
    return this.#stream.isTTY;
  }

  get columns(): number {
    return this.#stream.isTTY && this.#stream.columns > 0 ? this.#stream.columns : 80;
  }

  write(text: string | Uint8Array): Promise<void> {
    if (this.#broken) return Promise.resolve();
    return new Promise((resolve) => {
      // An error is told by the event; whoever writes has nothing to do about it.
      this.#stream.write(text, () => resolve());
    });
  }
}
