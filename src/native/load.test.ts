import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { StackError } from "../core/index.ts";
import { EXPECTED_ABI, findAddon, loadAddon } from "./load.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "stack-native-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const caught = (run: () => unknown): StackError => {
  try {
    run();
  } catch (error) {
    if (error instanceof StackError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

describe("the addon", () => {
  it("is found beside the bundle, beside its chunks and from the source tree", () => {
    const addon = join(directory, "dist/native/stack_native.node");
    mkdirSync(join(directory, "dist/native"), { recursive: true });
    mkdirSync(join(directory, "dist/chunks"));
    mkdirSync(join(directory, "src/native"), { recursive: true });
    expect(findAddon(join(directory, "src/native"))).toBeUndefined();
    writeFileSync(addon, "");
    for (const from of ["dist", "dist/chunks", "src/native"]) expect(findAddon(join(directory, from))).toBe(addon);
  });

  it("of another version is refused, with what to do", () => {
    const error = caught(() => loadAddon("/x/stack_native.node", () => ({ abi: EXPECTED_ABI + 1 })));
    expect(error.code).toBe("native-unavailable");
    expect(error.message).toContain("/x/stack_native.node");
    expect(error.hint).toContain("npm install");
  });

  it("that does not load says why", () => {
    const error = caught(() =>
      loadAddon("/x/stack_native.node", () => {
        throw new Error("wrong ELF class\nRequire stack:\n- /x");
      }),
    );
    expect(error.message).toContain("wrong ELF class");
    expect(error.message).not.toContain("Require stack");
  });
});
