import { join } from "node:path";
import { paths, shortId, StackError } from "../core/index.ts";
import type { ContainerId, DataRoot, HostPath } from "../core/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { MonitorConnection, monitorGone } from "./connection.ts";
import type { Reply } from "./connection.ts";
import { parseFailure, RuntimeFailure } from "./failure.ts";
import type { ContainerState } from "./formats.ts";
import type { ForkServer } from "./fork-server.ts";
import { startMonitor } from "./monitor-start.ts";
import type { Started } from "./monitor-start.ts";
import type { OciResources } from "./oci.ts";
import { readState } from "./state.ts";
import { StreamSession } from "./stream-session.ts";
import type { AttachSession, ExecSession, ExitStatus } from "./stream-session.ts";

export interface ExecRequest {
  readonly args: readonly string[];
  /** `K=V`, added to the container's. */
  readonly env?: readonly string[];
  readonly cwd?: string;
  readonly user?: string;
  /** In the place of this supervised process: its user, environment and directory. */
  readonly process?: string;
  readonly tty?: boolean;
  readonly stdin?: boolean;
  readonly privileged?: boolean;
  readonly rows?: number;
  readonly cols?: number;
  readonly timeoutMs?: number;
  /**
   * With `execCapture`: all that it starts is killed with it, when it ends, is late, or when we
   * go.
   */
  readonly isolate?: boolean;
}

export interface CaptureResult extends Omit<ExitStatus, "code"> {
  readonly exitCode: number;
  readonly timedOut: boolean;
  /** Both streams, the last `capture` bytes. */
  readonly output: string;
}

export interface StopOptions {
  readonly signal?: number;
  /** Milliseconds; -1: wait for ever; absent: the container's own. */
  readonly graceMs?: number;
  readonly by?: "stop" | "health";
  /** Kept in the state beside `endedBy`. */
  readonly reason?: string;
}

/** A limit file of the container's control groups, for example `memory.max`. */
export interface AlteredLimit {
  readonly file: string;
  readonly wanted: string;
  readonly actual: string;
}

export interface StopResult {
  readonly state: ContainerState;
  /** PID 1 could not have seen the signal. */
  readonly ignored: boolean;
  readonly killed: boolean;
}

export interface Subscription {
  /** As it was when the subscription began. */
  readonly state: ContainerState;
  /** Process id of the monitor: certain as long as the subscription is open. */
  readonly pid: number;
  /** Resolves when the monitor has ended, or after `close`. */
  readonly closed: Promise<void>;
  /** Leaves with a good-bye: the monitor starts no agent because of it. */
  close(): void;
}

export type ProbeRequest =
  | { readonly kind: "tcp"; readonly port: number; readonly timeoutMs: number }
|{
  readonly kind: 'http';
  readonly port: number;
  readonly path: string;
  readonly timeoutMs: number
}
/** Is there something at this path of the container's root? */
|{
  readonly kind: 'file';
  readonly path: string
};

export interface ProbeResult {
  readonly connected: boolean;
  /** HTTP status; 0 if there was none. */
  readonly status: number;
  readonly body: string;
  readonly errno: number;
}

type MonitorNative = Pick<NativeBinding, "spawn" | "peerCredentials" | "waitPidfd" | "pipe" | "close" | "connectUnix" | "requestDescriptors" | "isLocked" | "lockWait" | "mount">;

/**
 * One container's monitor, spoken to over its socket (native/PROTOCOL.md). Each request has a connection of its own.
 * Where no monitor runs: StackError `container-not-running`. What the native side refuses: RuntimeFailure.
 */
export class MonitorClient {
  readonly #native: MonitorNative;
  readonly #root: DataRoot;
  readonly #name: string;
  readonly directory: HostPath;
  readonly #forks: ForkServer | undefined;

  constructor(native: MonitorNative, root: DataRoot, id: ContainerId, forks?: ForkServer) {
    this.#native = native;
    this.#forks = forks;
    this.#root = root;
    this.#name = shortId(id);
    this.directory = paths.container(root, id);
  }

