import { PassThrough } from "node:stream";
import type { PendingAgent } from "../agent/client.ts";
import { StackError } from "../core/index.ts";
import type { ContainerId, DataRoot, Digest, HostPath, ProjectName } from "../core/index.ts";
import type { ContainerSummary, Engine } from "../engine/index.ts";
import { emptyProject } from "../model/index.ts";
import type { LoadResult, Project } from "../model/index.ts";
import type { Context } from "./context.ts";
import type { Globals } from "./globals.ts";
import type { Interrupts } from "./interrupts.ts";
import type { Sink } from "./sink.ts";

/** For unit tests: a context that remembers what was written and whose other rooms are the test's. */
export interface FakeContext extends Context {
  readonly out: TextSink;
  readonly err: TextSink;
  readonly interrupts: FakeInterrupts;
}

export class TextSink implements Sink {
  text = "";
  readonly isTTY = false;
  readonly columns = 80;
  #waiting: { readonly part: string; readonly found: () => void }[] = [];

  write(text: string | Uint8Array): Promise<void> {
    this.text += typeof text === "string" ? text : Buffer.from(text).toString("utf8");
    this.#waiting = this.#waiting.filter(({ part, found }) => {
      if (!this.text.includes(part)) return true;
      found();
      return false;
    });
    return Promise.resolve();
  }

  /** Resolves when this has been written. */
  shows(part: string): Promise<void> {
    if (this.text.includes(part)) return Promise.resolve();
    return new Promise((found) => this.#waiting.push({ part, found }));
  }
}

export class FakeInterrupts implements Interrupts {
  readonly #graceful = new AbortController();
  readonly #hard = new AbortController();
  readonly #diverted: ((signal: NodeJS.Signals) => void)[] = [];
  received: NodeJS.Signals | undefined;
  readonly graceful = this.#graceful.signal;
  readonly hard = this.#hard.signal;

