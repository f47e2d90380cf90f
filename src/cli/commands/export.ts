import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { StackError } from "../../core/index.ts";
import { defineCommand, refuse } from "../command.ts";
import { existingContainer } from "../containers.ts";
import { each } from "../direct.ts";
import { integer, text } from "../flags.ts";
import { projectOrName } from "../project.ts";

export const command = defineCommand({
  name: "export",
  summary: "Export a service container's filesystem as a tar archive",
  details: "Without what is mounted in it: volumes, configs and secrets are left out.",
  positionals: ["<service>"],
  usage: "[OPTIONS] SERVICE",
  flags: {
    index: integer("index of the container if service has multiple replicas."),
    output: text("Write to a file, instead of STDOUT", { short: "o" }),
  },
  async run(context, flags, [service = ""]) {
    refuse(flags.output === undefined && context.stdout.isTTY, "an archive on a terminal helps nobody", "Use -o FILE, or redirect standard output.");
    const [target, engine] = await Promise.all([projectOrName(context, [service]), context.doors.engine()]);
    const container = await existingContainer(engine, target, service, flags.index);
    const what = { path: "/", name: "", ownMount: true };
    const { signal } = { signal: context.interrupts.graceful };
    await each(context, [container], { doing: "Exporting", done: "Exported", subject: ({ name }) => `${name} export ${name} to ${flags.output ?? "-"}` }, async ({ id }) => {
      if (flags.output === undefined) return engine.files(id).packTo(what, 1, signal);
      const path = resolve(context.cwd, flags.output);
      const file = await open(path, "w", 0o600).catch((cause: unknown) => {
        throw new StackError("usage", `cannot write ${path}`, { cause });
      });
      try {
        await engine.files(id).packTo(what, file.fd, signal);
      } finally {
        await file.close();
      }
    });
    return 0;
  },
});
