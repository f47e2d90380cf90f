import { defineCommand } from "../command.ts";
import { freeze } from "../freeze.ts";

export const command = defineCommand({
  name: "unpause",
  summary: "Unpause services",
  positionals: ["[services...]"],
  usage: "[SERVICE...]",
  flags: {},
  run: (context, _flags, services) => freeze(context, services, "unpause"),
});
