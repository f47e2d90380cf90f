import { graceMs } from "../amounts.ts";
import { change } from "../apply.ts";
import { defineCommand } from "../command.ts";
import { boolean, integer } from "../flags.ts";
import { onProcesses, splitTargets } from "../process-targets.ts";
import { isNameAlone, projectToChange } from "../project.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

export const command = defineCommand({
  name: "restart",
  summary: "Restart service containers",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE[:PROCESS]...]",
  flags: {
    noDeps: boolean("Don't restart dependent services"),
    timeout: integer("Specify a shutdown timeout in seconds", { short: "t" }),
  },
  async run(context, flags, names) {
    const { services, targets } = splitTargets(names);
    if (targets.length > 0) await onProcesses(context, targets, "restart", graceMs(flags.timeout));
    if (services.length === 0 && targets.length > 0) return 0;
    return change(
      context,
      () => projectToChange(context, services),
      () => reconcileOptions("restart", { services, undeclared: isNameAlone(context), noDeps: flags.noDeps, ...graceMs(flags.timeout) }),
    );
  },
});
