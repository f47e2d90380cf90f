import { StackError } from "../core/index.ts";
import { boolean, integer, list, text } from "./flags.ts";
import type { FlagValues } from "./flags.ts";

export const globalFlags = {
  file: list("Stack or Compose files; - is standard input", { short: "f" }),
  projectName: text("Project name", { short: "p" }),
  projectDirectory: text("Alternate working directory (default: where the first stack file is)", { aliases: ["workdir"] }),
  profile: list("Profile to enable"),
  envFile: list("Alternate environment file"),
  allResources: boolean("Include all resources, even those not used by services"),
  ansi: text("When to print ANSI control characters", { choices: ["never", "always", "auto"] }),
  progress: text("Type of progress output", { choices: ["auto", "tty", "plain", "json", "quiet"] }),
  parallel: integer("How many operations at once, -1 for no limit"),
  compatibility: boolean("Names with _ as Compose 1 had them"),
  dryRun: boolean("Say what would be done, and do nothing"),
  version: boolean("Show the version", { short: "v" }),
  help: boolean("Show this help", { short: "h" }),
};

export interface Globals {
  readonly files: readonly string[];
  readonly projectName: string | undefined;
  readonly projectDirectory: string | undefined;
  readonly profiles: readonly string[];
  readonly envFiles: readonly string[];
  readonly ansi: "never" | "always" | "auto";
  readonly progress: "auto" | "tty" | "plain" | "json" | "quiet";
  /** Undefined: without limit of the command's own. */
  readonly parallel: number | undefined;
  readonly dryRun: boolean;
}

type Env = Readonly<Record<string, string | undefined>>;

/** The command line first, then Compose's variables of the environment. */
export function resolveGlobals(flags: FlagValues<typeof globalFlags>, env: Env): Globals {
  if (flags.compatibility || isSet(env["COMPOSE_COMPATIBILITY"]))
    throw new StackError("unsupported", "--compatibility (names with _ as Compose 1 had them) is not supported", {
      hint: "Leave it out; names are PROJECT-SERVICE-NUMBER.",
    });
  if (flags.allResources)
    throw new StackError("unsupported", "--all-resources (resources that no service uses) is not supported", {
      hint: "Leave it out; networks and volumes are made when a service uses them.",
    });
  const parallel = flags.parallel ?? limitOf(env["COMPOSE_PARALLEL_LIMIT"]);
  return {
    files: flags.file,
    projectName: nonEmpty(flags.projectName) ?? nonEmpty(env["COMPOSE_PROJECT_NAME"]),
    projectDirectory: nonEmpty(flags.projectDirectory),
    profiles: flags.profile,
    envFiles: flags.envFile,
    ansi: oneOf(flags.ansi ?? env["COMPOSE_ANSI"], ["never", "always", "auto"] as const, "COMPOSE_ANSI") ?? "auto",
    progress: oneOf(flags.progress ?? env["COMPOSE_PROGRESS"], ["auto", "tty", "plain", "json", "quiet"] as const, "COMPOSE_PROGRESS") ?? "auto",
    parallel: parallel !== undefined && parallel > 0 ? parallel : undefined,
    dryRun: flags.dryRun,
  };
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

/** What Docker Compose takes for true; all else is false there, without a word. */
export function isSet(value: string | undefined): boolean {
  return value !== undefined && ["1", "t", "true", "y"].includes(value.trim().toLowerCase());
}

function limitOf(value: string | undefined): number | undefined {
  if (value === undefined || value === "") return undefined;
  if (!/^[-+]?\d{1,18}$/.test(value)) throw new StackError("usage", `COMPOSE_PARALLEL_LIMIT must be a whole number (found: "${value}")`);
  return Number(value);
}

function oneOf<const T extends string>(value: string | undefined, choices: readonly T[], name: string): T | undefined {
  if (value === undefined || value === "") return undefined;
  const found = choices.find((c) => c === value);
  if (found === undefined) throw new StackError("usage", `unsupported ${name} value "${value}"`, { hint: `Use one of ${choices.join(", ")}.` });
  return found;
}
