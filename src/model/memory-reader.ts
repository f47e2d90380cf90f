import type { FileReader } from "./reader.ts";

/** Files that exist in memory alone, by absolute path: for tests, and for callers that have the text already. */
export function memoryReader(files: Readonly<Record<string, string>>): FileReader {
  const isDirectory = (path: string): boolean => Object.keys(files).some((f) => f.startsWith(path.endsWith("/") ? path : `${path}/`));
  return {
    async read(path) {
      const text = files[path];
      if (text !== undefined) return { kind: "text", text };
      return isDirectory(path) ? { kind: "problem", reason: "it is a directory" } : { kind: "missing" };
    },
    async kind(path) {
      return path in files ? "file" : isDirectory(path) ? "directory" : "missing";
    },
    async realpath(path) {
      return path;
    },
  };
}
