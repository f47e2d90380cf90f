import { StackError } from "../../core/index.ts";
import { defineCommand } from "../command.ts";
import { boolean, list, text } from "../flags.ts";
import { printListing } from "../output/listing.ts";

export const command = defineCommand({
  name: "ls",
  summary: "List running projects",
  positionals: [],
  usage: "[OPTIONS]",
  flags: {
    all: boolean("Show all stopped projects", { short: "a" }),
    filter: list("Filter output based on conditions provided", { value: "filter" }),
    format: text("Output format: table, json, or a Go template"),
    quiet: boolean("Only display project names", { short: "q" }),
  },
  async run(context, flags) {
    const names = flags.filter.map((filter) => {
      const [key, value = ""] = filter.split("=", 2);
      if (key !== "name") throw new StackError("usage", `unknown filter ${key ?? ""}`, { hint: "For example --filter name=shop." });
      return value;
    });
    const engine = await context.doors.engine();
    const projects = (await engine.projects())
      .filter((p) => flags.all || /running|paused|restarting/.test(p.status))
      .filter((p) => names.length === 0 || names.some((n) => matches(p.name, n)))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    if (flags.quiet) await context.stdout.write(projects.map((p) => `${p.name}\n`).join(""));
    else
      await printListing(context, flags.format, {
        rows: projects.map((p) => ({ Name: p.name, Status: p.status, ConfigFiles: p.configFiles.join(",") })),
        columns: [
          { heading: "NAME", field: "Name" },
          { heading: "STATUS", field: "Status" },
          { heading: "CONFIG FILES", field: "ConfigFiles" },
        ],
        json: "array",
        table: { minimum: 20 },
      });
    return 0;
  },
});

/** A part of the name, or a regular expression, as Docker's name filters are. */
function matches(name: string, pattern: string): boolean {
  if (name.includes(pattern)) return true;
  try {
    return new RegExp(pattern).test(name);
  } catch {
    return false;
  }
}
