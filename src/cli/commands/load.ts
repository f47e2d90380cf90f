import { resolve } from "node:path";
import { shortId, StackError } from "../../core/index.ts";
import type { HostPath } from "../../core/index.ts";
import { defineCommand } from "../command.ts";
import { boolean, text } from "../flags.ts";

export const command = defineCommand({
  name: "load",
  summary: "Load images from a docker-archive or an OCI layout",
  details: "FILE is a tar archive (also compressed with gzip or zstd) or a directory; without one the archive comes from standard input.",
  positionals: ["[file]"],
  usage: "[OPTIONS] [FILE]",
  flags: {
    input: text("Read from this file or directory", { short: "i" }),
    platform: text("Load only this platform, e.g. linux/amd64"),
    quiet: boolean("Only print what was loaded by id", { short: "q" }),
    format: text("Output format", { choices: ["text", "json"] }),
  },
  async run(context, flags, [file]) {
    const from = flags.input ?? file;
    if (from === undefined && context.stdin.isTTY) throw new StackError("usage", "load: no file, and standard input is a terminal", { hint: "Write `stack load -i image.tar`." });
    if (context.globals.dryRun) {
      await context.stdout.write(`would load ${from ?? "standard input"}\n`);
      return 0;
    }
    const engine = await context.doors.engine();
    const source = from === undefined || from === "-" ? context.stdin : (resolve(context.cwd, from) as HostPath);
    const loaded = await engine.images.load(source, { signal: context.interrupts.graceful, ...(flags.platform === undefined ? {} : { platform: flags.platform }) });
    for (const { reference, image } of loaded) {
      if (flags.format === "json") await context.stdout.write(`${JSON.stringify({ Reference: reference, ID: image.id, Size: image.size })}\n`);
      else if (flags.quiet) await context.stdout.write(`${image.id}\n`);
      else await context.stdout.write(reference === null ? `Loaded image ID: ${image.id}\n` : `Loaded image: ${reference} (${shortId(image.id)})\n`);
    }
    return 0;
  },
});
