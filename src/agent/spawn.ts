import { existsSync, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseProjectName, paths } from "../core/index.ts";
import type { DataRoot } from "../core/index.ts";
import { agentFlags, installProgram } from "../native/index.ts";
import type { NativeBinding } from "../native/index.ts";

/** `projects/NAME/agent.json`: what a client may know before it knows the project's name. */
export interface AgentRecord {
  readonly version: 1;
  readonly pid: number;
  readonly workingDir: string;
}

/** An agent that boots and has no project yet: it waits for one on its standard input. */
export interface Booting {
  readonly root: string;
  /** The write end of its standard input, and the read end of its standard output. Closing the first one ends it. */
  readonly input: number;
  readonly output: number;
}

export function spawnAgent(root: DataRoot, native: NativeBinding): Booting {
  mkdirSync(paths.projects(root), { recursive: true, mode: 0o700 });
  const program = installProgram(root);
  const [toAgent, input] = native.pipe();
  const [output, fromAgent] = native.pipe();
  const log = openSync(join(root.root, "agent.log"), "a", 0o600);
  native.spawn({
    file: process.execPath,
    argv: [process.execPath, ...agentFlags, program.agent],
    env: agentEnvironment(root),
    cwd: "/",
    fds: [toAgent, fromAgent, log],
  });
  for (const fd of [toAgent, fromAgent, log]) native.close(fd);
  return { root: root.root, input, output };
}

/** Is there a living agent whose project lives in this directory? Then none needs to boot ahead. */
export function someAgentOf(root: DataRoot, native: NativeBinding, cwd: string): boolean {
  let names: string[];
  try {
    names = readdirSync(paths.projects(root));
  } catch {
    return false;
  }
  return names.some((name) => {
    const project = parseProjectName(name);
    if (project === undefined) return false;
    const directory = paths.project(root, project);
    try {
      const record = JSON.parse(readFileSync(join(directory, "agent.json"), "utf8")) as AgentRecord;
      return record.workingDir === cwd && native.isLocked(join(directory, "agent.lock"));
    } catch {
      return false;
    }
  });
}

/** What an agent needs of the environment: programs, credentials, proxies; not the user's other variables. */
const passedOn: readonly string[] = [
  ...["PATH", "HOME", "USER", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "STACK_INSECURE_REGISTRIES", "STACK_PARALLEL", "TMPDIR", "TZ", "LANG"],
  ...["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"].flatMap((name) => [name, name.toLowerCase()]),
];

/** By another name: Node reads these certificates at its start, which takes longer than its start. `dist/load.js` puts it back. */
const renamed: Readonly<Record<string, string>> = { NODE_EXTRA_CA_CERTS: "STACK_EXTRA_CA_CERTS" };

const agentVariables: readonly (readonly [from: string, to: string])[] = [...passedOn.map((name) => [name, name] as const), ...Object.entries(renamed)];

export function agentEnvironment(root: DataRoot): string[] {
  const env = [`STACK_ROOT=${root.root}`];
  for (const [from, to] of agentVariables) {
    const value = process.env[from];
    if (value !== undefined) env.push(`${to}=${value}`);
  }
  return env;
}

/** What the launcher (native/launcher) has to know to boot an agent as this file does, a line each: `KIND VALUE`. */
export function launchLines(): string[] {
  return [...agentFlags.map((flag) => `flag ${flag}`), ...agentVariables.map(([from, to]) => `env ${from === to ? from : `${from} ${to}`}`)];
}

/** Where the command's launcher leaves the agent that it began to boot (`src/cli/ahead.ts`); it is another bundle. */
const place = Symbol.for("stack.booting-agent");
const shelf = globalThis as { [place]?: Booting | undefined };

/**
 * Begins to boot an agent before the command itself is loaded. Only where everything it needs is in place: the first
 * command on a data root, and all that can fail, is the command's own business.
 */
export function bootAhead(root: DataRoot, native: () => NativeBinding, cwd: string): void {
  if (!existsSync(paths.projects(root)) || !existsSync(installProgram(root, "look").agent)) return;
  const addon = native();
  if (!someAgentOf(root, addon, cwd)) shelf[place] = spawnAgent(root, addon);
}

/** The agent that boots already, if there is one for this data root. */
export function takeBooting(root: DataRoot): Booting | undefined {
  const booting = shelf[place];
  if (booting?.root !== root.root) return undefined;
  shelf[place] = undefined;
  return booting;
}

const launched = "STACK_BOOTING_AGENT";

/** Takes over the agent that the launcher began to boot before this process was Node, if it did: `INPUT OUTPUT ROOT`. */
export function takeLaunched(native: () => NativeBinding): boolean {
  const [, input, output, root] = /^(\d+) (\d+) (\/.*)$/s.exec(process.env[launched] ?? "") ?? [];
  Reflect.deleteProperty(process.env, launched);
  if (root === undefined) return false;
  const booting = { root, input: Number(input), output: Number(output) };
  for (const fd of [booting.input, booting.output]) native().closeOnExec(fd);
  shelf[place] = booting;
  return true;
}
