import type { Stats } from "node:fs";
import { constants, createReadStream } from "node:fs";
import { mkdir, open, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { HostPath } from "../core/index.ts";
import { StackError } from "../core/index.ts";
import type { ImageStore } from "./images.ts";
import { capitalise } from "./layers.ts";
import { throwIfAborted } from "./locks.ts";
import { resolveMerged } from "./merged.ts";
import { unpack, UnpackFailure, writeChunk } from "./unpack.ts";

/** The files of an archive of images: all of its directory, or of the tar that was unpacked. */
export interface ArchiveFiles {
  /** For messages. */
  readonly name: string;
  /** Undefined if there is no such regular file. */
  find(path: string): Promise<{ readonly path: string; readonly size: number } | undefined>;
}

/** A directory of the user's own: links may lead anywhere, what is read is verified by its digest. */
export function directoryFiles(directory: string): ArchiveFiles {
  return {
    name: directory,
    async find(path) {
      const full = join(directory, join("/", path));
      const stats = await stat(full).catch(() => undefined);
      return stats?.isFile() === true ? { path: full, size: stats.size } : undefined;
    },
  };
}

/** What came out of somebody's tar: links are followed inside of it only, and nothing but files is opened. */
function unpackedFiles(directory: string, name: string): ArchiveFiles {
  return {
    name,
    async find(path) {
      const node = await resolveMerged([directory as HostPath], path);
      return node?.stats.isFile() === true ? { path: join(directory, node.path), size: node.stats.size } : undefined;
    },
  };
}

/** Unpacks the archive (tar, also gzip or zstd) into `directory`. */
export async function unpackArchive(store: ImageStore, from: string | NodeJS.ReadableStream, temporary: { readonly directory: string; readonly lockFd: number }, signal: AbortSignal): Promise<ArchiveFiles> {
  const name = typeof from === "string" ? from : "standard input";
  const into = join(temporary.directory, "archive");
  await mkdir(into, { mode: 0o700 });
  const source = typeof from === "string" ? createReadStream(from, { highWaterMark: 256 << 10 }) : from;
  const stop = (): void => {
    (source as Readable).destroy();
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    await unpack({ runtime: store.runtime(), into, maxBytes: store.maxLayerBytes, lockFd: temporary.lockFd, signal }, (input) => copy(source, input));
  } catch (error) {
    throwIfAborted(signal);
    throw archiveFailure(error, name);
  } finally {
    signal.removeEventListener("abort", stop);
  }
  return unpackedFiles(into, name);
}

export async function copy(source: AsyncIterable<string | Uint8Array>, to: Writable): Promise<void> {
  for await (const chunk of source) {
    if (!(await writeChunk(to, typeof chunk === "string" ? Buffer.from(chunk) : chunk))) return;
  }
}

const ENOSPC = 28;

function archiveFailure(error: unknown, name: string): unknown {
  if (error instanceof UnpackFailure) {
    if (error.errno === ENOSPC)
      return new StackError("no-space", `No space left to unpack ${name}`, { hint: "Free some space, or move the data root with STACK_ROOT.", cause: error });
    const where = error.path === "" ? "" : ` (${error.path})`;
    return new StackError("image-invalid", `${capitalise(name)} is not an archive of images: ${error.message}${where}`, {
      hint: "Give a docker-archive (`docker save`) or an OCI layout, as a tar (also gzip or zstd) or a directory.",
      cause: error,
    });
  }
  return readFailure(error, name);
}

export function readFailure(error: unknown, name: string): unknown {
  if (!(error instanceof Error) || error instanceof StackError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return new StackError("usage", `There is no file ${name}`, { cause: error });
  if (code === "EACCES" || code === "EPERM") return new StackError("permission-denied", `No permission to read ${name}`, { cause: error });
  return error;
}

export async function archiveStats(path: string): Promise<Stats> {
  return stat(path).catch((error: unknown) => {
    throw readFailure(error, path) as Error;
  });
}

/** A document of the archive; throws `image-invalid` if it is missing or too large. */
export async function readDocument(files: ArchiveFiles, path: string, limit: number): Promise<Uint8Array> {
  const found = await files.find(path);
  if (found === undefined) throw new StackError("image-invalid", `${capitalise(files.name)} is incomplete: it has no file ${path}`);
  if (found.size > limit) throw new StackError("image-invalid", `${capitalise(files.name)}: ${path} is larger than ${limit} bytes`);
  const file = await open(found.path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return await file.readFile();
  } finally {
    await file.close();
  }
}
