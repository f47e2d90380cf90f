import { StackError } from "../../core/index.ts";
import { pullOf, scaleOf } from "../amounts.ts";
import { change } from "../apply.ts";
import { defineCommand, refuse } from "../command.ts";
import { boolean, list, text } from "../flags.ts";
import { isSet } from "../globals.ts";
import { checkService, loadProject } from "../project.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

export const command = defineCommand({
  name: "create",
  summary: "Create containers for a service",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: {
    build: boolean("Build images before starting containers"),
    forceRecreate: boolean("Recreate containers even if their configuration and image haven't changed"),
    noBuild: boolean("Don't build an image, even if it's policy"),
    noRecreate: boolean("If containers already exist, don't recreate them. Incompatible with --force-recreate."),
    pull: text("Pull image before running (\"always\"|\"missing\"|\"never\") (default \"policy\")"),
    quietPull: boolean("Pull without printing progress information"),
    removeOrphans: boolean("Remove containers for services not defined in the stack file"),
    scale: list("Scale SERVICE to NUM instances. Overrides the scale setting in the stack file if present.", { value: "scale" }),
    yes: boolean('Assume "yes" as answer to all prompts and run non-interactively', { short: "y" }),
  },
  async run(context, flags, services) {
    refuse(flags.build && flags.noBuild, "--build and --no-build are incompatible");
    refuse(flags.forceRecreate && flags.noRecreate, "--force-recreate and --no-recreate are incompatible");
    if (flags.build) throw new StackError("unsupported", "create --build: building images is not there yet", { hint: "Give the service an `image:` that can be pulled or was loaded with `stack load`." });
    const scale = scaleOf(flags.scale);
    return change(
      context,
      async () => {
        const project = await loadProject(context, services);
        for (const service of Object.keys(scale)) checkService(project, service);
        return project;
      },
      () =>
        reconcileOptions("create", {
          services,
          scale,
          recreate: flags.forceRecreate ? "force" : flags.noRecreate ? "never" : "diverged",
          removeOrphans: flags.removeOrphans || isSet(context.env["COMPOSE_REMOVE_ORPHANS"]),
          ignoreOrphans: isSet(context.env["COMPOSE_IGNORE_ORPHANS"]),
          ...pullOf(flags.pull),
        }),
      { quietImages: flags.quietPull, yes: flags.yes },
    );
  },
});
