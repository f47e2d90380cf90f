import { join } from "node:path";
import { paths } from "../core/index.ts";
import type { DataRoot, ProjectName } from "../core/index.ts";
import { agentFlags } from "../native/index.ts";
import type { Program } from "../native/index.ts";
import type { MonitorSpec } from "../runtime/index.ts";

/** How a monitor brings the agent of its project back. */
export function agentCommand(root: DataRoot, project: ProjectName, program: Program): NonNullable<MonitorSpec["agent"]> {
  // An agent has of the environment what an agent needs, and no more (`src/agent/spawn.ts`).
  const env = Object.entries(process.env).flatMap(([name, value]) => (name === "STACK_ROOT" || value === undefined ? [] : [`${name}=${value}`]));
  return {
    argv: [process.execPath, ...agentFlags, program.agent, "--project", project],
    env: [`STACK_ROOT=${root.root}`, ...env],
    lock: paths.agentLock(root, project),
    respawnLock: `${paths.project(root, project)}/respawn.lock`,
    log: join(root.root, "agent.log"),
  };
}
