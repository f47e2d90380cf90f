import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { paths, replaceFile } from "../core/index.ts";
import type { DataRoot, ProjectName } from "../core/index.ts";
import type { Project } from "../model/index.ts";

/** `projects/NAME/desired.json`: what the last `up` asked for; an agent that takes over reads it. */
interface Desired {
  readonly version: 1;
  readonly project: Project;
}

const fileOf = (root: DataRoot, project: ProjectName): string => join(paths.project(root, project), "desired.json");

export function writeDesired(root: DataRoot, project: Project): void {
  const desired: Desired = { version: 1, project };
  replaceFile(fileOf(root, project.name), JSON.stringify(desired), { directory: "needed" });
}

/** Undefined: there was no `up`, or it was taken down. */
export function readDesired(root: DataRoot, project: ProjectName): Project | undefined {
  try {
    return (JSON.parse(readFileSync(fileOf(root, project), "utf8")) as Desired).project;
  } catch {
    return undefined;
  }
}

export function forgetDesired(root: DataRoot, project: ProjectName): void {
  rmSync(fileOf(root, project), { force: true });
}
