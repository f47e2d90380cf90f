import { join, resolve } from "node:path";
import { parseDotenv } from "./dotenv.ts";
import type { FileReader } from "./reader.ts";
import type { Report } from "./report.ts";
import { makeSource } from "./source.ts";
import type { LoadRequest } from "./request.ts";

/** The variables that interpolation sees. The process environment wins over files. */
export class Environment {
  readonly values = new Map<string, string>();
  /** Environment files that were read, in order. */
  readonly files: string[] = [];

  constructor(env: LoadRequest["env"], cwd: string) {
    for (const [name, value] of Object.entries(env)) if (value !== undefined) this.values.set(name, value);
    // Docker Compose does not trust the shell for this one.
    this.values.set("PWD", cwd);
  }

  /** Adds what is not set yet. */
  addDefaults(values: ReadonlyMap<string, string>): void {
    for (const [name, value] of values) if (!this.values.has(name)) this.values.set(name, value);
  }
}

/** Reads environment files one after the other: later ones win and see the earlier ones. */
export async function readEnvFiles(
  files: readonly string[],
  environment: ReadonlyMap<string, string>,
  reader: FileReader,
  report: Report,
): Promise<ReadonlyMap<string, string>> {
  const values = new Map<string, string>();
  for (const file of files) {
    const result = await reader.read(file);
    if (result.kind !== "text") {
      report.error(undefined, {
        rule: "env-file",
        message: result.kind === "missing" ? `Couldn't find env file: ${file}` : `Cannot read the env file ${file}: ${result.reason}`,
      });
      continue;
    }
    const parsed = parseDotenv(result.text, (name) => environment.get(name), values);
    const source = makeSource(file, result.text);
    for (const problem of parsed.problems)
      report.error(
        { source, start: problem.at, end: problem.at + problem.length },
        { rule: "env-file", message: problem.message, hint: problem.hint ?? ENV_LINE },
      );
    for (const [name, value] of parsed.values) values.set(name, value);
  }
  return values;
}

/** `--env-file`, else COMPOSE_ENV_FILES, else `.env` of the directory unless COMPOSE_DISABLE_ENV_FILE. */
export async function projectEnvFiles(request: LoadRequest, directory: string, reader: FileReader): Promise<readonly string[]> {
  const named = request.envFiles ?? [];
  if (named.length > 0) return named.map((f) => resolve(request.cwd, f));
  const listed = request.env["COMPOSE_ENV_FILES"];
  if (listed !== undefined && listed !== "") return listed.split(",").filter((f) => f.trim() !== "").map((f) => resolve(request.cwd, f.trim()));
  if (/^(?:1|[tT]|true|TRUE|True)$/.test(request.env["COMPOSE_DISABLE_ENV_FILE"] ?? "")) return [];
  const file = join(directory, ".env");
  return (await reader.kind(file)) === "file" ? [file] : [];
}

/** What a line of an environment file looks like. */
export const ENV_LINE = "A line is NAME=VALUE; a value with quotes, # or line breaks in it stands in quotes that are closed.";
