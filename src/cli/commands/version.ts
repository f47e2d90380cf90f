import { defineCommand } from "../command.ts";
import { boolean, text } from "../flags.ts";
import { version } from "../version.ts";

export const command = defineCommand({
  name: "version",
  summary: "Show the version",
  positionals: [],
  usage: "[OPTIONS]",
  flags: {
    format: text("Output format", { short: "f", choices: ["pretty", "json"] }),
    short: boolean("Only the version's number"),
  },
  async run(context, flags) {
    if (flags.short) await context.stdout.write(`${version}\n`);
    else if (flags.format === "json") await context.stdout.write(`${JSON.stringify({ version, node: process.version, arch: process.arch })}\n`);
    else await context.stdout.write(`stack version ${version}\n`);
    return 0;
  },
});
