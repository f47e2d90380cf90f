import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import type { HostPath } from "../core/index.ts";

/**
 * What a container has written and no monitor has logged yet lies in its FIFOs, and the kernel forgets it with the last who
 * has them open: when monitor and container are killed together, that is us. Nothing is read here.
 */
export class HeldOutput {
  readonly #fds: number[] = [];

  /** Idempotent. A terminal has none; what cannot be opened is not held. */
  hold(directory: HostPath): void {
    if (this.#fds.length > 0) return;
    for (const name of ["stdout", "stderr"])
      try {
        // For reading and writing: it waits for nobody (fifo(7)).
        this.#fds.push(openSync(join(directory, "fifo", name), constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW));
      } catch {
        return;
      }
  }

  release(): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }
}
