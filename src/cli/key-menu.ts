import type { Context } from "./context.ts";

/** Single keys while logs run by. The terminal gives keys as they are pressed, so Ctrl-C comes as a key too. */
export class KeyMenu {
  readonly #context: Context;
  readonly #keys: Readonly<Record<string, () => void>>;
  #open = true;
  readonly #onData = (data: Buffer): void => this.#pressed(data);
  readonly #onContinue = (): void => this.#raw(true);

  private constructor(context: Context, keys: Readonly<Record<string, () => void>>) {
    this.#context = context;
    this.#keys = keys;
    context.stdin.on("data", this.#onData);
    context.stdin.on("error", () => this.close());
    process.on("SIGCONT", this.#onContinue);
    this.#raw(true);
  }

  /** Undefined where no human sits at a terminal. */
  static open(context: Context, keys: Readonly<Record<string, () => void>>): KeyMenu | undefined {
    if (!context.stdin.isTTY || !context.stdout.isTTY) return undefined;
    void context.stderr.write("d detaches and leaves the containers running, Ctrl-C stops them\n");
    return new KeyMenu(context, keys);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#raw(false);
    process.off("SIGCONT", this.#onContinue);
    this.#context.stdin.off("data", this.#onData);
    this.#context.stdin.pause();
  }

  #pressed(data: Buffer): void {
    for (const key of data.toString("latin1")) {
      if (key === "\x03") this.#context.interrupts.raise("SIGINT");
      else if (key === "\x1c") this.#context.interrupts.raise("SIGTERM");
      else if (key === "\x1a") this.#suspend();
      else if (key === "\r") void this.#context.stdout.write("\n");
      else if (Object.hasOwn(this.#keys, key)) this.#keys[key]?.();
    }
  }

  /** Ctrl-Z: as a program does that does not read keys. */
  #suspend(): void {
    this.#raw(false);
    process.kill(0, "SIGTSTP");
  }

  #raw(on: boolean): void {
    if (on && !this.#open) return;
    try {
      this.#context.stdin.setRawMode(on);
    } catch {
      // The terminal has gone (SIGHUP is on its way).
    }
  }
}
