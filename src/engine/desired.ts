import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { paths, writeFileAtomic } from "../core/index.ts";
import type { DataRoot, ProjectName } from "../core/index.ts";
import type { Project } from "../model/index.ts";

/** `projects/NAME/desired.json`: what the last `up` asked for; an agent that takes over reads it. */
interface Desired {
  readonly version: 1;
  readonly project: Project;
}

const fileOf = (root: DataRoot, project: ProjectName): string => join(paths.project(root, project), "desired.json");

export async function writeDesired(root: DataRoot, project: Project): Promise<void> {
  const desired: Desired = { version: 1, project };
  await writeFileAtomic(fileOf(root, project.name), JSON.stringify(desired));
}

/** Undefined: there was no `up`, or it was taken down. */
export async function readDesired(root: DataRoot, project: ProjectName): Promise<Project | undefined> {
  try {
    return (JSON.parse(await readFile(fileOf(root, project), "utf8")) as Desired).project;
  } catch {
    return undefined;
  }
}

export async function forgetDesired(root: DataRoot, project: ProjectName): Promise<void> {
  await rm(fileOf(root, project), { force: true });
}
