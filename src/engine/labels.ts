import type { Project, Service } from "../model/index.ts";

/** Docker Compose's labels: people's scripts filter by them. */
export function containerLabels(
  project: Project,
  service: Service,
  facts: { readonly number: number; readonly oneoff: boolean; readonly configHash: string; readonly imageId: string | null; readonly version: string; readonly replaces?: string },
  imageLabels: Readonly<Record<string, string>>,
): Record<string, string> {
  const prefix = "com.docker.compose.";
  return {
    ...imageLabels,
    ...service.labels,
    [`${prefix}project`]: project.name,
    [`${prefix}service`]: service.name,
    [`${prefix}container-number`]: String(facts.number),
    [`${prefix}oneoff`]: facts.oneoff ? "True" : "False",
    [`${prefix}config-hash`]: facts.configHash,
    ...(facts.imageId === null ? {} : { [`${prefix}image`]: facts.imageId }),
    [`${prefix}project.working_dir`]: project.working_dir,
    [`${prefix}project.config_files`]: project.files.join(","),
    ...(project.env_files.length === 0 ? {} : { [`${prefix}project.environment_file`]: project.env_files.join(",") }),
    [`${prefix}depends_on`]: Object.entries(service.depends_on)
      .map(([name, on]) => `${name}:${on.condition}:${on.restart}`)
      .join(","),
    [`${prefix}version`]: facts.version,
    ...(facts.replaces === undefined ? {} : { [`${prefix}replace`]: facts.replaces }),
  };
}

export function resourceLabels(kind: "network" | "volume", project: string, key: string, own: Readonly<Record<string, string>>, version: string): Record<string, string> {
  return {
    ...own,
    "com.docker.compose.project": project,
    [`com.docker.compose.${kind}`]: key,
    "com.docker.compose.version": version,
  };
}
