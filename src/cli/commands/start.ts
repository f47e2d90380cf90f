import { waitTimeoutMs } from "../amounts.ts";
import { change } from "../apply.ts";
import { defineCommand } from "../command.ts";
import { boolean, integer } from "../flags.ts";
import { onProcesses, splitTargets } from "../process-targets.ts";
import { isNameAlone, projectToChange } from "../project.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

export const command = defineCommand({
  name: "start",
  summary: "Start services",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE[:PROCESS]...]",
  flags: {
    wait: boolean("Wait for services to be running|healthy"),
    waitTimeout: integer("Maximum duration in seconds to wait for the services to be running|healthy"),
  },
  async run(context, flags, names) {
    const { services, targets } = splitTargets(names);
    if (targets.length > 0) await onProcesses(context, targets, "start");
    if (services.length === 0 && targets.length > 0) return 0;
    return change(
      context,
      () => projectToChange(context, services),
      () => reconcileOptions("start", { services, undeclared: isNameAlone(context), wait: flags.wait, ...waitTimeoutMs(flags.waitTimeout) }),
    );
  },
});
