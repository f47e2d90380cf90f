import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** A directory that is looked at: names and texts, nothing else. Tests bring their own. */
export interface ProjectFiles {
  /** Names in a directory below the root (`""`: the root itself); directories end in `/`. Empty where there is none. */
  readonly list: (directory: string) => Promise<readonly string[]>;
  /** The text of a file; `undefined`: it is not there, is no text, or is too large to be what is looked for. */
  readonly read: (path: string) => Promise<string | undefined>;
}

const LARGEST = 1 << 20;

export function filesBelow(root: string): ProjectFiles {
  return {
    async list(directory) {
      try {
        const entries = await readdir(join(root, directory), { withFileTypes: true });
        return entries.map((e) => (e.isDirectory() ? `${e.name}/` : e.name)).sort();
      } catch {
        return [];
      }
    },
    async read(path) {
      try {
        const text = await readFile(join(root, path), "utf8");
        return text.length > LARGEST ? undefined : text.replace(/^\ufeff/, "");
      } catch {
        return undefined;
      }
    },
  };
}
