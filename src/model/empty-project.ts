import type { HostPath, ProjectName } from "../core/index.ts";
import type { Project } from "./project.ts";

/** A project of which nothing is known but its name: for commands on what is there, without a file. */
export function emptyProject(name: ProjectName, workingDir: HostPath): Project {
  return {
    version: 1,
    name,
    working_dir: workingDir,
    files: [],
    env_files: [],
    profiles: [],
    services: {},
    disabled_services: {},
    networks: {},
    volumes: {},
    configs: {},
    secrets: {},
    models: {},
    extensions: {},
  };
}
