import { Socket } from "node:net";
import { join } from "node:path";
import { deserializeError, JsonLines, paths, StackError } from "../core/index.ts";
import type { ContainerId, DataRoot, ProjectName } from "../core/index.ts";
import type { ApplyRequest, ApplyResult, EngineEvent, RunRequest, RunResult } from "../engine/index.ts";
import { installProgram, loadNative } from "../native/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { AGENT_PROTOCOL } from "./protocol.ts";
import type { AgentStatus, FollowRequest, Hello, Message, Methods } from "./protocol.ts";
import { someAgentOf, spawnAgent, takeBooting } from "./spawn.ts";
import type { Booting } from "./spawn.ts";

export { bootAhead, launchLines, takeLaunched } from "./spawn.ts";

/** A connection to the agent of one project. */
export { unaskedRules } from "./protocol.ts";
export type { FollowRequest } from "./protocol.ts";

export interface AgentClient extends AsyncDisposable {
  apply(request: ApplyRequest, signal: AbortSignal, onEvent: (event: EngineEvent) => void): Promise<ApplyResult>;
  run(request: RunRequest, signal: AbortSignal, onEvent: (event: EngineEvent) => void): Promise<RunResult>;
  /** A container that `run` made with `remove` may go; resolves when it has. */
  release(container: ContainerId): Promise<void>;
  /** From now on changes of the stack's own files are applied as they come. */
  follow(request: FollowRequest): Promise<void>;
  status(): Promise<AgentStatus>;
  /** Resolves when the connection ends or the signal aborts. */
  events(signal: AbortSignal, onEvent: (event: EngineEvent) => void): Promise<void>;
}

/** Starts booting an agent at once, before the project is known; `bind` finds the running one or gives the project to this one. */
export interface PendingAgent {
  bind(project: ProjectName): Promise<AgentClient>;
  /** The command ends without needing it. */
  abandon(): void;
}

/** How long an agent may take from its lock to its first answer, milliseconds. */
const answerMs = 30_000;

/** Call as early as possible: the agent boots while the model loads, if the launcher has not begun it already. */
export function startAgent(root: DataRoot, cwd = process.cwd()): PendingAgent {
  const native = loadNative();
  const ahead = takeBooting(root);
  let spawned = ahead !== undefined ? unbound(root, ahead) : someAgentOf(root, native, cwd) ? undefined : unbound(root, spawnAgent(root, native));
  return {
    async bind(project) {
      const running = await connect(root, native, project);
      if (running !== undefined && running.hello.version === installProgram(root).hash) {
        spawned?.abandon();
        return running;
      }
      if (running !== undefined) await replace(running);
      const started = Date.now();
      for (let lost = 0; ; ) {
        spawned ??= unbound(root, spawnAgent(root, native));
        const taken = await spawned.bind(project);
        let client = await connect(root, native, project);
        // It stays for us until we are connected, or leave it.
        spawned.abandon();
        spawned = undefined;
        if (taken) lost += 1;
        // Another agent holds the lock and is just about to listen, or just about to end.
        while (client === undefined && !taken && Date.now() - started < answerMs && native.isLocked(paths.agentLock(root, project))) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          client = await connect(root, native, project);
        }
        if (client !== undefined) return client;
        if (lost >= 3 || Date.now() - started >= answerMs)
          throw new StackError("agent-failed", `The agent of project "${project}" does not answer`, {
            hint: `See ${join(root.root, "agent.log")}.`,
          });
      }
    },
    abandon() {
      spawned?.abandon();
    },
  };
}

/** The running agent, or undefined. Starts nothing. */
export async function findAgent(root: DataRoot, project: ProjectName): Promise<AgentClient | undefined> {
  return connect(root, loadNative(), project);
}

/** An agent of another version: it hands over (containers run on), unless it is busy; then it does the work itself. */
async function replace(running: Connection): Promise<void> {
  try {
    await running.call("shutdown", null);
    await running.ended;
  } catch (error) {
    throw new StackError("agent-failed", `The running agent (pid ${running.hello.pid}) is of another version of stack (protocol ${running.hello.protocol}, ours ${AGENT_PROTOCOL}) and busy`, {
      hint: "Wait until the other command has ended, and try again.",
      cause: error,
    });
  }
}

interface Unbound {
  /** True: this agent has the project; false: another one has it, and this one has ended. */
  bind(project: ProjectName): Promise<boolean>;
  abandon(): void;
}

