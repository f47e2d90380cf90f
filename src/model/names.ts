import { basename } from "node:path";
import { parseProjectName } from "../core/index.ts";
import type { ProjectName } from "../core/index.ts";
import type { Session } from "./session.ts";
import { substitute } from "./template.ts";
import { childString } from "./tree.ts";

export interface NameInput {
  readonly files: readonly string[];
  readonly directory: string;
  readonly environment: ReadonlyMap<string, string>;
}

/** `-p`, else COMPOSE_PROJECT_NAME, else the last `name:` of the files, else the name of the directory. */
export async function projectName(input: NameInput, session: Session): Promise<ProjectName | undefined> {
  const asked = session.request.projectName ?? "";
  const imposed = asked === "" ? (input.environment.get("COMPOSE_PROJECT_NAME") ?? "") : asked;
  if (imposed !== "") {
    const name = parseProjectName(imposed);
    if (name === undefined)
      session.report.error(undefined, {
        rule: "invalid-project-name",
        message: `Invalid project name "${imposed}"${asked === "" ? " (from COMPOSE_PROJECT_NAME)" : ""}: it must consist only of lowercase letters, digits, hyphens and underscores, and start with a letter or digit`,
        hint: normaliseName(imposed) === "" ? undefined : `For example "${normaliseName(imposed)}".`,
      });
    return name;
  }
  const written = await nameInFiles(input, session);
  const name = parseProjectName(normaliseName(written ?? basename(input.directory)));
  if (name === undefined)
    session.report.error(undefined, {
      rule: "invalid-project-name",
      message:
        written === undefined
          ? `No project name can be made from the directory ${input.directory}`
          : `No project name can be made from \`name: ${written}\``,
      hint: "Give one with -p NAME or with `name:` in the stack file.",
    });
  return name;
}

/** Lower case, without what no name may hold. */
export function normaliseName(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, "")
    .replace(/^[_-]+/, "");
}

async function nameInFiles(input: NameInput, session: Session): Promise<string | undefined> {
  let found: string | undefined;
  for (const file of input.files) {
    const source = await session.open(file);
    if (source === undefined || !/(?:^|[\s{,])["']?name["']?\s*:/.test(source.text)) continue;
    for (const { root } of await session.parsed(source)) {
      const name = childString(root, "name");
      if (name !== undefined && name !== "") found = name;
    }
  }
  if (found === undefined || session.lenient) return found;
  const { value } = substitute(found, (name) => input.environment.get(name));
  return value === "" ? undefined : value;
}
