import { DirectOutput } from "./direct-output.ts";

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
  readonly #direct: DirectOutput;
  #opened: NodeJS.WriteStream | undefined;
  #broken = false;

  /**
   * `open`: asked only for what cannot be written without a stream, since Node makes its own then, and slowly.
   * `onBroken`: the reader has gone (EPIPE); called once.
   */
  constructor(fd: number, open: () => NodeJS.WriteStream, onBroken: (error: Error) => void) {
    this.#direct = new DirectOutput(fd);
    this.#open = open;
    this.#onBroken = onBroken;
  }

  get #stream(): NodeJS.WriteStream {
    if (this.#opened !== undefined) return this.#opened;
    this.#opened = this.#open();
    this.#opened.on("error", (error: Error) => this.#break(error));
    return this.#opened;
  }

  #break(error: Error): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#onBroken(error);
  }

  get drawable(): boolean {
    return this.isTTY && this.#stream.columns > 0;
  }

  get isTTY(): boolean {
    return !this.#direct.possible && this.#stream.isTTY;
  }

  get columns(): number {
    return this.isTTY && this.#stream.columns > 0 ? this.#stream.columns : 80;
  }

  write(text: string | Uint8Array): Promise<void> {
    if (this.#broken) return Promise.resolve();
    let rest = text;
    // What a stream has begun, it goes on with: nothing may overtake what waits in it.
    if (this.#opened === undefined && this.#direct.possible) {
      try {
        rest = this.#direct.write(text);
      } catch (error) {
        this.#break(error as Error);
        return Promise.resolve();
      }
      if (rest.length === 0) return Promise.resolve();
    }
    return new Promise((resolve) => {
      // An error is told by the event; whoever writes has nothing to do about it.
      this.#stream.write(rest, () => resolve());
    });
  }
}
