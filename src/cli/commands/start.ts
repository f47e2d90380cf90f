import { waitTimeoutMs } from "../amounts.ts";
import { change, reconcileOptions } from "../apply.ts";
import { defineCommand } from "../command.ts";
import { boolean, integer } from "../flags.ts";
import { projectToChange } from "../project.ts";

export const command = defineCommand({
  name: "start",
  summary: "Start services",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: {
    wait: boolean("Wait for services to be running|healthy"),
    waitTimeout: integer("Maximum duration in seconds to wait for the services to be running|healthy"),
  },
  run: (context, flags, services) =>
    change(
      context,
      () => projectToChange(context, services),
      () => reconcileOptions("start", { services, wait: flags.wait, ...waitTimeoutMs(flags.waitTimeout) }),
    ),
});
