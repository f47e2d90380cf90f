import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { AgentClient, PendingAgent } from "../agent/client.ts";
import type { ApplyRequest, ApplyResult, ContainerSummary, Engine, EngineEvent } from "../engine/index.ts";
import type { Project } from "../model/index.ts";
import { command } from "./commands/up.ts";
import { fakeContainer, fakeContext, fakeProject } from "./fake-context.ts";
import type { FakeContext } from "./fake-context.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "stack-attached-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const begun = "2026-01-01T01:00:01.000Z";
const fine: ApplyResult = { ok: true, done: 1, failures: [], skipped: 0 };

/** An agent whose containers the test moves. */
class Rig {
  readonly containers = new Map<string, ContainerSummary>();
  readonly goals: string[] = [];
  readonly context: FakeContext;
  #kill: () => void = () => undefined;
  #tell: (event: EngineEvent) => void = () => undefined;
  #apply: (request: ApplyRequest, signal: AbortSignal) => Promise<ApplyResult> = () => Promise.resolve(fine);

  constructor(project: Project) {
    const client: AgentClient = {
      apply: (request, signal) => {
        this.goals.push(request.options.goal);
        return request.options.goal === "stop" ? this.stopAll() : this.#apply(request, signal);
      },
      events: (signal, onEvent) =>
        new Promise((resolve) => {
          this.#tell = onEvent;
          signal.addEventListener("abort", () => resolve());
        }),
      run: () => Promise.reject(new Error("not here")),
      release: async () => undefined,
      follow: () => Promise.resolve(),
      status: () => Promise.reject(new Error("not here")),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const agent: PendingAgent = { bind: () => Promise.resolve(client), abandon: () => undefined };
    this.context = fakeContext({
      project,
      root,
      agent,
      engine: {
        containers: () => Promise.resolve([...this.containers.values()]),
        monitor: () =>
          ({
            kill: () => {
              this.#kill();
              return Promise.resolve();
            },
          }) as unknown as ReturnType<Engine["monitor"]>,
      },
    });
  }

  onKill(work: () => void): void {
    this.#kill = work;
  }

  /** What `up` does. */
  onUp(work: (signal: AbortSignal) => Promise<ApplyResult>): void {
    this.#apply = (_, signal) => work(signal);
  }

  async starts(service: string, ...lines: string[]): Promise<void> {
    const container = fakeContainer({ service, startedAt: begun });
    this.containers.set(container.id, container);
    const directory = join(root, "containers", container.id, "log");
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "container.log"), lines.map((line) => `${JSON.stringify({ log: `${line}\n`, stream: "stdout", time: begun })}\n`).join(""));
    this.#tell({ type: "container", container, change: "started" });
  }

  exits(service: string, exitCode: number, status: "exited" | "restarting" = "exited"): void {
    const container = fakeContainer({ service, startedAt: begun, status, exitCode, finishedAt: begun });
    this.containers.set(container.id, container);
    // The agent may tell the same end more than once.
    for (let i = 0; i < 2; i += 1) this.#tell({ type: "container", container, change: status });
  }

  /** Ends, but the agent's word of it is late. */
  async runsUnheard(service: string, ...lines: string[]): Promise<void> {
    const tell = this.#tell;
    this.#tell = () => undefined;
    await this.starts(service, ...lines);
    this.exits(service, 0);
    this.#tell = tell;
  }

  async stopAll(): Promise<ApplyResult> {
    for (const container of this.containers.values()) if (container.status === "running") this.exits(container.service, 143);
    return fine;
  }

  up(...argv: string[]): Promise<number> {
    return command.invoke(this.context, argv);
  }
}

