import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { rmSync } from "node:fs";
import { JsonLines, serializeError, StackError } from "../core/index.ts";
import type { HostPath } from "../core/index.ts";
import type { ApplyRequest, ProjectSession } from "../engine/index.ts";
import type { Follower } from "./follow.ts";
import type { NativeBinding } from "../native/index.ts";
import { AGENT_PROTOCOL } from "./protocol.ts";
import type { AgentStatus, Call, Message } from "./protocol.ts";

export interface ServerOptions {
  readonly native: NativeBinding;
  readonly socket: HostPath;
  readonly session: ProjectSession;
  readonly version: string;
  readonly follower: Follower;
  /** Nothing is connected any more, or a client asked the agent to end. */
  readonly onIdle: () => void;
  readonly onShutdown: () => void;
}

/** Serves one project's socket. Only root and the user that the agent runs as may talk to it. */
export class AgentServer {
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #connections = new Set<Socket>();
  #closing = false;
  readonly #since = new Date().toISOString();

  private constructor(options: ServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => {
      this.#accept(socket);
    });
  }

  static async listen(options: ServerOptions): Promise<AgentServer> {
    rmSync(options.socket, { force: true });
    const server = new AgentServer(options);
    const fd = options.native.listenUnix(options.socket, 64);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      server.#server.listen({ fd }, () => {
        resolve();
      });
    });
    return server;
  }

  get connections(): number {
    return this.#connections.size;
  }

  async close(): Promise<void> {
    this.#closing = true;
    rmSync(this.#options.socket, { force: true });
    for (const socket of this.#connections) socket.end();
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }

  #accept(socket: Socket): void {
    // Not greeted: the client sees that nobody is there any more, and looks for the next agent.
    if (this.#closing) {
      socket.destroy();
      return;
    }
    const { _handle } = socket as unknown as { _handle: { fd: number } | null };
    const peer = _handle === null ? undefined : this.#options.native.peerCredentials(_handle.fd);
    if (peer === undefined || (peer.uid !== 0 && peer.uid !== process.getuid?.())) {
      socket.destroy();
      return;
    }
    this.#connections.add(socket);
    const connection = new Connection(socket, this.#options, () => this.#status());
    socket.on("error", () => {
      socket.destroy();
    });
    socket.on("close", () => {
      this.#connections.delete(socket);
      connection.closed();
      if (this.#connections.size === 0) this.#options.onIdle();
    });
  }

  #status(): AgentStatus {
    const { session, version } = this.#options;
    return {
      pid: process.pid,
      version,
      project: session.project,
      busy: session.busy,
      converged: session.converged,
      since: this.#since,
    };
  }
}

/** A whole project that is stopped or taken down is not followed any more. */
function leaves({ goal, services }: ApplyRequest["options"]): boolean {
  return (goal === "down" || goal === "stop" || goal === "kill") && services.length === 0;
}

/** One client: its calls run one after the other or side by side; when it goes, what it began is cancelled. */
class Connection {
  readonly #options: ServerOptions;
  readonly #lines: JsonLines;
  readonly #status: () => AgentStatus;
  readonly #ending = new AbortController();
  #cancel = new AbortController();

  constructor(socket: Socket, options: ServerOptions, status: () => AgentStatus) {
    this.#options = options;
    this.#status = status;
    this.#lines = new JsonLines(socket, (message) => {
      void this.#call(message as Call);
    });
    this.#send({ hello: { protocol: AGENT_PROTOCOL, version: options.version, pid: process.pid } });
  }

  closed(): void {
    this.#ending.abort();
    this.#cancel.abort();
  }

  #send(message: Message): void {
    this.#lines.send(message);
  }

  async #call(call: Call): Promise<void> {
    try {
      this.#send({ id: call.id, result: await this.#dispatch(call) });
    } catch (error) {
      this.#send({ id: call.id, error: serializeError(error) });
    }
  }

  async #dispatch(call: Call): Promise<unknown> {
    const { session } = this.#options;
    const emit = (event: Parameters<Parameters<ProjectSession["apply"]>[2]>[0]): void => {
      this.#lines.sendSoon({ id: call.id, event } satisfies Message);
    };
    switch (call.method) {
      case "follow":
        await this.#options.follower.follow(call.params);
        return null;
      case "apply":
        if (leaves(call.params.options)) this.#options.follower.stop();
        return session.apply(call.params, this.#cancel.signal, emit);
      case "run":
        return session.run(call.params, this.#cancel.signal, emit, this.#ending.signal);
      case "release":
        await session.release(call.params.container);
        return null;
      case "status":
        return this.#status();
      case "events": {
        const end = session.events.on(emit);
        await new Promise<void>((resolve) => {
          this.#ending.signal.addEventListener("abort", () => {
            resolve();
          });
        });
        end();
        return null;
      }
      case "cancel":
        this.#cancel.abort();
        this.#cancel = new AbortController();
        return null;
      case "shutdown":
        if (session.busy)
          throw new StackError("project-busy", `Project "${session.project}" is being changed by another command`);
        // After the answer, which is lost with the connection.
        setImmediate(this.#options.onShutdown);
        return null;
      default:
        throw new StackError("internal", `unknown method: ${JSON.stringify((call as { method?: unknown }).method)}`);
    }
  }
}
