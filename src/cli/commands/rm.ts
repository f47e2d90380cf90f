import { change } from "../apply.ts";
import { defineCommand } from "../command.ts";
import { isAlive, ofActive } from "../containers.ts";
import { boolean } from "../flags.ts";
import { isNameAlone, projectToChange } from "../project.ts";
import { canAsk, confirm } from "../questions.ts";
import { statusStream } from "../status-stream.ts";
import { StackError } from "../../core/index.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

export const command = defineCommand({
  name: "rm",
  summary: "Remove stopped service containers",
  details: "Anonymous volumes stay, unless -v is given. Data that is not in a volume is lost.",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: {
    all: boolean("Without effect: one-off containers are included", { short: "a", hidden: true }),
    force: boolean("Don't ask to confirm removal", { short: "f" }),
    stop: boolean("Stop the containers, if required, before removing", { short: "s" }),
    volumes: boolean("Remove any anonymous volumes attached to containers", { short: "v" }),
  },
  async run(context, flags, services) {
    const project = await projectToChange(context, services);
    const engine = await context.doors.engine();
    const undeclared = isNameAlone(context);
    const containers = ofActive(await engine.containers({ project: project.name }), services, undeclared ? undefined : project).filter((c) => !c.oneoff && (flags.stop || !isAlive(c)));
    if (containers.length === 0) {
      await statusStream(context).write("No stopped containers\n");
      return 0;
    }
    const question = `Going to remove ${containers.map((c) => c.name).join(", ")}`;
    if (flags.force || context.globals.dryRun) await context.stdout.write(`${question}\n`);
    else {
      if (!canAsk(context)) throw new StackError("question", question, { hint: "Answer with -f to go on: there is no terminal to ask at." });
      if (!(await confirm(context, question))) return 0;
    }
    return change(
      context,
      () => Promise.resolve(project),
      () => reconcileOptions("remove", { services, undeclared, removeStopFirst: flags.stop, removeAnonymousVolumes: flags.volumes }),
    );
  },
});
