import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Absolute, so that a command with a PATH of its own can be run too. */
const nsenter = execFileSync("sh", ["-c", "command -v nsenter"], { encoding: "utf8" }).trim();

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface HttpRequest {
  readonly url: string;
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
  readonly code?: string;
}

/**
 * A network namespace of a test's own, held by a process that speaks inside it for the test.
 * Nothing that is started in it can reach any other machine.
 */
export class NetworkNamespace {
  readonly #holder: ChildProcess;
  readonly #open = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #next = 1;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
    holder.on("message", (message: Reply) => {
      const call = this.#open.get(message.id);
      this.#open.delete(message.id);
      if (message.error === undefined) call?.resolve(message.value);
      else call?.reject(Object.assign(new Error(message.error), { code: message.code }));
    });
    holder.on("exit", () => {
      for (const call of this.#open.values()) call.reject(new Error("the namespace's process has ended"));
      this.#open.clear();
    });
  }

  static async open(): Promise<NetworkNamespace> {
    const inside = fileURLToPath(new URL("inside.mjs", import.meta.url));
    const holder = spawn("unshare", ["--net", process.execPath, inside], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      env: { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` },
    });
    const namespace = new NetworkNamespace(holder);
    await new Promise<unknown>((resolve, reject) => {
      namespace.#open.set(0, { resolve, reject });
      holder.on("error", reject);
    });
    return namespace;
  }

  get pid(): number {
    const { pid } = this.#holder;
    if (pid === undefined) throw new Error("the namespace's process did not start");
    return pid;
  }

  /** Arguments that run a command inside: `spawn(...enter, ...)`. */
  get enter(): readonly string[] {
    return [nsenter, `--net=/proc/${this.pid}/ns/net`, "--"];
  }

  async #call<T>(action: string, args: object): Promise<T> {
    const id = this.#next++;
    return new Promise<T>((resolve, reject) => {
      this.#open.set(id, { resolve: (value) => resolve(value as T), reject });
      this.#holder.send({ id, action, args });
    });
  }

  http(request: HttpRequest | string): Promise<HttpAnswer> {
    return this.#call("http", typeof request === "string" ? { url: request } : request);
  }

  tcp(args: { readonly host?: string; readonly port: number; readonly send?: string; readonly enough?: number }): Promise<string> {
    return this.#call("tcp", args);
  }

  udp(args: { readonly host?: string; readonly port: number; readonly send: string }): Promise<{ readonly text: string; readonly from: string }> {
    return this.#call("udp", args);
  }

  /** Takes a TCP port as another program would; returns it. Each connection is answered with `answer` and the peer's address. */
  listen(args: { readonly host?: string; readonly port: number; readonly answer?: string }): Promise<number> {
    return this.#call("listen", args);
  }

  unlisten(port: number): Promise<void> {
    return this.#call("unlisten", { port });
  }

  async close(): Promise<void> {
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#holder.once("exit", resolve));
    this.#holder.disconnect();
    await ended;
  }
}
