import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fakeContext } from "../fake-context.ts";
import { command } from "./init.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "stack-init-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

async function init(...argv: readonly string[]): Promise<string> {
  const context = { ...fakeContext(), cwd: directory };
  expect(await command.invoke(context, argv)).toBe(0);
  return context.out.text;
}

describe("stack init", () => {
  it("writes stack.yaml and says for what", async () => {
    writeFileSync(join(directory, "go.mod"), "module x\ngo 1.24\n");
    writeFileSync(join(directory, "main.go"), "");
    expect(await init()).toBe("Wrote stack.yaml for:\n  Go (go.mod)\n`stack up` starts it.\n");
    expect(readFileSync(join(directory, "stack.yaml"), "utf8")).toContain("image: golang:1.24");
  });

  it("writes compose.yaml when asked to", async () => {
    expect(await init("--format", "compose")).toContain("Wrote compose.yaml.");
    expect(readdirSync(directory)).toEqual(["compose.yaml"]);
  });

  it("prints and writes nothing with --dry-run, also beside a stack file", async () => {
    writeFileSync(join(directory, "compose.yaml"), "mine");
    expect(await init("--dry-run")).toContain("services:");
    expect(readdirSync(directory)).toEqual(["compose.yaml"]);
  });

  it.each(["stack.yaml", "stack.yml", "compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"])("leaves a %s as it is, and puts nothing beside it", async (name) => {
    writeFileSync(join(directory, name), "mine");
    for (const argv of [[], ["--format", "compose"]]) await expect(init(...argv)).rejects.toMatchObject({ code: "usage", message: expect.stringContaining(`${name} is there already`) as string });
    expect(readdirSync(directory)).toEqual([name]);
    expect(readFileSync(join(directory, name), "utf8")).toBe("mine");
  });

  it("does not write through a link that leads nowhere yet", async () => {
    symlinkSync("elsewhere.yaml", join(directory, "stack.yaml"));
    await expect(init()).rejects.toMatchObject({ code: "usage" });
    expect(readdirSync(directory)).toEqual(["stack.yaml"]);
    expect(lstatSync(join(directory, "stack.yaml")).isSymbolicLink()).toBe(true);
  });
});
