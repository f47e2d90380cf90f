import { graceMs } from "../amounts.ts";
import { change } from "../apply.ts";
import { defineCommand } from "../command.ts";
import { integer } from "../flags.ts";
import { onProcesses, splitTargets } from "../process-targets.ts";
import { isNameAlone, projectToChange } from "../project.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

export const command = defineCommand({
  name: "stop",
  summary: "Stop services",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE[:PROCESS]...]",
  flags: { timeout: integer("Specify a shutdown timeout in seconds", { short: "t" }) },
  async run(context, flags, names) {
    const { services, targets } = splitTargets(names);
    if (targets.length > 0) await onProcesses(context, targets, "stop", graceMs(flags.timeout));
    if (services.length === 0 && targets.length > 0) return 0;
    return change(
      context,
      () => projectToChange(context, services),
      () => reconcileOptions("stop", { services, undeclared: isNameAlone(context), ...graceMs(flags.timeout) }),
    );
  },
});
