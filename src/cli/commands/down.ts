import { StackError } from "../../core/index.ts";
import { graceMs } from "../amounts.ts";
import { change } from "../apply.ts";
import { defineCommand } from "../command.ts";
import { boolean, integer, text } from "../flags.ts";
import { isSet } from "../globals.ts";
import { isNameAlone, projectToChange } from "../project.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

export const command = defineCommand({
  name: "down",
  summary: "Stop and remove containers, networks",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICES]",
  flags: {
    removeOrphans: boolean("Remove containers for services not defined in the stack file"),
    rmi: text("Remove images used by services. \"local\" removes only images that don't have a custom tag (\"local\"|\"all\")"),
    timeout: integer("Specify a shutdown timeout in seconds", { short: "t" }),
    volumes: boolean('Remove named volumes declared in the "volumes" section of the stack file and anonymous volumes attached to containers', { short: "v" }),
  },
  async run(context, flags, services) {
    const { rmi } = flags;
    if (rmi !== undefined && rmi !== "" && rmi !== "local" && rmi !== "all")
      throw new StackError("usage", `invalid value for --rmi: "${rmi}"`, { hint: 'Use "all" or "local".' });
    return change(
      context,
      () => projectToChange(context, services),
      () =>
        reconcileOptions("down", {
          services,
          // Without a file everything of the project goes: there is nobody to say what an orphan is.
          undeclared: services.length === 0 && isNameAlone(context),
          removeOrphans: flags.removeOrphans || isSet(context.env["COMPOSE_REMOVE_ORPHANS"]),
          ignoreOrphans: isSet(context.env["COMPOSE_IGNORE_ORPHANS"]),
          removeVolumes: flags.volumes,
          removeAnonymousVolumes: flags.volumes,
          ...(rmi === "local" || rmi === "all" ? { removeImages: rmi } : {}),
          ...graceMs(flags.timeout),
        }),
      { nothing: (project) => `warning: No resource found to remove for project "${project.name}".` },
    );
  },
});
