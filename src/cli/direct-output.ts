import { constants, fstatSync, openSync, writeSync } from "node:fs";

/** `/dev/null`, as Linux numbers it (Documentation/admin-guide/devices.txt). */
const NULL_DEVICE = 0x103;

/**
 * Writes without a stream to what cannot be a terminal: files, pipes, the null device. Making Node's own stream takes
 * longer than most commands take to have something to say. A pipe is written to through an opening of our own that
 * does not block, so that a slow reader keeps nobody from hearing signals.
 */
export class DirectOutput {
  readonly #fd: number;
  /** Undefined: not looked at yet. */
  #to: number | "no" | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  get possible(): boolean {
    return (this.#to ??= destination(this.#fd)) !== "no";
  }

  /** Writes what goes through at once, and returns what does not. Throws what the kernel says, but for EAGAIN. */
  write(text: string | Uint8Array): Uint8Array {
    let rest: Uint8Array = typeof text === "string" ? Buffer.from(text) : text;
    const to = this.#to;
    if (typeof to !== "number") return rest;
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(to, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      // The stream goes on from here.
      this.#to = "no";
    }
    return rest;
  }
}

function destination(fd: number): number | "no" {
  try {
    const info = fstatSync(fd);
    if (info.isFile() || (info.isCharacterDevice() && info.rdev === NULL_DEVICE)) return fd;
    return info.isFIFO() ? openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK) : "no";
  } catch {
    return "no";
  }
}
