import { StackError } from "../../core/index.ts";
import { defineCommand } from "../command.ts";
import type { Context } from "../context.ts";
import { boolean, longName } from "../flags.ts";
import type { Flag } from "../flags.ts";
import { globalFlags } from "../globals.ts";
import { commands, findCommand } from "../registry.ts";

const scripts: Readonly<Record<string, string>> = {
  bash: `_stack() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(stack completion --words -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _stack stack
`,
  zsh: `#compdef stack
_stack() {
  local -a found
  found=(\${(f)"$(stack completion --words -- \${words[2,CURRENT]} 2>/dev/null)"})
  compadd -- $found || _files
}
compdef _stack stack
`,
  fish: `complete -c stack -f -a '(stack completion --words -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
};

export const command = defineCommand({
  name: "completion",
  summary: "Print a completion script for bash, zsh or fish",
  details: "For example: stack completion bash > /etc/bash_completion.d/stack",
  positionals: ["[shell-or-words...]"],
  usage: "bash|zsh|fish",
  flags: { words: boolean("Print what may stand at the end of the words", { hidden: true }) },
  async run(context, flags, words) {
    if (flags.words) {
      await context.stdout.write((await candidates(words, () => services(context))).map((w) => `${w}\n`).join(""));
      return 0;
    }
    const script = scripts[words[0] ?? ""];
    if (script === undefined) throw new StackError("usage", words[0] === undefined ? "completion: which shell?" : `completion: unknown shell "${words[0]}"`, { hint: "There are bash, zsh and fish." });
    await context.stdout.write(script);
    return 0;
  },
});

async function services(context: Context): Promise<readonly string[]> {
  const loaded = await context.doors.loadProject({ env: context.env, cwd: context.cwd });
  return loaded.ok ? Object.keys(loaded.project.services) : [];
}

/** Flags after a dash; commands in the first place; services after a command. */
export async function candidates(words: readonly string[], serviceNames: () => Promise<readonly string[]>): Promise<readonly string[]> {
  const last = words.at(-1) ?? "";
  const entry = words.slice(0, -1).map(findCommand).find((found) => found !== undefined);
  if (last.startsWith("-")) return flagNames(entry === undefined ? globalFlags : (await entry.load()).command.flags);
  if (entry === undefined) return commands.filter((c) => c.hidden !== true).map((c) => c.name);
  return serviceNames();
}

function flagNames(flags: Readonly<Record<string, Flag<unknown>>>): readonly string[] {
  return Object.entries(flags)
    .filter(([, flag]) => flag.hidden !== true)
    .map(([key, flag]) => `--${longName(key, flag)}`);
}
