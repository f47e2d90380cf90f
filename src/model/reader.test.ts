import { describe, expect, it } from "vitest";
import { loadProject } from "./index.ts";
import { decodeUtf8 } from "./reader.ts";
import type { FileReader } from "./reader.ts";

describe("reading files", () => {
  it("refuses bytes that are not UTF-8, and says which", () => {
    const bytes = Buffer.concat([Buffer.from("a: é\n"), Buffer.from([0xff]), Buffer.from("b")]);
    expect(decodeUtf8(bytes)).toEqual({ kind: "problem", reason: "it is not valid UTF-8 (byte 7)" });
    expect(decodeUtf8(Buffer.from("é😀"))).toEqual({ kind: "text", text: "é😀" });
  });

  it.each([
    ["permission denied", "Cannot read /p/compose.yaml: permission denied"],
    ["it is a directory", "Cannot read /p/compose.yaml: it is a directory"],
  ])("says why a file cannot be read: %s", async (reason, message) => {
    const reader: FileReader = { read: async () => ({ kind: "problem", reason }), kind: async () => "missing", realpath: async (p) => p };
    const result = await loadProject({ files: ["compose.yaml"], env: {}, cwd: "/p", reader });
    expect(result.ok).toBe(false);
    expect(result.diagnostics.map((d) => d.message)).toEqual([message]);
  });

  it("names a file that is not there", async () => {
    const reader: FileReader = { read: async () => ({ kind: "missing" }), kind: async () => "missing", realpath: async (p) => p };
    const named = await loadProject({ files: ["nope.yaml"], env: {}, cwd: "/p", reader });
    expect(named.diagnostics.map((d) => d.message)).toEqual(["There is no file /p/nope.yaml"]);
    const none = await loadProject({ env: {}, cwd: "/p", reader });
    expect(none.diagnostics.map((d) => d.rule)).toEqual(["no-stack-file"]);
  });
});
