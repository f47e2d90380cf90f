import { paths } from "../core/index.ts";
import type { DataRoot, ProjectName } from "../core/index.ts";
import { agentFlags } from "../native/index.ts";
import type { Program } from "../native/index.ts";
import type { MonitorSpec } from "../runtime/index.ts";

/** How a monitor brings the agent of its project back. */
export function agentCommand(root: DataRoot, project: ProjectName, program: Program): NonNullable<MonitorSpec["agent"]> {
  const keep = ["PATH", "HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "NODE_EXTRA_CA_CERTS", "STACK_INSECURE_REGISTRIES"];
  const env = keep.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [`${name}=${value}`];
  });
  return {
    argv: [process.execPath, ...agentFlags, program.agent, "--project", project],
    env: [`STACK_ROOT=${root.root}`, ...env],
    lock: paths.agentLock(root, project),
    respawnLock: `${paths.project(root, project)}/respawn.lock`,
  };
}
