import { StackError } from "../../core/index.ts";
import { change, interrupted } from "../apply.ts";
import { defineCommand } from "../command.ts";
import { ofServices } from "../containers.ts";
import { boolean } from "../flags.ts";
import { isNameAlone, projectOrName, projectToChange } from "../project.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

export const command = defineCommand({
  name: "wait",
  summary: "Block until containers of all (or specified) services stop.",
  positionals: ["<services...>"],
  usage: "SERVICE [SERVICE...] [OPTIONS]",
  flags: { downProject: boolean("Drops project when the first container stops") },
  async run(context, flags, services) {
    const [{ name, project }, engine] = await Promise.all([projectOrName(context, services), context.doors.engine()]);
    const all = await engine.containers({ project: name });
    if (all.length === 0) throw new StackError("no-such-container", `no containers for project "${name}"`, { hint: "Start it with `stack up -d`." });
    const containers = ofServices(all, services, project).filter((c) => !c.oneoff);
    const { graceful } = context.interrupts;
    const waits = containers.map(async (container) => {
      const state = await engine.monitor(container.id).wait(graceful);
      const ended = state?.exitCode ?? container.state?.exitCode ?? 0;
      const code = ended < 0 ? 255 : ended;
      await context.stdout.write(`container "${container.name}" exited with status code ${code}\n`);
      return code;
    });
    let status = 0;
    try {
      if (flags.downProject) status = await Promise.race(waits);
      else status = (await Promise.all(waits)).find((code) => code !== 0) ?? 0;
    } catch (error) {
      throw graceful.aborted ? interrupted(context) : error;
    } finally {
      for (const wait of waits) wait.catch(() => undefined);
    }
    if (flags.downProject)
      await change(
        context,
        () => projectToChange(context),
        () => reconcileOptions("down", { undeclared: isNameAlone(context) }),
      );
    return status;
  },
});
