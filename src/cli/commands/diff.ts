import { defineCommand } from "../command.ts";
import { changesStatus, differencesOf, renderDifferences } from "../differences.ts";
import { boolean, text } from "../flags.ts";
import { loadProject } from "../project.ts";
import { reconcileOptions } from "../../reconcile/index.ts";

export const command = defineCommand({
  name: "diff",
  summary: "Show how what runs differs from what the file says",
  details: "Changes nothing. + is in the file and not there, - is there and not in the file, ~ is there and differs. With --exit-code it ends with 2 if something differs.",
  positionals: ["[services...]"],
  usage: "[OPTIONS] [SERVICE...]",
  flags: {
    exitCode: boolean("End with 2 if something differs"),
    format: text("Output format", { choices: ["text", "json"] }),
  },
  async run(context, flags, services) {
    const [project, engine] = await Promise.all([loadProject(context, services), context.doors.engine()]);
    const differences = differencesOf(await engine.plan(project, reconcileOptions("up", { services, removeOrphans: true })));
    if (flags.format === "json") await context.stdout.write(`${JSON.stringify(differences)}\n`);
    else await context.stdout.write(differences.length === 0 ? "no differences\n" : renderDifferences(differences));
    return flags.exitCode && differences.length > 0 ? changesStatus : 0;
  },
});
