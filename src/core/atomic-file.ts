import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname, join, basename } from "node:path";
import { namesIn } from "./directory.ts";

let prefix: string | undefined;
let count = 0;

/** A name beside `path` that no other process uses, now or after a crash of ours. */
function temporaryFor(path: string): string {
  prefix ??= randomBytes(6).toString("hex");
  return join(dirname(path), `.${basename(path)}.${prefix}${(count += 1).toString(36)}`);
}

/**
 * Replaces `path` by rename, so that a reader sees the old content or the new, never a part.
 * With `durable`, the data is on the disk before the rename.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: { readonly mode?: number; readonly durable?: boolean } = {},
): Promise<void> {
  const temporary = temporaryFor(path);
  try {
    const file = await open(temporary, "wx", options.mode ?? 0o600);
    try {
      await file.writeFile(data);
      if (options.durable === true) await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * Small records (some KiB) that others wait for are read and written at once: on a local file system that costs a tenth
 * of what the way through Node's threads does. Undefined: there is no such file.
 */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** As `writeFileAtomic`, at once, for small records. Makes the directory, unless its being gone means that the record is, too. */
export function replaceFile(path: string, content: string, options: { readonly directory: "make" | "needed" } = { directory: "make" }): void {
  const temporary = temporaryFor(path);
  const write = (): void => writeFileSync(temporary, content, { mode: 0o600, flag: "wx" });
  try {
    try {
      write();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || options.directory === "needed") throw error;
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      write();
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

const halfWritten = /^\..+\.[0-9a-f]{12}[0-9a-z]+$/;

/**
 * Removes what writers that were killed between their two steps left in `directory`. The caller knows that nobody writes
 * there now: it holds the lock that all writers hold.
 */
export function sweepHalfWritten(directory: string): void {
  for (const name of namesIn(directory)) if (halfWritten.test(name)) rmSync(join(directory, name), { force: true });
}
