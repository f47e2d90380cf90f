import { longName } from "./flags.ts";
import { globalFlags } from "./globals.ts";

/** The commands that an agent carries out. */
const byAgent: ReadonlySet<string> = new Set(["up", "create", "run", "start", "restart", "scale", "stop", "down", "kill", "rm"]);

/** The commands that look at files and at nothing else. */
const byFiles: ReadonlySet<string> = new Set(["config", "convert", "lint", "version"]);

/** The global flags that take the next word as their value. */
function valuedFlags(): ReadonlySet<string> {
  const valued = new Set<string>();
  for (const [key, flag] of Object.entries(globalFlags)) {
    if (flag.kind === "boolean") continue;
    for (const long of [longName(key, flag), ...(flag.aliases ?? [])]) valued.add(`--${long}`);
    if (flag.short !== undefined) valued.add(`-${flag.short}`);
  }
  return valued;
}

/** Without a parser: which command is meant, if it is as clear as it nearly always is. */
export function commandOf(argv: readonly string[]): string | undefined {
  const valued = valuedFlags();
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? "";
    if (valued.has(word)) at += 1;
    else if (!word.startsWith("-")) return word;
  }
  return undefined;
}

/** With one of these, also as `WORD=…`, nothing is changed. */
const onlyLooks: ReadonlySet<string> = new Set(["--help", "-h", "--dry-run"]);

/** Does it pay to boot an agent while the command loads? A word too many costs a process, one too few some milliseconds. */
export function needsAgent(command: string | undefined, argv: readonly string[]): boolean {
  return command !== undefined && byAgent.has(command) && !argv.some((word) => onlyLooks.has(word.split("=", 1)[0] ?? ""));
}

/** The same for the launcher (native/launcher), a line each: `KIND VALUE`. */
export function commandLines(): string[] {
  const lines = (kind: string, values: Iterable<string>): string[] => [...values].map((value) => `${kind} ${value}`);
  return [...lines("command", byAgent), ...lines("valued", valuedFlags()), ...lines("unless", onlyLooks)];
}

export function readsFilesAlone(command: string | undefined): boolean {
  return command === undefined || byFiles.has(command);
}
