import { StackError } from "../core/index.ts";
import type { Context } from "./context.ts";
import { withEnvFile } from "./env-file.ts";
import { globalFlags, resolveGlobals } from "./globals.ts";
import { entry, renderFlags } from "./help.ts";
import { initialValues, parseFlags } from "./parse.ts";
import { commands, findCommand } from "./registry.ts";
import { nearest } from "./suggest.ts";

/** From the words of the command line to the exit status of the command. */
export async function runProgram(argv: readonly string[], makeContext: (globals: Context["globals"], env?: Context["env"]) => Context): Promise<number> {
  const syntax = { name: "stack", flags: globalFlags, interspersed: false, positionals: ["[command...]"] };
  const withoutFlags = (): Context => makeContext(resolveGlobals(initialValues(globalFlags), {}));
  const parsed = parseFlags(syntax, argv);
  const [name, ...rest] = parsed.positionals;
  if (parsed.flags.version) return invoke("version", [], withoutFlags());
  if (name === undefined || parsed.flags.help || (name === "help" && rest.length === 0)) {
    const context = withoutFlags();
    if (name !== undefined && name !== "help") return invoke(name, ["--help"], context);
    await context.stdout.write(rootHelp());
    return 0;
  }
  const scene = withoutFlags();
  const env = await withEnvFile(parsed.flags, scene.env, scene.cwd);
  const context = makeContext(resolveGlobals(parsed.flags, env), env);
  if (name === "help") return invoke(rest[0] ?? "help", ["--help"], context);
  return invoke(name, rest, context);
}

async function invoke(name: string, argv: readonly string[], context: Context): Promise<number> {
  const found = findCommand(name);
  if (found === undefined) throw unknownCommand(name);
  const { command } = await found.load();
  return command.invoke(context, argv);
}

function unknownCommand(name: string): StackError {
  const notYet: Readonly<Record<string, string>> = {
    build: "building images",
    push: "pushing images",
    watch: "watch mode",
    commit: "committing containers",
    publish: "publishing applications",
    bridge: "conversion to other models",
  };
  const what = notYet[name];
  if (what !== undefined) return new StackError("unsupported", `stack ${name}: ${what} is not there yet`, { hint: "`stack --help` lists what is." });
  const near = nearest(name, commands.flatMap((c) => [c.name, ...(c.aliases ?? [])]));
  return new StackError("usage", `unknown command: "${name}"`, { hint: near === undefined ? "`stack --help` lists all commands." : `Did you mean \`stack ${near}\`?` });
}

function rootHelp(): string {
  const shown = commands.filter((c) => c.hidden !== true);
  const column = Math.max(...shown.map((c) => c.name.length)) + 5;
  const { version, help, ...global } = globalFlags;
  return [
    "Usage:  stack [OPTIONS] COMMAND",
    "Run multi-container applications from a stack.yaml or compose.yaml, on a container runtime of its own",
    `Options:\n${renderFlags({ ...global, version, help })}`,
    `Commands:\n${shown.map((c) => entry(`  ${c.name}`, c.summary, column)).join("\n")}`,
    "`stack help COMMAND` says more about one.\n",
  ].join("\n\n");
}