  /** Starts the monitor, and it the container; resolves when the start was decided. With `adopt` a new monitor takes over a container that lives. */
  start(options: { readonly adopt?: boolean } = {}): Promise<Started> {
    return startMonitor(this.#native, { root: this.#root, directory: this.directory, name: this.#name, adopt: options.adopt === true, forks: this.#forks });
  }

  async state(): Promise<ContainerState> {
    const reply = await this.#ask("state", {});
    return reply["state"] as ContainerState;
  }

  /** Resolves when it has ended. Undefined: there was no monitor, so there is nothing to stop. */
  async stop(options: StopOptions = {}): Promise<StopResult | undefined> {
    try {
      const reply = await this.#ask("stop", options);
      return { state: reply["state"] as ContainerState, ignored: reply["ignored"] === true, killed: reply["killed"] === true };
    } catch (error) {
      if (!monitorGone(error)) throw error;
      return undefined;
    }
  }

  async restart(options: Omit<StopOptions, "signal"> = {}): Promise<ContainerState> {
    const reply = await this.#ask("restart", options);
    return reply["state"] as ContainerState;
  }

  /** `all`: every process of the container, not just the first. */
  async kill(signal: number, all = false): Promise<void> {
    await this.#ask("kill", { signal, ...(all ? { all } : {}) });
  }

  /** Limits that somebody else has changed since they were set; with `restore` they are set again. */
  async limits(restore = false): Promise<readonly AlteredLimit[]> {
    const reply = await this.#ask("limits", restore ? { restore } : {});
    return reply["altered"] as readonly AlteredLimit[];
  }

  async pause(): Promise<void> {
    await this.#ask("pause", {});
  }

  async unpause(): Promise<void> {
    await this.#ask("unpause", {});
  }

  /** Resolves with the last state when it has ended for good; at once if it has. Undefined: it never ran. */
  async wait(signal?: AbortSignal): Promise<ContainerState | undefined> {
    try {
      const reply = await this.#ask("wait", {}, signal);
      return reply["state"] as ContainerState;
    } catch (error) {
      if (!monitorGone(error)) throw error;
      await this.ended();
      return readState(this.directory);
    }
  }

  /**
   * Resolves when no monitor holds the container's lock any more: its files may go. With the signal it stops waiting, and
   * rejects: each wait has a thread of its own.
   */
  async ended(signal?: AbortSignal): Promise<void> {
    const path = join(this.directory, "lock");
    if (!this.#native.isLocked(path)) return;
    signal?.throwIfAborted();
    const waiting = this.#native.lockWait(path, "shared");
    const cancel = (): void => {
      waiting.cancel();
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      this.#native.close(await waiting.promise);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** Every change of the state until either side ends. */
  async subscribe(role: "agent" | undefined, onState: (state: ContainerState) => void): Promise<Subscription> {
    const connection = this.#connect("subscribe");
    const reply = await connection.request({ op: "subscribe", ...(role === undefined ? {} : { role }) });
    const lines = connection
      .eachLine((line) => {
        if (line["event"] === "state") onState(line["state"] as ContainerState);
      })
      .catch(() => undefined)
      .then(() => connection.destroy());
    return {
      state: reply["state"] as ContainerState,
      pid: connection.peer,
      closed: lines,
      close() {
        connection.write('{"bye":true}\n');
        connection.end();
      },
    };
  }

  /** Runs a process in the container and streams to and from it. */
  async exec(request: ExecRequest, signal?: AbortSignal): Promise<ExecSession> {
    const connection = this.#connect("exec");
    const reply = await this.#open(connection, { op: "exec", ...execDefaults(request) }, signal);
    return new StreamSession<ExitStatus>(connection, numberOf(reply["pid"]), parseExit, () => this.#lost("exec"));
  }

  /** Starts it and leaves. Returns its process id on the host. */
  async execDetached(request: ExecRequest, signal?: AbortSignal): Promise<number> {
    const reply = await this.#ask("exec", { ...execDefaults(request), detach: true }, signal);
    return numberOf(reply["pid"]);
  }

  /** Runs it to its end and returns the last `capture` bytes of its output. */
  async execCapture(request: ExecRequest & { readonly capture: number }, signal?: AbortSignal): Promise<CaptureResult> {
    const { capture, ...rest } = request;
    const reply = await this.#ask("exec", { ...execDefaults(rest), capture }, signal);
    return {
      exitCode: numberOf(reply["exitCode"]),
      signal: numberOf(reply["signal"]),
      timedOut: reply["timedOut"] === true,
      output: typeof reply["output"] === "string" ? reply["output"] : "",
    };
  }

  /** The main process's own streams, from now on. */
  async attach(streams: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean; readonly rows?: number; readonly cols?: number }): Promise<AttachSession> {
    const connection = this.#connect("attach");
    await this.#open(connection, { op: "attach", ...streams });
    const parse = (message: Reply): ContainerState | undefined => (message["state"] === undefined ? undefined : (message["state"] as ContainerState));
    return new StreamSession<ContainerState | undefined>(connection, 0, parse, () => this.#lost("attach"));
  }

  async resize(rows: number, cols: number): Promise<void> {
    await this.#ask("resize", { rows, cols });
  }

  /** The sockets for our DNS server in the container's network namespace; the caller owns the descriptors. Undefined: it serves no DNS. */
  async dnsSockets(): Promise<{ readonly udp: number; readonly tcp: number } | undefined> {
    const { reply, fds } = await this.#native.requestDescriptors(join(this.directory, "monitor.sock"), JSON.stringify({ v: 1, op: "dns-sockets" }));
    const answer = JSON.parse(reply) as Reply;
    const [udp, tcp] = fds;
    if (answer["ok"] === true && udp !== undefined && tcp !== undefined) return { udp, tcp };
    for (const fd of fds) this.#native.close(fd);
    if (answer["ok"] === true) return undefined;
    throw new RuntimeFailure(this.#what("dns-sockets"), parseFailure(answer["error"]));
  }

  /** The host's tables were emptied: its published ports go there again. */
  async publish(): Promise<void> {
    await this.#ask("publish", {});
  }

  /** A probe of a process that init left to us holds, for the start after so many restarts. */
  async processReady(process: string, probe: number, restarts: number): Promise<void> {
    await this.#ask("process", { process, action: "ready", probe, restarts });
  }

  /** One supervised process. Resolves when it has ended, been executed, or got the signal. */
  async process(process: string, action: "start" | "stop" | "restart" | "kill", options: { readonly signal?: number; readonly graceMs?: number } = {}): Promise<ContainerState> {
    const reply = await this.#ask("process", { process, action, ...options });
    return reply["state"] as ContainerState;
  }

  async update(changes: { readonly resources?: Partial<OciResources>; readonly restart?: object; readonly stop?: { readonly signal: number; readonly graceMs: number } }): Promise<void> {
    await this.#ask("update", changes);
  }

  /** From inside the container's network namespace. */
  async probe(request: ProbeRequest, signal?: AbortSignal): Promise<ProbeResult> {
    const reply = await this.#ask("probe", request, signal);
    return {
      connected: reply["connected"] === true,
      status: numberOf(reply["status"]),
      body: typeof reply["body"] === "string" ? reply["body"] : "",
      errno: numberOf(reply["errno"]),
    };
  }

  #what(op: string): string {
    return `${op} of container ${this.#name}`;
  }

  #connect(op: string): MonitorConnection {
    return new MonitorConnection(this.#native, join(this.directory, "monitor.sock"), this.#what(op));
  }

  async #ask(op: string, members: object, signal?: AbortSignal): Promise<Reply> {
    const connection = this.#connect(op);
    try {
      return await connection.request({ op, ...members }, signal);
    } finally {
      connection.destroy();
    }
  }

  async #open(connection: MonitorConnection, request: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<Reply> {
    try {
      return await connection.request(request, signal);
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  #lost(op: string): StackError {
    return new StackError("container-not-running", `${this.#what(op)}: the monitor went away before it ended`);
  }
}

const numberOf = (value: unknown): number => (typeof value === "number" ? value : 0);

function execDefaults(request: ExecRequest): Readonly<Record<string, unknown>> {
  return { ...request, tty: request.tty === true, stdin: request.stdin === true };
}

function parseExit(message: Reply): ExitStatus | undefined {
  const exit = message["exit"];
  if (typeof exit !== "object" || exit === null) return undefined;
  const { code, signal } = exit as Record<string, unknown>;
  return { code: numberOf(code), signal: numberOf(signal) };
}