  raise(signal: NodeJS.Signals): void {
    const taker = this.#diverted.at(-1);
    if (taker !== undefined) {
      taker(signal);
      return;
    }
    this.received ??= signal;
    (this.graceful.aborted ? this.#hard : this.#graceful).abort();
  }

  divert(handler: (signal: NodeJS.Signals) => void): Disposable {
    this.#diverted.push(handler);
    return { [Symbol.dispose]: () => void this.#diverted.splice(this.#diverted.indexOf(handler), 1) };
  }
}

const plainGlobals: Globals = {
  files: [],
  projectName: undefined,
  projectDirectory: undefined,
  profiles: [],
  envFiles: [],
  ansi: "auto",
  progress: "auto",
  parallel: undefined,
  dryRun: false,
};

export interface FakeRooms {
  readonly project?: Project;
  readonly load?: () => Promise<LoadResult>;
  readonly containers?: readonly ContainerSummary[];
  readonly engine?: Partial<Engine>;
  readonly agent?: PendingAgent;
  readonly root?: string;
  readonly globals?: Partial<Globals>;
  readonly env?: Readonly<Record<string, string>>;
  readonly now?: number;
}

export function fakeContext(rooms: FakeRooms = {}): FakeContext {
  const out = new TextSink();
  const err = new TextSink();
  const missing = (what: string): never => {
    throw new StackError("internal", `the test brings no ${what}`);
  };
  return {
    out,
    err,
    stdout: out,
    stderr: err,
    stdin: new PassThrough() as unknown as NodeJS.ReadStream,
    globals: { ...plainGlobals, ...rooms.globals },
    env: rooms.env ?? {},
    cwd: "/srv/shop",
    clock: { now: () => rooms.now ?? Date.parse("2026-01-01T01:00:00Z"), after: () => () => undefined },
    interrupts: new FakeInterrupts(),
    doors: {
      root: () => ({ root: (rooms.root ?? "/nowhere") as HostPath }) satisfies DataRoot,
      loadProject: rooms.load ?? (() => Promise.resolve({ ok: true, project: rooms.project ?? fakeProject(["web"]), diagnostics: [], environment: new Map(), variables: [] })),
      engine: () =>
        Promise.resolve({
          containers: ({ project } = {}) => Promise.resolve((rooms.containers ?? []).filter((c) => project === undefined || c.project === project)),
          ...rooms.engine,
        } as Engine),
      program: () => ["node", "stack.js"],
      startAgent: () => Promise.resolve(rooms.agent ?? missing("agent")),
      passOutputThrough: () => Promise.resolve(),
      findAgent: () => Promise.resolve(undefined),
    },
  };
}

/** Services with nothing but a name, or with what the test says about them. */
export function fakeProject(services: readonly (string | ({ readonly name: string } & Partial<Record<"depends_on" | "scale" | "attach" | "image" | "pull_policy" | "container_name", unknown>>))[]): Project {
  const all = services.map((s) => (typeof s === "string" ? { name: s } : s)).map((s) => [s.name, { depends_on: {}, scale: 1, attach: true, profiles: [], networks: {}, volumes: [], ...s }]);
  return {
    ...emptyProject("shop" as ProjectName, "/srv/shop" as HostPath),
    files: ["/srv/shop/compose.yaml" as HostPath],
    services: Object.fromEntries(all) as Project["services"],
  };
}

export interface FakeContainer {
  readonly service: string;
  readonly number?: number;
  readonly project?: string;
  readonly oneoff?: boolean;
  readonly status?: ContainerSummary["status"];
  readonly health?: ContainerSummary["health"];
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
  readonly signal?: number;
  readonly failures?: number;
  readonly endedBy?: NonNullable<ContainerSummary["state"]>["endedBy"];
  readonly reason?: string;
  readonly error?: { readonly stage: string; readonly message: string };
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly nextRestartAt?: string;
  readonly createdAt?: string;
  readonly ports?: NonNullable<ContainerSummary["state"]>["ports"];
  readonly command?: readonly string[];
  readonly image?: string;
}

export function fakeContainer(made: FakeContainer): ContainerSummary {
  const { service, number = 1, project = "shop", oneoff = false, status = "running", health = "none" } = made;
  const id = Buffer.from(`${project}-${service}-${number}`).toString("hex").padEnd(64, "0").slice(0, 64) as ContainerId;
  const name = `${project}-${service}-${number}`;
  const common = { id, name, project, service, number, oneoff };
  return {
    ...common,
    status,
    health,
    record: {
      ...common,
      version: 1,
      createdAt: made.createdAt ?? "2026-01-01T00:00:00.000Z",
      configHash: "",
      labels: { "com.docker.compose.service": service },
      image: { reference: made.image ?? "nginx:1", id: `sha256:${"a".repeat(64)}` as Digest },
      command: made.command ?? ["nginx", "-g", "daemon off;"],
      tty: false,
      stdin: false,
      volumes: [],
      networks: [],
      joins: [],
      stop: { signal: 15, graceMs: 10_000 },
      removeOnExit: false,
    },
    ...(status === "created"
      ? {}
      : {
          state: {
            version: 1,
            id,
            status: status === "dead" ? "running" : status,
            bootId: "",
            monitorPid: 0,
            pid: 0,
            pidStart: 0,
            startedAt: made.startedAt ?? "2026-01-01T00:57:00.000Z",
            finishedAt: made.finishedAt ?? "",
            exitCode: made.exitCode ?? 0,
            signal: made.signal ?? 0,
            oomKilled: made.oomKilled ?? false,
            endedBy: made.endedBy ?? "",
            ...(made.reason === undefined ? {} : { reason: made.reason }),
            error: made.error === undefined ? null : { call: "", errno: 0, path: "", ...made.error },
            failures: made.failures ?? 0,
            restarts: 0,
            nextRestartAt: made.nextRestartAt ?? "",
            stopRequested: false,
            ports: made.ports ?? [],
            netns: "",
          },
        }),
  };
}