describe("stack up in the foreground", () => {
  test("shows the logs in columns and ends with 0 when all containers have ended", async () => {
    const rig = new Rig(fakeProject(["web", "migrate"]));
    rig.onUp(async () => {
      await rig.starts("web", "listening");
      await rig.starts("migrate", "done");
      return fine;
    });
    const ended = rig.up();
    await rig.context.out.shows("listening");
    await rig.context.out.shows("done");
    rig.exits("migrate", 3);
    await rig.context.out.shows("migrate-1 exited with code 3");
    rig.exits("web", 0);
    expect(await ended).toBe(0);
    expect(rig.context.err.text).toContain("Attaching to migrate-1, web-1\n");
    expect(rig.context.out.text.split("\n").sort()).toEqual(["", "migrate-1  | done", "migrate-1 exited with code 3", "web-1      | listening", "web-1 exited with code 0"]);
    expect(rig.goals).toEqual(["up"]);
  });

  test.each(["heard", "unheard"])("what a container wrote that ended before the project was up is shown, its end %s of", async (how) => {
    const rig = new Rig(fakeProject(["job"]));
    rig.onUp(async () => {
      if (how === "unheard") await rig.runsUnheard("job", "quick");
      else {
        await rig.starts("job", "quick");
        rig.exits("job", 0);
      }
      return fine;
    });
    expect(await rig.up()).toBe(0);
    expect(rig.context.out.text).toBe("job-1  | quick\njob-1 exited with code 0\n");
  });

  test("a container that ended before this command is none of its business", async () => {
    const rig = new Rig(fakeProject(["web"]));
    rig.onUp(async () => {
      await rig.starts("web", "new");
      return fine;
    });
    const old = fakeContainer({ service: "web", number: 9, status: "exited", exitCode: 1, startedAt: "2026-01-01T00:00:00Z" });
    rig.containers.set(old.id, old);
    const ended = rig.up("--abort-on-container-exit");
    await rig.context.out.shows("new");
    rig.exits("web", 5);
    expect(await ended).toBe(5);
    expect(rig.context.out.text).not.toContain("web-9");
  });

  test("a signal stops the containers, and the status is 130", async () => {
    const rig = new Rig(fakeProject(["web"]));
    rig.onUp(async () => {
      await rig.starts("web", "ready");
      return fine;
    });
    const ended = rig.up();
    await rig.context.out.shows("ready");
    rig.context.interrupts.raise("SIGINT");
    expect(await ended).toBe(130);
    expect(rig.goals).toEqual(["up", "stop"]);
    expect(rig.context.err.text).toContain("Gracefully Stopping... press Ctrl+C again to force");
    expect(rig.context.out.text).toContain("web-1 exited with code 143");
  });

  test("a second signal kills what does not want to stop", async () => {
    const rig = new Rig(fakeProject(["web"]));
    rig.onUp(async () => {
      await rig.starts("web", "ready");
      return fine;
    });
    let stopping: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => (stopping = resolve));
    let killed: () => void = () => undefined;
    rig.onKill(() => {
      rig.exits("web", 137);
      killed();
    });
    rig.stopAll = async () => {
      stopping();
      await new Promise<void>((resolve) => (killed = resolve));
      return fine;
    };
    const ended = rig.up();
    await rig.context.out.shows("ready");
    rig.context.interrupts.raise("SIGINT");
    await asked;
    rig.context.interrupts.raise("SIGINT");
    expect(await ended).toBe(130);
    expect(rig.context.err.text).toContain("Killing web-1\n");
    expect(rig.context.out.text).toContain("web-1 exited with code 137");
  });

  test("a signal while it starts cancels that, and stops what runs already", async () => {
    const rig = new Rig(fakeProject(["db", "web"]));
    rig.onUp(async (signal) => {
      await rig.starts("db", "initialising");
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      return { ...fine, ok: false };
    });
    const ended = rig.up();
    await rig.context.out.shows("initialising");
    rig.context.interrupts.raise("SIGTERM");
    expect(await ended).toBe(130);
    expect(rig.goals).toEqual(["up", "stop"]);
  });

  test.each<[string, readonly string[], string, number, number]>([
    ["any end", ["--abort-on-container-exit"], "migrate", 0, 0],
    ["the first one's code", ["--abort-on-container-exit"], "migrate", 3, 3],
    ["a failure", ["--abort-on-container-failure"], "migrate", 4, 4],
    ["the chosen one's code", ["--exit-code-from", "web"], "migrate", 3, 143],
  ])("%s aborts with %j", async (_, argv, service, code, status) => {
    const rig = new Rig(fakeProject(["web", "migrate"]));
    rig.onUp(async () => {
      await rig.starts("web", "ready");
      await rig.starts("migrate", "run");
      return fine;
    });
    const ended = rig.up(...argv);
    await rig.context.out.shows("ready");
    await rig.context.out.shows("run");
    rig.exits(service, code);
    expect(await ended).toBe(status);
    expect(rig.goals).toEqual(["up", "stop"]);
    expect(rig.context.err.text).toContain("Aborting on container exit...");
  });

  test("success does not abort on failure; a restart is told and ends nothing", async () => {
    const rig = new Rig(fakeProject(["web", "migrate"]));
    rig.onUp(async () => {
      await rig.starts("web", "ready");
      await rig.starts("migrate", "run");
      return fine;
    });
    const ended = rig.up("--abort-on-container-failure");
    await rig.context.out.shows("run");
    rig.exits("migrate", 0);
    rig.exits("web", 1, "restarting");
    await rig.context.out.shows("web-1 exited with code 1 (restarting)");
    rig.exits("web", 0);
    expect(await ended).toBe(0);
    expect(rig.goals).toEqual(["up"]);
  });

  test("only what is attached is shown; a named service ends it although others run on", async () => {
    const rig = new Rig(fakeProject([{ name: "web", depends_on: { db: {} } }, "db", "other"]));
    rig.onUp(async () => {
      await rig.starts("db", "database");
      await rig.starts("web", "ready");
      return fine;
    });
    await rig.starts("other", "noise");
    const ended = rig.up("web");
    await rig.context.out.shows("ready");
    rig.exits("db", 0);
    rig.exits("web", 0);
    expect(await ended).toBe(0);
    expect(rig.context.out.text).not.toMatch(/database|noise|db-1/);
  });

  test("what fails to start ends it with the error", async () => {
    const rig = new Rig(fakeProject(["web"]));
    rig.onUp(() => Promise.resolve({ ok: false, done: 0, skipped: 0, failures: [{ operation: "start-container shop-web-1", error: { code: "port-taken", message: "port 80 is taken", exitStatus: 1 } }] }));
    await expect(rig.up()).rejects.toMatchObject({ code: "port-taken", message: "port 80 is taken" });
  });
});
