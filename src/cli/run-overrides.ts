import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { StackError } from "../core/index.ts";
import type { RunRequest } from "../engine/index.ts";
import { isHostPath, parseDotenv, parseMount, parsePort, splitCommand } from "../model/index.ts";
import type { Mount, Port } from "../model/index.ts";
import type { Context } from "./context.ts";

export type Overrides = RunRequest["overrides"];

/** `-e KEY=value`, `-e KEY`, and `--env-from-file` before them; `null` leaves the variable out. */
export async function environmentOf(context: Context, entries: readonly string[], files: readonly string[]): Promise<Readonly<Record<string, string | null>>> {
  const environment: Record<string, string | null> = {};
  for (const file of files) {
    const path = resolve(context.cwd, file);
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      throw new StackError("usage", `cannot read the environment file ${path}`, { cause: error });
    }
    const { values, problems } = parseDotenv(text, (name) => context.env[name]);
    const [problem] = problems;
    if (problem !== undefined) throw new StackError("usage", `${path}: ${problem.message}`, problem.hint === undefined ? {} : { hint: problem.hint });
    for (const [key, value] of values) environment[key] = value;
  }
  for (const entry of entries) {
    const at = entry.indexOf("=");
    const key = at < 0 ? entry : entry.slice(0, at);
    if (key === "") throw new StackError("usage", `invalid environment variable "${entry}"`, { hint: "Write KEY=value." });
    environment[key] = at < 0 ? (context.env[key] ?? null) : entry.slice(at + 1);
  }
  return environment;
}

/** `-p 8080:80` */
export function portsOf(items: readonly string[]): readonly Port[] {
  return items.flatMap((item) => {
    const parsed = parsePort(item);
    if ("problem" in parsed) throw new StackError("usage", `invalid port "${item}": ${parsed.problem}`, { hint: "For example 8080:80, 127.0.0.1:8080:80 or 53:53/udp." });
    return parsed.ports.map((port) => ({ ...port, mode: "ingress" as const }));
  });
}

/** `-v SOURCE:TARGET[:ro]`; relative paths are the current directory's. Names are volumes of the stack file, or new ones. */
export function mountsOf(context: Context, items: readonly string[]): readonly Mount[] {
  return items.map((item): Mount => {
    const parsed = parseMount(item);
    if ("problem" in parsed) throw new StackError("usage", `invalid volume "${item}": ${parsed.problem}`, { hint: "For example ./data:/data:ro." });
    const { source, target, readOnly, nocopy, propagation, selinux } = parsed.mount;
    if (!target.startsWith("/")) throw new StackError("usage", `invalid volume "${item}": the path in the container must be absolute`);
    if (source !== undefined && isHostPath(source)) {
      const path = source.startsWith("~") ? homedir() + source.slice(1) : source;
      return {
        type: "bind",
        source: resolve(context.cwd, path) as Extract<Mount, { type: "bind" }>["source"],
        target,
        read_only: readOnly,
        create_host_path: true,
        ...(propagation === undefined ? {} : { propagation }),
        ...(selinux === undefined ? {} : { selinux }),
      };
    }
    if (source !== undefined && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(source))
      throw new StackError("usage", `invalid volume "${item}": "${source}" is no name for a volume`, { hint: `Write ./${source} for a directory.` });
    return { type: "volume", ...(source === undefined ? {} : { source }), target, read_only: readOnly, nocopy, labels: {} };
  });
}

/** `-l KEY=value` */
export function labelsOf(items: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    items.map((item) => {
      const at = item.indexOf("=");
      return at < 0 ? [item, ""] : [item.slice(0, at), item.slice(at + 1)];
    }),
  );
}

/** `--entrypoint "sh -c"` */
export function wordsOf(text: string): readonly string[] {
  const split = splitCommand(text);
  if (split === undefined || split.stoppedAt !== undefined) throw new StackError("usage", `invalid --entrypoint "${text}"`, { hint: "Check its quotes." });
  return split.words;
}
