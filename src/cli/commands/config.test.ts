import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadProject } from "../../model/index.ts";
import { reportError } from "../errors.ts";
import { lintFiles } from "../../model/lint/index.ts";
import { fakeContext } from "../fake-context.ts";
import { command } from "./config.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "stack-config-"));
  writeFileSync(join(directory, "broken.yaml"), "services:\n  web:\n    imag: nginx\n    depends_on: [dbb]\n  db:\n    image: x\n");
  writeFileSync(join(directory, "warned.yaml"), "version: '3'\nservices:\n  web:\n    image: nginx\n");
  writeFileSync(join(directory, "misspelt.yaml"), "services:\n  web:\n    image: nginx\n    restart: allways\n");
  writeFileSync(join(directory, "own.yaml"), "services:\n  web:\n    image: nginx\n    x-stack: {expect: [nginx]}\n    x-other: {a: b}\n");
  writeFileSync(join(directory, "clean.yaml"), "services:\n  web:\n    image: nginx\n");
});
afterAll(() => rmSync(directory, { recursive: true }));

async function config(file: string, ...argv: readonly string[]): Promise<{ readonly status: number; readonly out: string; readonly err: string }> {
  const context = fakeContext({ globals: { files: [join(directory, file)] } });
  const doors = { ...context.doors, loadProject };
  const own = { ...context, cwd: directory, doors };
  const status = await command.invoke(own, argv).catch((error: unknown) => reportError(error, context.err, own));
  return { status, out: context.out.text, err: context.err.text };
}

const schema = JSON.parse(readFileSync(new URL("../../../schemas/diagnostics.schema.json", import.meta.url), "utf8")) as object;
const valid = new Ajv({ strict: true }).compile(schema);

describe("config --format json", () => {
  it.each([[[]], [["--quiet"]], [["--no-interpolate"]]])("says what is wrong in one document on standard error, and nothing on standard output (%j)", async (more) => {
    const { status, out, err } = await config("broken.yaml", "--format", "json", ...more);
    expect({ status, out }).toEqual({ status: 1, out: "" });
    const document = JSON.parse(err) as { readonly diagnostics: readonly object[] };
    expect(valid(document), JSON.stringify(valid.errors)).toBe(true);
    expect(document.diagnostics[0]).toMatchObject({ severity: "error", rule: "unknown-key", place: { file: join(directory, "broken.yaml"), line: 3, column: 5, length: 4, text: "    imag: nginx" } });
  });

  it("says its warnings so too, beside the project", async () => {
    const { status, out, err } = await config("warned.yaml", "--format", "json");
    expect(status).toBe(0);
    expect(JSON.parse(out)).toHaveProperty("services.web");
    expect(valid(JSON.parse(err))).toBe(true);
    expect(JSON.parse(err)).toMatchObject({ errors: 0, warnings: 1 });
  });

  it("says nothing where nothing is to be said", async () => {
    expect((await config("clean.yaml", "--format", "json")).err).toBe("");
  });
});

describe("config", () => {
  it("hashes what is written with --no-interpolate, and what it stands for without", async () => {
    writeFileSync(join(directory, "variable.yaml"), 'services:\n  web:\n    image: "nginx:${TAG:-1}"\n');
    const written = await config("variable.yaml", "--no-interpolate", "--hash", "*");
    const filled = await config("variable.yaml", "--hash", "*");
    for (const { status, out } of [written, filled]) expect([status, out]).toEqual([0, expect.stringMatching(/^web [0-9a-f]{64}\n$/)]);
    expect(written.out).not.toBe(filled.out);
  });

  it("prints what only the making of a container would refuse, with a warning at its place", async () => {
    const { status, out, err } = await config("misspelt.yaml");
    expect(status).toBe(0);
    expect(out).toContain("restart: allways");
    expect(err).toContain("misspelt.yaml:4:14");
    expect(err).toContain("Did you mean `always`?");
    // `lint` says what `up` will.
    const linted = await lintFiles({ files: [join(directory, "misspelt.yaml")], env: {}, cwd: directory }, { levels: new Map() });
    expect(linted.diagnostics).toContainEqual(expect.objectContaining({ severity: "error", rule: "invalid-value" }));
  });

  it("keeps our own keys in JSON, where Docker Compose forgets extensions", async () => {
    const { out } = await config("own.yaml", "--format", "json");
    expect(JSON.parse(out)).toMatchObject({ services: { web: { "x-stack": { expect: ["nginx"] } } } });
    expect(out).not.toContain("x-other");
  });

  it("says what is wrong as text, with status 1", async () => {
    const { status, out, err } = await config("broken.yaml");
    expect({ status, out }).toEqual({ status: 1, out: "" });
    expect(err).toContain("unknown key `imag`");
    expect(err).toContain("broken.yaml:3:5");
  });
});
