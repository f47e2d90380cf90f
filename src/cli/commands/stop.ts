import { graceMs } from "../amounts.ts";
import { change, reconcileOptions } from "../apply.ts";
import { defineCommand } from "../command.ts";
import { integer } from "../flags.ts";
import { projectToChange } from "../project.ts";

export const command = defineCommand({
  name: "stop",
  summary: "Stop services",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: { timeout: integer("Specify a shutdown timeout in seconds", { short: "t" }) },
  run: (context, flags, services) =>
    change(
      context,
      () => projectToChange(context, services),
      () => reconcileOptions("stop", { services, ...graceMs(flags.timeout) }),
    ),
});
