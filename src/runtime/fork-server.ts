import { paths } from "../core/index.ts";
import type { DataRoot, HostPath } from "../core/index.ts";
import { installProgram } from "../native/index.ts";
import type { NativeBinding } from "../native/index.ts";

type ForkNative = Pick<NativeBinding, "spawn" | "waitPidfd" | "close" | "socketPair" | "sendDescriptors">;

interface Running {
  readonly socket: number;
  readonly ended: Promise<unknown>;
}

/** A foreign runtime (`runtime: runc`) is looked for in PATH; nothing else of our environment is a monitor's business. */
export function monitorEnvironment(): readonly string[] {
  return [`PATH=${process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"}`];
}

/**
 * One process of the runtime binary that monitors are forked from (native/runtime/fork_server.cc). It saves each of them
 * two executions of a program, and this process standing still meanwhile. It ends with us, however we end.
 */
export class ForkServer {
  readonly #native: ForkNative;
  readonly #root: DataRoot;
  #running: Running | undefined;
  #closed = false;

  constructor(native: ForkNative, root: DataRoot) {
    this.#native = native;
    this.#root = root;
  }

  /** Monitors are about to be started. */
  warm(): void {
    if (!this.#closed) this.#running ??= this.#start();
  }

  /** Hands `status` (a copy of it) to a new monitor. False: there is no server, and the caller has to start it by itself. */
  fork(directory: HostPath, adopt: boolean, status: number): boolean {
    const running = this.#running;
    if (running === undefined) return false;
    try {
      this.#native.sendDescriptors(running.socket, JSON.stringify({ dir: directory, adopt }), [status]);
      return true;
    } catch {
      this.#leave(running); // somebody killed it; the next command that starts something makes a new one
      return false;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const running = this.#running;
    if (running === undefined) return;
    this.#leave(running);
    await running.ended;
  }

  #start(): Running | undefined {
    const [ours, theirs] = this.#native.socketPair();
    try {
      const { pidfd } = this.#native.spawn({
        file: installProgram(this.#root).binary,
        // Room for a monitor's command line, which its fork writes over the server's (native/runtime/process_title.cc).
        argv: ["stack-runtime", "fork-server", "--socket", "3", "--containers", paths.containers(this.#root), "-".repeat(80)],
        env: monitorEnvironment(),
        fds: [-1, -1, -1, theirs],
      });
      const ended = this.#native.waitPidfd(pidfd);
      this.#native.close(pidfd);
      return { socket: ours, ended };
    } catch {
      this.#native.close(ours);
      return undefined; // the start of a monitor says what is wrong
    } finally {
      this.#native.close(theirs);
    }
  }

  #leave(running: Running): void {
    if (this.#running !== running) return;
    this.#running = undefined;
    this.#native.close(running.socket);
  }
}
