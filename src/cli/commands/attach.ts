import { defineCommand } from "../command.ts";
import { runningContainer } from "../containers.ts";
import { boolean, integer, text } from "../flags.ts";
import { projectOrName } from "../project.ts";
import { detached, parseDetachKeys, stream, terminalSize } from "../terminal-streams.ts";

export const command = defineCommand({
  name: "attach",
  summary: "Attach local standard input, output, and error streams to a service's running container",
  positionals: ["<service>"],
  usage: "[OPTIONS] SERVICE",
  flags: {
    detachKeys: text("Override the key sequence for detaching from a container."),
    index: integer("index of the container if service has multiple replicas."),
    noStdin: boolean("Do not attach STDIN"),
    sigProxy: boolean("Proxy all received signals to the process", { initial: true }),
  },
  async run(context, flags, [service = ""]) {
    const [target, engine] = await Promise.all([projectOrName(context, [service]), context.doors.engine()]);
    const container = await runningContainer(engine, target, service, flags.index);
    const { tty } = container.record;
    const stdin = !flags.noStdin && container.record.stdin;
    const monitor = engine.monitor(container.id);
    const session = await monitor.attach({ stdin, stdout: true, stderr: true, ...(tty ? terminalSize() : {}) });
    const end = await stream(context, session, { tty, stdin, proxySignals: flags.sigProxy, detachKeys: parseDetachKeys(flags.detachKeys ?? "ctrl-p,ctrl-q") });
    if (end === detached) return 0;
    const code = end?.exitCode ?? 0;
    return code < 0 ? 255 : code;
  },
});
