import { longName } from "./flags.ts";
import { globalFlags } from "./globals.ts";

/** The commands that an agent carries out. */
const byAgent: ReadonlySet<string> = new Set(["up", "create", "run", "start", "restart", "scale", "stop", "down", "kill", "rm"]);

/** The commands that look at files and at nothing else. */
const byFiles: ReadonlySet<string> = new Set(["config", "convert", "lint", "version"]);

/** Without a parser: which command is meant, if it is as clear as it nearly always is. */
export function commandOf(argv: readonly string[]): string | undefined {
  const valued = new Set<string>();
  for (const [key, flag] of Object.entries(globalFlags)) {
    if (flag.kind === "boolean") continue;
    for (const long of [longName(key, flag), ...(flag.aliases ?? [])]) valued.add(`--${long}`);
    if (flag.short !== undefined) valued.add(`-${flag.short}`);
  }
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? "";
    if (valued.has(word)) at += 1;
    else if (!word.startsWith("-")) return word;
  }
  return undefined;
}

/** Does it pay to boot an agent while the command loads? A word too many costs a process, one too few some milliseconds. */
export function needsAgent(command: string | undefined, argv: readonly string[]): boolean {
  return command !== undefined && byAgent.has(command) && !argv.some((word) => word === "--help" || word === "-h" || word.startsWith("--dry-run"));
}

export function readsFilesAlone(command: string | undefined): boolean {
  return command === undefined || byFiles.has(command);
}
