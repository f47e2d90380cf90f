import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { StackError } from "../core/index.ts";
import type { FileSource, Project, Service } from "../model/index.ts";

/** What a config or secret holds. `what` names it in messages. */
export async function contentOf(source: FileSource, what: string): Promise<string | Uint8Array> {
  switch (source.from.kind) {
    case "content":
      return source.from.content;
    case "environment":
      if (source.from.value === undefined)
        throw new StackError("container-start-failed", `${what} comes from the environment variable ${source.from.variable}, which is not set`, {
          hint: `Set ${source.from.variable} in the environment or in .env.`,
        });
      return source.from.value;
    case "file":
      return readFile(source.from.path).catch((error: unknown) => {
        throw new StackError("container-start-failed", `The file of ${what} cannot be read`, { cause: error });
      });
    case "external":
      throw externalRefused(what);
  }
}

/** Docker Compose outside of Swarm refuses them too. */
const externalRefused = (what: string): StackError =>
  new StackError("unsupported", `unsupported external ${what}: there is no store of external ones on this machine`, {
    hint: "Write `file:`, `environment:` or `content:` instead of `external: true`.",
  });

/** Said before anything is made. */
export function refuseExternal(project: Project, service: Service): void {
  for (const { source } of service.configs) if (project.configs[source]?.from.kind === "external") throw externalRefused(`config "${source}" of service "${service.name}"`);
  for (const { source } of service.secrets) if (project.secrets[source]?.from.kind === "external") throw externalRefused(`secret "${source}" of service "${service.name}"`);
}

/**
 * Hashes of what these services' configs and secrets hold now, by `config NAME` and `secret NAME`. What cannot be
 * read (missing, a directory) has none, and is compared with nothing.
 */
export async function contentHashes(project: Project, services: readonly Service[]): Promise<Readonly<Record<string, string>>> {
  const used = new Map<string, FileSource | undefined>();
  for (const service of services) {
    for (const { source } of service.configs) used.set(`config ${source}`, project.configs[source]);
    for (const { source } of service.secrets) used.set(`secret ${source}`, project.secrets[source]);
  }
  const found = await Promise.all([...used].map(async ([key, source]) => [key, source === undefined ? undefined : await contentHash(source)] as const));
  return Object.fromEntries(found.filter((pair): pair is readonly [string, string] => pair[1] !== undefined));
}

async function contentHash({ from }: FileSource): Promise<string | undefined> {
  const hash = createHash("sha256");
  switch (from.kind) {
    case "content":
      return hash.update(from.content).digest("hex");
    case "environment":
      return from.value === undefined ? undefined : hash.update(from.value).digest("hex");
    case "file":
      try {
        await pipeline(createReadStream(from.path), hash);
        return hash.digest("hex");
      } catch {
        return undefined; // who needs it says so
      }
    case "external":
      return undefined;
  }
}
