import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { JsonLines, parseProjectName, paths, resolveDataRoot, StackError, sweepHalfWritten } from "../core/index.ts";
import type { HostPath, ProjectName } from "../core/index.ts";
import { ProjectSession } from "../engine/index.ts";
import { installProgram, loadNative } from "../native/index.ts";
import { Follower } from "./follow.ts";
import { unaskedRules } from "./protocol.ts";
import { AgentServer } from "./server.ts";

/**
 * The agent's process.
 *
 *     agent.js                 unbound: waits on standard input for {"project":NAME}, answers {"bound":true|false}
 *     agent.js --project NAME  a monitor noticed that the agent has gone: take over, or end if another one did
 *
 * One agent has a project: the one that holds its lock. It ends when nothing of the project runs any more and
 * nobody is connected.
 */
const root = resolveDataRoot(process.env, process.getuid?.() ?? 0);
const native = loadNative();

/** How long an agent without work waits for the next command before it ends, milliseconds. */
const idleGraceMs = 200;

const worked = Symbol.for("stack.agent-worked");

function fail(error: unknown): void {
  process.stderr.write(`${new Date().toISOString()} ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
}

/** The command that started this agent, at the other end of its standard input, until it is connected. */
interface Starter {
  readonly there: boolean;
  /** Calls when it has gone, or is connected. */
  onGone: () => void;
  leave(): void;
}

const nobody: Starter = { there: false, onGone: () => undefined, leave: () => undefined };

async function bind(project: ProjectName, adopt: boolean, starter: Starter): Promise<boolean> {
  const directory = paths.project(root, project);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = native.lock(join(directory, "agent.lock"), "exclusive", false);
  if (lock < 0) return false;
  sweepHalfWritten(directory);
  process.title = `stack-agent ${project}`;
  const session = await ProjectSession.open(root, project, native);
  let ending = false;
  let idle: NodeJS.Timeout | undefined;

  const end = async (): Promise<void> => {
    if (ending) return;
    ending = true;
    clearTimeout(idle);
    follower.close();
    starter.leave();
    await server.close();
    await session.close();
    native.close(lock);
  };
  const lookIdle = (): void => {
    clearTimeout(idle);
    if (ending || starter.there || server.connections > 0 || session.busy || session.needed || follower.active) return;
    if (session.finished) {
      end().catch(fail);
      return;
    }
    idle = setTimeout(() => {
      if (server.connections > 0 || session.busy || session.needed || follower.active) return;
      end().catch(fail);
    }, idleGraceMs);
  };
  const follower = new Follower(
    join(directory, "follow.json") as HostPath,
    (event) => {
      session.events.emit(event);
    },
    lookIdle,
  );
  const server = await AgentServer.listen({
    follower,
    native,
    socket: paths.agentSocket(root, project),
    session,
    version: installProgram(root).hash,
    onIdle: lookIdle,
    onShutdown: () => {
      end().catch(fail);
    },
  });
  starter.onGone = lookIdle;
  session.events.on(lookIdle);
  // What it does without being asked is to be read somewhere.
  session.events.on((event) => {
    if (event.type === "warning" && unaskedRules.has(event.rule)) process.stderr.write(`${new Date().toISOString()} ${project}: ${event.rule}: ${event.message}\n`);
  });
  session.events.on((event) => {
    // The launcher keeps the code of an agent that has done its main job (build.mjs).
    if (event.type === "container" && event.change === "started") (globalThis as { [worked]?: boolean })[worked] = true;
  });
  session.onRest(lookIdle);
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => void end().catch(fail));
  follower.resume();
  if (adopt) await session.adopt();
  else session.adopt().then(lookIdle, fail);
  session.onWorkingDirectory((workingDir) => {
    writeFileSync(join(directory, "agent.json"), JSON.stringify({ version: 1, pid: process.pid, workingDir }), { mode: 0o600 });
  });
  lookIdle();
  return true;
}

/** While the command reads its files: has Node load what every project needs of it, some ten milliseconds of work. */
function warm(): void {
  for (const id of ["node:crypto", "node:fs/promises", "node:cluster", "node:dgram", "node:perf_hooks"]) process.getBuiltinModule(id);
  // The first one has OpenSSL look for the algorithm.
  createHash("sha256").update("").digest("hex");
}

function unbound(): void {
  const input = new Socket({ fd: 0, readable: true, writable: false });
  const output = new Socket({ fd: 1, readable: false, writable: true });
  output.on("error", () => undefined);
  let asked = false;
  const starter = { there: true, onGone: (): void => undefined, leave: () => void input.destroy() };
  new JsonLines(input, (message) => {
    asked = true;
    const project = parseProjectName(String((message as { project?: unknown }).project));
    const answer = (reply: { readonly bound?: boolean; readonly error?: string }): void => {
      output.end(`${JSON.stringify(reply)}\n`);
      if (reply.bound !== true) input.destroy();
    };
    if (project === undefined) {
      answer({ error: "no project" });
      return;
    }
    bind(project, false, starter).then(
      (bound) => {
        answer({ bound });
      },
      (error: unknown) => {
        fail(error);
        answer({ error: error instanceof Error ? error.message : String(error) });
        process.exitCode = 1;
      },
    );
  });
  input.on("error", () => undefined);
  setImmediate(() => {
    if (!asked) warm();
  });
  // The command is connected by now, or it ended without needing an agent.
  input.on("close", () => {
    starter.there = false;
    starter.onGone();
    if (!asked) output.destroy();
  });
}

process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);

const at = process.argv.indexOf("--project");
if (at >= 0) {
  const project = parseProjectName(process.argv[at + 1] ?? "");
  if (project === undefined) throw new StackError("usage", "--project needs a name");
  bind(project, true, nobody).catch((error: unknown) => {
    fail(error);
    process.exitCode = 1;
  });
} else {
  unbound();
}
