import { StackError } from "../core/index.ts";
import type { FollowRequest } from "../agent/client.ts";
import type { Project } from "../model/index.ts";
import type { UpFlags } from "./commands/up.ts";
import type { Context } from "./context.ts";

/**
 * What the agent runs when a file of the stack changes: this very command in the background, without what is meant for
 * once (`--force-recreate`, `--pull always`) or for the terminal.
 */
export function followRequest(context: Context, project: Project, flags: UpFlags, services: readonly string[], loadedAt: number): FollowRequest {
  const { globals } = context;
  if (globals.files.includes("-") || project.files.length === 0) throw new StackError("usage", "--follow cannot watch standard input", { hint: "Give the stack as a file." });
  const each = (name: string, values: readonly string[]): string[] => values.flatMap((value) => [name, value]);
  const one = (name: string, value: string | number | undefined): string[] => (value === undefined ? [] : [name, String(value)]);
  const set = (name: string, value: boolean): string[] => (value ? [name] : []);
  return {
    argv: [
      ...context.doors.program(),
      ...each("--file", globals.files),
      ...each("--env-file", globals.envFiles),
      ...each("--profile", globals.profiles),
      ...one("--project-name", globals.projectName),
      ...one("--project-directory", globals.projectDirectory),
      ...one("--parallel", globals.parallel),
      "--progress=plain",
      "up",
      "--detach",
      "--follow",
      ...set("--no-deps", flags.noDeps),
      ...set("--no-recreate", flags.noRecreate),
      ...set("--remove-orphans", flags.removeOrphans),
      ...set("--yes", flags.yes),
      ...each("--scale", flags.scale),
      ...one("--timeout", flags.timeout),
      ...services,
    ],
    cwd: context.cwd,
    env: context.env,
    files: [...new Set([...project.files, ...project.env_files, ...Object.values(project.services).flatMap((service) => service.env_file.map((file) => file.path))])],
    loadedAt,
  };
}
