import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withEnvFile } from "./env-file.ts";
import { fakeContext } from "./fake-context.ts";
import type { Globals } from "./globals.ts";
import { runProgram } from "./program.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "stack-env-file-"));
  mkdirSync(join(directory, "other"));
  writeFileSync(join(directory, ".env"), "COMPOSE_PROGRESS=plain\nCOMPOSE_ANSI=never\nCOMPOSE_IGNORE_ORPHANS=${YES:-1}\nTOKEN=x\n");
  writeFileSync(join(directory, "other/.env"), "COMPOSE_MENU=0\n");
  writeFileSync(join(directory, "broken.env"), "COMPOSE_MENU='0\n");
  execFileSync("mkfifo", [join(directory, "fifo")]);
});
afterAll(() => rmSync(directory, { recursive: true }));

const bare = { file: [], envFile: [], projectDirectory: undefined };

describe("the environment file", () => {
  it("speaks to the command with its COMPOSE_ variables, and the shell's win", async () => {
    expect(await withEnvFile(bare, { COMPOSE_ANSI: "always" }, directory)).toEqual({ COMPOSE_PROGRESS: "plain", COMPOSE_ANSI: "always", COMPOSE_IGNORE_ORPHANS: "1" });
  });

  it.each([
    ["beside the first stack file", { ...bare, file: ["other/compose.yaml"] }, {}, { COMPOSE_MENU: "0" }],
    ["of the project's directory", { ...bare, file: ["compose.yaml"], projectDirectory: "other" }, {}, { COMPOSE_MENU: "0" }],
    ["that is named", { ...bare, envFile: ["other/.env"] }, {}, { COMPOSE_MENU: "0" }],
    ["of COMPOSE_ENV_FILES", bare, { COMPOSE_ENV_FILES: "other/.env" }, { COMPOSE_MENU: "0" }],
    ["of COMPOSE_ENV_FILES, whose commas may stand alone", bare, { COMPOSE_ENV_FILES: ",other/.env, ," }, { COMPOSE_MENU: "0" }],
    ["that is not switched off", { ...bare, file: ["other/compose.yaml"] }, { COMPOSE_DISABLE_ENV_FILE: "F" }, { COMPOSE_MENU: "0" }],
    ["that is switched off", bare, { COMPOSE_DISABLE_ENV_FILE: "true" }, {}],
    ["that is not there", { ...bare, envFile: ["nowhere"] }, {}, {}],
    ["that is no file, which nobody waits for", { ...bare, envFile: ["fifo"] }, {}, {}],
    ["that is not right, which the model says", { ...bare, envFile: ["broken.env"] }, {}, {}],
  ] as const)("is the one %s", async (_, flags, env, expected) => {
    expect(await withEnvFile(flags, env, directory)).toEqual({ ...env, ...expected });
  });

  it("is neither read nor left out by a word that is no truth", async () => {
    await expect(withEnvFile(bare, { COMPOSE_DISABLE_ENV_FILE: "yes" }, directory)).rejects.toThrow('COMPOSE_DISABLE_ENV_FILE must be true or false (found: "yes")');
    expect(await withEnvFile({ ...bare, envFile: ["other/.env"] }, { COMPOSE_DISABLE_ENV_FILE: "yes" }, directory)).toMatchObject({ COMPOSE_MENU: "0" });
  });

  it("sets the scene of a command", async () => {
    const context = { ...fakeContext({ env: {} }), cwd: directory };
    const seen: Globals[] = [];
    await runProgram(["version"], (globals, env = context.env) => {
      seen.push(globals);
      return { ...context, globals, env };
    });
    expect(seen.at(-1)).toMatchObject({ progress: "plain", ansi: "never" });
  });
});
