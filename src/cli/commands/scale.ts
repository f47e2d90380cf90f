import { scaleOf } from "../amounts.ts";
import { change } from "../apply.ts";
import { defineCommand } from "../command.ts";
import { boolean } from "../flags.ts";
import { isSet } from "../globals.ts";
import { checkService, loadProject } from "../project.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

export const command = defineCommand({
  name: "scale",
  summary: "Scale services",
  positionals: ["<service=replicas...>"],
  usage: "[SERVICE=REPLICAS...]",
  flags: { noDeps: boolean("Don't start linked services") },
  async run(context, flags, items) {
    const scale = scaleOf(items, "scale specifier");
    const services = Object.keys(scale);
    return change(
      context,
      async () => {
        const project = await loadProject(context, services);
        for (const service of services) checkService(project, service);
        return project;
      },
      () => reconcileOptions("up", { services, scale, noDeps: flags.noDeps, ignoreOrphans: isSet(context.env["COMPOSE_IGNORE_ORPHANS"]) }),
    );
  },
});
