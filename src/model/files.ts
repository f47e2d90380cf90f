import { dirname, join, resolve } from "node:path";
import type { FileReader } from "./reader.ts";

/** What a directory's stack file may be called, the first wins. Ours come first; the rest is Compose's order. */
export const STACK_FILE_NAMES: readonly string[] = [
  "stack.yaml",
  "stack.yml",
  "compose.yaml",
  "compose.yml",
  "docker-compose.yml",
  "docker-compose.yaml",
];

const OVERRIDES: Readonly<Record<"stack" | "compose", readonly string[]>> = {
  stack: ["stack.override.yml", "stack.override.yaml"],
  compose: ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"],
};

export interface FoundFiles {
  /** The stack file and at most one override. */
  readonly files: readonly string[];
  /** Other stack files in the same directory, which are not read. */
  readonly ignored: readonly string[];
}

/** Looks in `from` and its parents. `undefined`: there is none. */
export async function findStackFiles(from: string, reader: FileReader): Promise<FoundFiles | undefined> {
  for (let directory = resolve(from); ; directory = dirname(directory)) {
    const [main, ...ignored] = await present(STACK_FILE_NAMES, directory, reader);
    if (main !== undefined) {
      const dialect = main.slice(directory.length).replace(/^\//, "").startsWith("stack.") ? "stack" : "compose";
      const [override] = await present(OVERRIDES[dialect], directory, reader);
      return { files: override === undefined ? [main] : [main, override], ignored };
    }
    if (dirname(directory) === directory) return undefined;
  }
}

async function present(names: readonly string[], directory: string, reader: FileReader): Promise<string[]> {
  const kinds = await Promise.all(names.map((n) => reader.kind(join(directory, n))));
  return names.filter((_, i) => kinds[i] === "file").map((n) => join(directory, n));
}
