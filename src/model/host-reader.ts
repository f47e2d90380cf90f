import { constants } from "node:fs";
import { open, realpath, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { decodeUtf8 } from "./reader.ts";
import type { FileReader, ReadResult } from "./reader.ts";

/** Bytes of one file. The limits of what may be in one are tighter; this one is for the memory before anybody looks. */
export const FILE_LIMIT = 16_000_000;

/** Never waits for the other end of a FIFO, and never reads a device that has no end. */
async function readRegular(path: string): Promise<ReadResult> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  const about = await file.stat();
  if (about.isDirectory()) return { kind: "problem", reason: "it is a directory" };
  // `-f <(…)` is a pipe of somebody who writes; only what can be read to its end is read.
  if (about.isFIFO() && path.startsWith("/dev/fd/")) return await readPipe(path);
  if (!about.isFile()) return { kind: "problem", reason: `it is not a regular file but ${about.isFIFO() ? "a FIFO" : "a device or socket"}` };
  if (about.size > FILE_LIMIT) return { kind: "problem", reason: `it is larger than ${FILE_LIMIT} bytes` };
  // Files of /proc say that they are empty, so the size is no promise.
  return await readToEnd(file);
}

async function readToEnd(file: FileHandle): Promise<ReadResult> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of file.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > FILE_LIMIT) return { kind: "problem", reason: `it is larger than ${FILE_LIMIT} bytes` };
    chunks.push(chunk);
  }
  return decodeUtf8(Buffer.concat(chunks));
}

async function readPipe(path: string): Promise<ReadResult> {
  await using file = await open(path, constants.O_RDONLY);
  return await readToEnd(file);
}

/** Reads from this machine's files. */
export const hostReader: FileReader = {
  async read(path) {
    try {
      return await readRegular(path);
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
  async kind(path) {
    try {
      return (await stat(path)).isDirectory() ? "directory" : "file";
    } catch {
      return "missing";
    }
  },
  async realpath(path) {
    try {
      return await realpath(path);
    } catch {
      return path;
    }
  },
};
