import { open, readdir } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

export interface LogFile {
  readonly handle: FileHandle;
  readonly inode: bigint;
  /** When it was opened. */
  readonly size: number;
}

/**
 * Opens `path` and its rotated predecessors (`path.1` is the newest of them), oldest first.
 * A rotation meanwhile renames what is open already: a file that turns up twice is taken once.
 */
export async function openLogFiles(path: string): Promise<LogFile[]> {
  const files: LogFile[] = [];
  for (const name of await rotatedNames(path)) {
    const file = await openLogFile(join(dirname(path), name));
    if (file === undefined) continue;
    if (files.some((f) => f.inode === file.inode)) await file.handle.close();
    else files.push(file);
  }
  return files;
}

export async function openLogFile(path: string): Promise<LogFile | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const { ino, size } = await handle.stat({ bigint: true });
  return { handle, inode: ino, size: Number(size) };
}

/** Names of the files, oldest first. */
async function rotatedNames(path: string): Promise<string[]> {
  const base = basename(path);
  let names: string[];
  try {
    names = await readdir(dirname(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  const age = (name: string): number => (name === base ? 0 : Number(name.slice(base.length + 1)));
  return names
    .filter((name) => name === base || (name.startsWith(`${base}.`) && /^\.[1-9]\d{0,5}$/.test(name.slice(base.length))))
    .sort((a, b) => age(b) - age(a));
}