function unbound(root: DataRoot, booting: Booting): Unbound {
  const input = new Socket({ fd: booting.input, readable: false, writable: true });
  const output = new Socket({ fd: booting.output, readable: true, writable: false });
  input.on("error", () => undefined);
  output.unref();
  input.unref();
  const reply = new Promise<{ bound?: boolean; error?: string }>((resolve) => {
    let answered = false;
    new JsonLines(output, (message) => {
      answered = true;
      resolve(message as { bound?: boolean });
    });
    output.on("error", () => undefined);
    output.on("close", () => {
      if (!answered) resolve({ error: "the agent ended while starting" });
    });
  });
  return {
    async bind(project) {
      output.ref();
      input.write(`${JSON.stringify({ project })}\n`);
      const { bound, error } = await reply;
      if (error !== undefined)
        throw new StackError("agent-failed", `Cannot start the agent: ${error}`, { hint: `See ${join(root.root, "agent.log")}.` });
      return bound === true;
    },
    abandon() {
      input.destroy();
      output.destroy();
    },
  };
}

async function connect(root: DataRoot, native: NativeBinding, project: ProjectName): Promise<Connection | undefined> {
  const directory = paths.project(root, project);
  if (!native.isLocked(join(directory, "agent.lock"))) return undefined;
  let fd: number;
  try {
    fd = native.connectUnix(join(directory, "agent.sock"));
  } catch {
    return undefined;
  }
  const connection = new Connection(new Socket({ fd, readable: true, writable: true }));
  try {
    await connection.greeted;
    return connection;
  } catch {
    return undefined;
  }
}

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
  readonly onEvent: ((event: EngineEvent) => void) | undefined;
}

class Connection implements AgentClient {
  readonly #socket: Socket;
  readonly #lines: JsonLines;
  readonly #pending = new Map<number, Pending>();
  readonly greeted: Promise<void>;
  readonly ended: Promise<void>;
  #hello: Hello | undefined;
  #next = 1;

  constructor(socket: Socket) {
    this.#socket = socket;
    let greet: (() => void) | undefined;
    let refuse: ((error: Error) => void) | undefined;
    this.greeted = new Promise((resolve, reject) => {
      greet = resolve;
      refuse = reject;
    });
    this.#lines = new JsonLines(socket, (message) => {
      this.#receive(message as Message, greet);
    });
    socket.on("error", () => socket.destroy());
    this.ended = new Promise((resolve) => {
      socket.on("close", () => {
        const gone = new StackError("agent-failed", "The connection to the agent was lost", {
          hint: "The containers run on. Try the command again.",
        });
        refuse?.(gone);
        for (const pending of this.#pending.values()) pending.reject(gone);
        this.#pending.clear();
        resolve();
      });
    });
    this.greeted.catch(() => undefined);
  }

  get hello(): Hello {
    if (this.#hello === undefined) throw new StackError("internal", "the agent has not greeted");
    return this.#hello;
  }

  #receive(message: Message, greet: (() => void) | undefined): void {
    if ("hello" in message) {
      this.#hello = message.hello;
      greet?.();
      return;
    }
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    if ("event" in message) {
      pending.onEvent?.(message.event);
      return;
    }
    this.#pending.delete(message.id);
    if ("error" in message) pending.reject(deserializeError(message.error));
    else pending.resolve(message.result as never);
  }

  call<M extends keyof Methods>(method: M, params: Methods[M]["params"], onEvent?: (event: EngineEvent) => void): Promise<Methods[M]["result"]> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new StackError("agent-failed", "The connection to the agent was lost"));
        return;
      }
      this.#pending.set(id, { resolve: resolve, reject, onEvent });
      this.#lines.send({ id, method, params });
    });
  }

  async #cancellable<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
    const cancel = (): void => {
      void this.call("cancel", null).catch(() => undefined);
    };
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel, { once: true });
    try {
      return await work;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  apply(request: ApplyRequest, signal: AbortSignal, onEvent: (event: EngineEvent) => void): Promise<ApplyResult> {
    return this.#cancellable(signal, this.call("apply", request, onEvent));
  }

  run(request: RunRequest, signal: AbortSignal, onEvent: (event: EngineEvent) => void): Promise<RunResult> {
    return this.#cancellable(signal, this.call("run", request, onEvent));
  }

  async release(container: ContainerId): Promise<void> {
    await this.call("release", { container });
  }

  async follow(request: FollowRequest): Promise<void> {
    await this.call("follow", request);
  }

  status(): Promise<AgentStatus> {
    return this.call("status", null);
  }

  async events(signal: AbortSignal, onEvent: (event: EngineEvent) => void): Promise<void> {
    const aborted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await Promise.race([this.call("events", null, onEvent).catch(() => undefined), this.ended, aborted]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.end();
    this.#socket.destroySoon();
    await this.ended;
  }
}
