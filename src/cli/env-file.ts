import { readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { StackError } from "../core/index.ts";

type Env = Readonly<Record<string, string | undefined>>;

interface Where {
  readonly file: readonly string[];
  readonly envFile: readonly string[];
  readonly projectDirectory: string | undefined;
}

/**
 * The environment with the `COMPOSE_…` variables of the environment file, which speak to the command as those of the
 * shell do (`COMPOSE_IGNORE_ORPHANS`, `COMPOSE_PROGRESS` …); the shell's win. What is wrong in the file the model says.
 */
export async function withEnvFile(flags: Where, env: Env, cwd: string): Promise<Env> {
  const texts = envFiles(flags, env, cwd).map(readOrNothing);
  // Most have none, and then nothing is to be parsed.
  if (!texts.some((text) => text.includes("COMPOSE_"))) return env;
  const { parseDotenv } = await import("../model/index.ts");
  const values = new Map<string, string>();
  for (const text of texts) for (const [name, value] of parseDotenv(text, (name) => env[name], values).values) values.set(name, value);
  const known = Object.fromEntries([...values].filter(([name]) => name.startsWith("COMPOSE_")));
  return { ...known, ...env };
}

function envFiles(flags: Where, env: Env, cwd: string): readonly string[] {
  if (flags.envFile.length > 0) return flags.envFile.map((file) => resolve(cwd, file));
  const listed = env["COMPOSE_ENV_FILES"] ?? "";
  if (listed !== "") return listed.split(",").filter((file) => file.trim() !== "").map((file) => resolve(cwd, file.trim()));
  if (isDisabled(env["COMPOSE_DISABLE_ENV_FILE"])) return [];
  const [first] = flags.file;
  const beside = first === undefined || first === "-" ? cwd : dirname(resolve(cwd, first));
  return [join(resolve(cwd, flags.projectDirectory ?? beside), ".env")];
}

/** The one variable that Docker Compose refuses where it is neither true nor false (Go, `strconv.ParseBool`). */
function isDisabled(value: string | undefined): boolean {
  if (value === undefined || /^(?:|0|[fF]|false|FALSE|False)$/.test(value)) return false;
  if (/^(?:1|[tT]|true|TRUE|True)$/.test(value)) return true;
  throw new StackError("usage", `COMPOSE_DISABLE_ENV_FILE must be true or false (found: "${value}")`, { hint: "Write 1 or 0, or unset it." });
}

/** As `FILE_LIMIT` of the model, which is not to be loaded for this. */
const largest = 16_000_000;

/** Only what is a file: a FIFO would be empty when the model comes to read it. What is too large the model refuses. */
function readOrNothing(file: string): string {
  try {
    const info = statSync(file);
    return info.isFile() && info.size <= largest ? readFileSync(file, "utf8") : "";
  } catch {
    return "";
  }
}
