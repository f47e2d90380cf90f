import { constants } from "node:os";
import { StackError } from "../../core/index.ts";
import { defineCommand } from "../command.ts";
import { isAlive, ofActive } from "../containers.ts";
import { each } from "../direct.ts";
import { boolean, text } from "../flags.ts";
import { onProcesses, splitTargets } from "../process-targets.ts";
import { projectOrName } from "../project.ts";
import { statusStream } from "../status-stream.ts";

export const command = defineCommand({
  name: "kill",
  summary: "Force stop service containers",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE[:PROCESS]...]",
  flags: {
    removeOrphans: boolean("Kill containers of services not defined in the stack file, and one-off containers, as well"),
    signal: text('SIGNAL to send to the container (default "SIGKILL")', { short: "s" }),
  },
  async run(context, flags, names) {
    const signal = signalNumber(flags.signal ?? "SIGKILL");
    const { services, targets } = splitTargets(names);
    if (targets.length > 0) await onProcesses(context, targets, "kill", { signal });
    if (services.length === 0 && targets.length > 0) return 0;
    const [{ name, project }, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
    const all = await engine.containers({ project: name });
    // Docker Compose calls orphans here whatever the file has not (or not active), and kills it too.
    const among = flags.removeOrphans && services.length === 0 ? all : ofActive(all, services, project).filter((c) => !c.oneoff);
    const containers = among.filter(isAlive);
    if (containers.length === 0) {
      await statusStream(context).write("no container to kill\n");
      return 0;
    }
    await each(context, containers, { doing: "Killing", done: "Killed" }, async (container) => {
      const monitor = engine.monitor(container.id);
      // SIGKILL is meant to end it: no restart policy brings it back, and no stop with a long grace period is waited for.
      if (signal === constants.signals.SIGKILL) await Promise.all([monitor.stop({ signal, graceMs: 0 }), monitor.kill(signal, true).catch(() => undefined)]);
      else await monitor.kill(signal);
    });
    return 0;
  },
});

/** `9`, `KILL`, `SIGKILL`, `RTMIN+3` → the number. */
export function signalNumber(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number >= 1 && number <= 64) return number;
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realtime = /^RTM(IN|AX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realtime !== null) {
    const number = (realtime[1] === "IN" ? 34 : 64) + (realtime[2] === "-" ? -1 : 1) * Number(realtime[3] ?? 0);
    if (number >= 34 && number <= 64) return number;
  }
  const found = Object.entries(constants.signals).find(([key]) => key === `SIG${name}`)?.[1];
  if (found === undefined) throw new StackError("usage", `invalid signal "${text}"`, { hint: "For example SIGTERM, HUP or 9." });
  return found;
}
