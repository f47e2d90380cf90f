import { StackError } from "../../core/index.ts";
import type { StartTimings } from "../../engine/index.ts";
import { defineCommand } from "../command.ts";
import type { Context } from "../context.ts";
import { text } from "../flags.ts";
import { renderBars, renderCriticalTable, renderDot, renderHead, timingsJson } from "../output/timings.ts";
import { projectOrName } from "../project.ts";

const formats = ["text", "table", "graph", "dot", "json"] as const;

export const command = defineCommand({
  name: "analyze",
  summary: "Show where the time of the last start went: what waited for what, and how long",
  details:
    "The critical path is what the start waited for, one after the other: whatever is not on it could have been quicker without any gain. It is known of the last `up`, `start` or `restart` that had something to do, also when the project runs no more. Formats: text (table and graph), table, graph (bars), dot (for Graphviz), json.",
  positionals: [],
  usage: "[OPTIONS]",
  flags: { format: text("Output format", { choices: [...formats] }) },
  async run(context, flags) {
    const [{ name }, engine] = await Promise.all([projectOrName(context, []), context.doors.engine()]);
    const timings = await engine.lastTimings(name);
    if (timings === undefined)
      throw new StackError("no-such-project", `Nothing is known of a start of project "${name}"`, { hint: "Only a start that had something to do is remembered, and not for ever: `stack up --timings`." });
    await context.stdout.write(render(timings, flags.format, context, context.stdout.columns));
    return 0;
  },
});

function render(timings: StartTimings, format: string | undefined, context: Context, columns: number): string {
  switch (format) {
    case "json":
      return `${JSON.stringify(timingsJson(timings))}\n`;
    case "dot":
      return renderDot(timings);
    case "graph":
      return renderBars(timings, columns);
    case "table":
      return renderCriticalTable(timings);
    default:
      return `${renderHead(timings, context.clock.now())}\n${renderCriticalTable(timings)}\n${renderBars(timings, columns)}`;
  }
}

/** `up --timings`: of the start that began then; says so if there is none. */
export async function showTimings(context: Context, project: string, began: number): Promise<void> {
  const engine = await context.doors.engine();
  const timings = await engine.lastTimings(project);
  const { stderr } = context;
  // The agent's clock and ours are the same, in fractions of a millisecond that the record does not keep.
  if (timings === undefined || Date.parse(timings.began) < Math.floor(began)) await stderr.write("nothing was done, so that there are no timings\n");
  else await stderr.write(`\n${render(timings, undefined, context, stderr.columns)}`);
}
