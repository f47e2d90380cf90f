import { graceMs } from "../amounts.ts";
import { change, reconcileOptions } from "../apply.ts";
import { defineCommand } from "../command.ts";
import { boolean, integer } from "../flags.ts";
import { projectToChange } from "../project.ts";

export const command = defineCommand({
  name: "restart",
  summary: "Restart service containers",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: {
    noDeps: boolean("Don't restart dependent services"),
    timeout: integer("Specify a shutdown timeout in seconds", { short: "t" }),
  },
  run: (context, flags, services) =>
    change(
      context,
      () => projectToChange(context, services),
      () => reconcileOptions("restart", { services, noDeps: flags.noDeps, ...graceMs(flags.timeout) }),
    ),
});
