import { createHash } from "node:crypto";
import type { DataRoot, ProjectName } from "../core/index.ts";

/** Names the project's control group `/stack/KEY`: two data roots may have projects of the same name. */
export function projectKey(root: DataRoot, project: ProjectName): string {
  return createHash("sha256").update(`${root.root}\0${project}`).digest("hex").slice(0, 12);
}
