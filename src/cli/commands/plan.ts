import { graceMs, pullOf, scaleOf } from "../amounts.ts";
import { defineCommand } from "../command.ts";
import { changesStatus } from "../differences.ts";
import { boolean, integer, list, text } from "../flags.ts";
import { loadProject } from "../project.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

export const command = defineCommand({
  name: "plan",
  summary: "Show what `up` would do, and why",
  details: "Changes nothing, and starts nothing. With --exit-code it ends with 0 if nothing is to be done, with 2 if something is.",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: {
    alwaysRecreateDeps: boolean("Recreate dependent containers"),
    down: boolean("What `down` would do"),
    exitCode: boolean("End with 2 if there is something to do"),
    forceRecreate: boolean("Recreate containers even if their configuration and image haven't changed"),
    format: text("Output format", { choices: ["text", "json"] }),
    noDeps: boolean("Don't touch linked services"),
    noRecreate: boolean("If containers already exist, don't recreate them"),
    pull: text("As `up --pull`"),
    removeOrphans: boolean("Remove containers for services not defined in the stack file"),
    renewAnonVolumes: boolean("Recreate anonymous volumes", { short: "V" }),
    scale: list("Scale SERVICE to NUM instances", { value: "scale" }),
    timeout: integer("Shutdown timeout in seconds", { short: "t" }),
    volumes: boolean("With --down: volumes too", { short: "v" }),
  },
  async run(context, flags, services) {
    const [project, engine, { renderPlan }] = await Promise.all([loadProject(context, services), context.doors.engine(), import("../../reconcile/index.ts")]);
    const plan = await engine.plan(
      project,
      reconcileOptions(flags.down ? "down" : "up", {
        services,
        noDeps: flags.noDeps,
        recreate: flags.forceRecreate ? "force" : flags.noRecreate ? "never" : "diverged",
        recreateDependencies: flags.alwaysRecreateDeps,
        renewAnonymousVolumes: flags.renewAnonVolumes,
        removeOrphans: flags.removeOrphans,
        removeVolumes: flags.volumes,
        removeAnonymousVolumes: flags.volumes,
        scale: scaleOf(flags.scale),
        ...pullOf(flags.pull),
        ...graceMs(flags.timeout),
      }),
    );
    if (flags.format === "json" || context.globals.progress === "json") await context.stdout.write(`${JSON.stringify(plan)}\n`);
    else {
      const text = renderPlan(plan);
      await context.stdout.write(plan.operations.length === 0 && text.trim() === "" ? "nothing to do\n" : text.endsWith("\n") ? text : `${text}\n`);
    }
    return flags.exitCode && plan.operations.length > 0 ? changesStatus : 0;
  },
});
