import type { CommandModule } from "./command.ts";

/** Every command, and where it is: imported only when it is the one. */
export interface Entry {
  readonly name: string;
  readonly summary: string;
  readonly aliases?: readonly string[];
  readonly hidden?: boolean;
  load(): Promise<{ readonly command: CommandModule }>;
}

export const commands: readonly Entry[] = [
  { name: "analyze", summary: "Show where the time of the last start went: what waited for what, and how long", load: () => import("./commands/analyze.ts") },
  { name: "attach", summary: "Attach local standard input, output, and error streams to a service's running container", load: () => import("./commands/attach.ts") },
  { name: "completion", summary: "Print a completion script for bash, zsh or fish", load: () => import("./commands/completion.ts") },
  { name: "config", aliases: ["convert"], summary: "Parse, resolve and render the stack file in canonical format", load: () => import("./commands/config.ts") },
  { name: "cp", summary: "Copy files/folders between a service container and the local filesystem", load: () => import("./commands/cp.ts") },
  { name: "create", summary: "Create containers for a service", load: () => import("./commands/create.ts") },
  { name: "diff", summary: "Show how what runs differs from what the file says", load: () => import("./commands/diff.ts") },
  { name: "down", summary: "Stop and remove containers, networks", load: () => import("./commands/down.ts") },
  { name: "events", summary: "Receive real time events from containers", load: () => import("./commands/events.ts") },
  { name: "exec", summary: "Execute a command in a running container", load: () => import("./commands/exec.ts") },
  { name: "export", summary: "Export a service container's filesystem as a tar archive", load: () => import("./commands/export.ts") },
  { name: "images", summary: "List images used by the created containers", load: () => import("./commands/images.ts") },
  { name: "init", summary: "Write a first stack file for the project in this directory", load: () => import("./commands/init.ts") },
  { name: "kill", summary: "Force stop service containers", load: () => import("./commands/kill.ts") },
  { name: "lint", summary: "Find what is wrong with the stack files, and what runs but will hurt", load: () => import("./commands/lint.ts") },
  { name: "load", summary: "Load images from a docker-archive or an OCI layout", load: () => import("./commands/load.ts") },
  { name: "logs", summary: "View output from containers", load: () => import("./commands/logs.ts") },
  { name: "ls", summary: "List running projects", load: () => import("./commands/ls.ts") },
  { name: "pause", summary: "Pause services", load: () => import("./commands/pause.ts") },
  { name: "plan", summary: "Show what `up` would do, and why", load: () => import("./commands/plan.ts") },
  { name: "port", summary: "Print the public port for a port binding", load: () => import("./commands/port.ts") },
  { name: "ps", summary: "List containers", load: () => import("./commands/ps.ts") },
  { name: "pull", summary: "Pull service images", load: () => import("./commands/pull.ts") },
  { name: "restart", summary: "Restart service containers", load: () => import("./commands/restart.ts") },
  { name: "rm", summary: "Remove stopped service containers", load: () => import("./commands/rm.ts") },
  { name: "run", summary: "Run a one-off command on a service", load: () => import("./commands/run.ts") },
  { name: "scale", summary: "Scale services", load: () => import("./commands/scale.ts") },
  { name: "start", summary: "Start services", load: () => import("./commands/start.ts") },
  { name: "stats", summary: "Display a live stream of container(s) resource usage statistics", load: () => import("./commands/stats.ts") },
  { name: "status", summary: "Say whether everything is as the file says, or why not", load: () => import("./commands/status.ts") },
  { name: "stop", summary: "Stop services", load: () => import("./commands/stop.ts") },
  { name: "top", summary: "Display the running processes", load: () => import("./commands/top.ts") },
  { name: "unpause", summary: "Unpause services", load: () => import("./commands/unpause.ts") },
  { name: "up", summary: "Create and start containers", load: () => import("./commands/up.ts") },
  { name: "version", summary: "Show the version", load: () => import("./commands/version.ts") },
  { name: "volumes", summary: "List volumes", load: () => import("./commands/volumes.ts") },
  { name: "wait", summary: "Block until containers of all (or specified) services stop", load: () => import("./commands/wait.ts") },
];

export function findCommand(name: string): Entry | undefined {
  return commands.find((c) => c.name === name || c.aliases?.includes(name) === true);
}
