import { readFile, realpath, stat } from "node:fs/promises";
import { decodeUtf8 } from "./reader.ts";
import type { FileReader } from "./reader.ts";

/** Reads from this machine's files. */
export const hostReader: FileReader = {
  async read(path) {
    try {
      return decodeUtf8(await readFile(path));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return { kind: "missing" };
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
