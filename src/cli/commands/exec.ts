import { isStackError, StackError } from "../../core/index.ts";
import { defineCommand } from "../command.ts";
import { runningContainer } from "../containers.ts";
import { boolean, integer, list, text } from "../flags.ts";
import { parseTarget, processIn } from "../process-targets.ts";
import { projectOrName } from "../project.ts";
import { detached, parseDetachKeys, stream, terminalSize } from "../terminal-streams.ts";

export const command = defineCommand({
  name: "exec",
  summary: "Execute a command in a running container",
  positionals: ["<service>", "<command>", "[args...]"],
  usage: "[OPTIONS] SERVICE[:PROCESS] COMMAND [ARGS...]",
  interspersed: false,
  flags: {
    detach: boolean("Detached mode: Run command in the background", { short: "d" }),
    env: list("Set environment variables", { short: "e" }),
    index: integer("Index of the container if service has multiple replicas"),
    interactive: boolean("Keep STDIN open even if not attached", { short: "i", initial: true, hidden: true }),
    noTty: boolean("Disable pseudo-TTY allocation. By default a TTY is allocated where standard input and output are one.", { short: "T", aliases: ["no-TTY"] }),
    privileged: boolean("Give extended privileges to the process"),
    tty: boolean("Allocate a pseudo-TTY", { short: "t", hidden: true }),
    user: text("Run the command as this user", { short: "u" }),
    workdir: text("Path to workdir directory for this command", { short: "w" }),
  },
  async run(context, flags, [named = "", ...args]) {
    const place = parseTarget(named);
    const service = place?.service ?? named;
    const [target, engine] = await Promise.all([projectOrName(context, [service]), context.doors.engine()]);
    const container = await runningContainer(engine, target, service, flags.index);
    if (container.status === "paused") throw new StackError("container-not-running", `${container.name} is paused`, { hint: `Go on with \`stack unpause ${service}\`.` });
    const tty = !flags.noTty && context.stdin.isTTY && context.stdout.isTTY && !flags.detach;
    const request = {
      args,
      env: flags.env.map((entry) => withValue(entry, context.env)).filter((entry) => entry !== undefined),
      privileged: flags.privileged,
      tty,
      stdin: flags.interactive && !flags.detach,
      ...(place === undefined ? {} : { process: processIn(container, place) }),
      ...(flags.user === undefined ? {} : { user: flags.user }),
      ...(flags.workdir === undefined ? {} : { cwd: flags.workdir }),
      ...(tty ? terminalSize() : {}),
    };
    const monitor = engine.monitor(container.id);
    try {
      if (flags.detach) {
        await monitor.execDetached(request);
        return 0;
      }
      const session = await monitor.exec(request);
      const end = await stream(context, session, { tty, stdin: request.stdin, proxySignals: true, detachKeys: parseDetachKeys("ctrl-p,ctrl-q") });
      return end === detached ? 0 : end.code;
    } catch (error) {
      throw explain(error, service, args[0] ?? "");
    }
  },
});

/** `KEY` alone takes the value of our own environment; unset, it is left out. */
export function withValue(entry: string, env: Readonly<Record<string, string | undefined>>): string | undefined {
  if (entry.includes("=")) return entry;
  const value = env[entry];
  return value === undefined ? undefined : `${entry}=${value}`;
}

/** Not found is 127, not executable 126, as shells and Docker have it. */
function explain(error: unknown, service: string, program: string): unknown {
  if (!isStackError(error)) return error;
  if (error.code === "command-not-found")
    return new StackError(error.code, `exec in "${service}": "${program}": executable file not found in $PATH`, { hint: "Write its whole path; the image may not have it.", cause: error });
  if (error.code === "command-not-executable") return new StackError(error.code, `exec in "${service}": "${program}" cannot be executed`, { hint: "Is it a file with execute permission, built for this platform?", cause: error });
  return error;
}
