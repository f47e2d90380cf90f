import { open } from "node:fs/promises";
import { basename, join } from "node:path";
import { StackError } from "../../core/index.ts";
import { filesBelow, recognise, starterFile } from "../../init/index.ts";
import { STACK_FILE_NAMES } from "../../model/index.ts";
import { defineCommand } from "../command.ts";
import { text } from "../flags.ts";

export const command = defineCommand({
  name: "init",
  summary: "Write a first stack file for the project in this directory",
  details: `Recognises Node.js, Python, Go, Java, Ruby, PHP and Rust projects, a Procfile, a Dockerfile, and the databases
that their libraries speak to. Never overwrites a file. With --dry-run the file is printed and not written.`,
  positionals: [],
  usage: "[OPTIONS]",
  flags: { format: text("Which file: stack.yaml, or compose.yaml, which other tools read too", { choices: ["stack", "compose"] }) },
  async run(context, flags) {
    const name = flags.format === "compose" ? "compose.yaml" : "stack.yaml";
    const files = filesBelow(context.cwd);
    const there = (await files.list("")).find((n) => STACK_FILE_NAMES.includes(n));
    if (there !== undefined && !context.globals.dryRun)
      throw new StackError("usage", `${join(context.cwd, there)} is there already; init never overwrites a stack file, nor writes a second one beside it`, {
        hint: "`stack up` runs it. With --dry-run, init prints what it would have written.",
      });
    const { text, found } = starterFile(await recognise(files), name === "stack.yaml");
    if (context.globals.dryRun) {
      await context.stdout.write(text);
      return 0;
    }
    await writeNew(join(context.cwd, name), text);
    await context.stdout.write(found.length === 0 ? `Wrote ${name}. Nothing was recognised in ${basename(context.cwd)}: it says hello.\n` : `Wrote ${name} for:\n${found.map((f) => `  ${f}\n`).join("")}`);
    await context.stdout.write("`stack up` starts it.\n");
    return 0;
  },
});

/** Fails where a file of that name has come into being: nothing is ever overwritten, through a link neither. */
async function writeNew(path: string, text: string): Promise<void> {
  let file;
  try {
    file = await open(path, "wx", 0o644);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EEXIST") throw error;
    throw new StackError("usage", `${path} is there already; init never overwrites a file`, { cause: error });
  }
  try {
    await file.writeFile(text);
  } finally {
    await file.close();
  }
}
