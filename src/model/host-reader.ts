import { closeSync, constants, fstatSync, openSync, readSync, realpathSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { decodeUtf8 } from "./reader.ts";
import type { FileReader, ReadResult } from "./reader.ts";

/** Bytes of one file. The limits of what may be in one are tighter; this one is for the memory before anybody looks. */
export const FILE_LIMIT = 16_000_000;

/**
 * Never waits for the other end of a FIFO, and never reads a device that has no end. Regular files are read at once:
 * they are small, and the first asynchronous call of a process starts Node's threads, which takes longer than all of it.
 */
function readRegular(path: string): ReadResult | "pipe" {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const about = fstatSync(file);
    if (about.isDirectory()) return { kind: "problem", reason: "it is a directory" };
    // `-f <(…)` is a pipe of somebody who writes; only what can be read to its end is read.
    if (about.isFIFO() && path.startsWith("/dev/fd/")) return "pipe";
    if (!about.isFile()) return { kind: "problem", reason: `it is not a regular file but ${about.isFIFO() ? "a FIFO" : "a device or socket"}` };
    if (about.size > FILE_LIMIT) return tooLarge;
    // Files of /proc say that they are empty, so the size is no promise.
    return readToEnd(file, about.size);
  } finally {
    closeSync(file);
  }
}

const tooLarge: ReadResult = { kind: "problem", reason: `it is larger than ${FILE_LIMIT} bytes` };

function readToEnd(file: number, size: number): ReadResult {
  const chunks: Buffer[] = [];
  let length = 0;
  for (let space = size + 1; ; space = 65_536) {
    const chunk = Buffer.allocUnsafe(space);
    const count = readSync(file, chunk, 0, space, null);
    if (count === 0) break;
    length += count;
    if (length > FILE_LIMIT) return tooLarge;
    chunks.push(chunk.subarray(0, count));
  }
  return decodeUtf8(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks));
}

/** Waits for whoever writes, so the process has to stay able to hear signals meanwhile. */
async function readPipe(path: string): Promise<ReadResult> {
  await using file = await open(path, constants.O_RDONLY);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of file.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > FILE_LIMIT) return tooLarge;
    chunks.push(chunk);
  }
  return decodeUtf8(Buffer.concat(chunks));
}

/** Reads from this machine's files. */
export const hostReader: FileReader = {
  async read(path) {
    try {
      const read = readRegular(path);
      return read === "pipe" ? await readPipe(path) : read;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return { kind: "missing" };
      if (code === "ELOOP") return { kind: "problem", reason: "its symbolic links lead in a circle" };
      if (code === "ENXIO") return { kind: "problem", reason: "it is not a regular file (a socket, or a device without a driver)" };
      if (code === "EISDIR") return { kind: "problem", reason: "it is a directory" };
      if (code === "EACCES" || code === "EPERM") return { kind: "problem", reason: "permission denied" };
      return { kind: "problem", reason: message };
    }
  },
  kind(path) {
    try {
      const found = statSync(path, { throwIfNoEntry: false });
      return Promise.resolve(found === undefined ? "missing" : found.isDirectory() ? "directory" : "file");
    } catch {
      return Promise.resolve("missing");
    }
  },
  realpath(path) {
    try {
      return Promise.resolve(realpathSync.native(path));
    } catch {
      return Promise.resolve(path);
    }
  },
};
