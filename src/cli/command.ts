import { StackError } from "../core/index.ts";
import type { Context } from "./context.ts";
import { boolean } from "./flags.ts";
import type { Flags, FlagValues } from "./flags.ts";
import { renderHelp } from "./help.ts";
import { parseFlags } from "./parse.ts";

export interface CommandSpec<F extends Flags> {
  readonly name: string;
  readonly summary: string;
  /** More than the summary, for its help. */
  readonly details?: string;
  /** As commander writes them: `<service>`, `[services...]`. */
  readonly positionals: readonly string[];
  /** As Compose's help writes them. */
  readonly usage: string;
  readonly flags: F;
  readonly interspersed?: boolean;
  /** Returns the exit status; undefined is 0. */
  run(context: Context, flags: FlagValues<F>, positionals: readonly string[], given: ReadonlySet<string>): Promise<number | undefined>;
}

/** A command whose flags' types are its own business. */
export interface CommandModule {
  readonly name: string;
  readonly summary: string;
  readonly flags: Flags;
  readonly help: () => string;
  invoke(context: Context, argv: readonly string[]): Promise<number>;
}

const everywhere = { dryRun: boolean("Say what would be done, and do nothing") };

export function defineCommand<F extends Flags>(spec: CommandSpec<F>): CommandModule {
  const flags = { ...spec.flags, ...everywhere };
  const help = (): string => renderHelp({ ...spec, flags });
  return {
    name: spec.name,
    summary: spec.summary,
    flags,
    help,
    async invoke(context, argv) {
      if (asksForHelp(argv, spec)) {
        await context.stdout.write(help());
        return 0;
      }
      const parsed = parseFlags({ name: spec.name, flags, interspersed: spec.interspersed ?? true, positionals: spec.positionals }, argv);
      const dryRun = parsed.flags.dryRun === true || context.globals.dryRun;
      const own = parsed.flags as unknown as FlagValues<F>;
      // A copy would open standard input, which most commands never look at.
      const scene = dryRun === context.globals.dryRun ? context : { ...context, globals: { ...context.globals, dryRun } };
      return (await spec.run(scene, own, parsed.positionals, parsed.given)) ?? 0;
    },
  };
}

function asksForHelp(argv: readonly string[], spec: { readonly interspersed?: boolean }): boolean {
  for (const token of argv) {
    if (token === "--") return false;
    if (token === "--help" || token === "-h") return true;
    if (spec.interspersed === false && !token.startsWith("-")) return false;
  }
  return false;
}

/** Refuses flags that exclude each other, in Docker Compose's words. */
export function refuse(when: boolean, message: string, hint?: string): void {
  if (when) throw new StackError("usage", message, hint === undefined ? {} : { hint });
}
