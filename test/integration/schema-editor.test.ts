import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LanguageServer } from "../support/language-server.ts";
import { repository } from "../support/machine.ts";

const LINE = /^# yaml-language-server: \$schema=((?:\.\.?\/)+schemas\/stack\.schema\.json)$/m;
const examples = ["stack.yaml.example", ...readdirSync(join(repository, "examples"), { recursive: true, encoding: "utf8" }).filter((f) => /(stack|compose)[^/]*\.ya?ml$/.test(f)).map((f) => `examples/${f}`)];
/** A text beside the quickstart, with the line that the examples have. */
const HERE = "examples/quickstart/typed.yaml";
const HEAD = "# yaml-language-server: $schema=../../schemas/stack.schema.json\n";

let server: LanguageServer;
beforeAll(async () => {
  server = await LanguageServer.start();
});
afterAll(async () => server[Symbol.asyncDispose]());

describe("in an editor, through yaml-language-server", () => {
  test.each(examples)("%s names the schema, and nothing in it is marked", async (file) => {
    const text = readFileSync(join(repository, file), "utf8");
    const path = LINE.exec(text)?.[1];
    expect(path).toBeDefined();
    expect(join(repository, file, "..", path ?? "")).toBe(join(repository, "schemas/stack.schema.json"));
    expect((await server.open(file, text)).problems).toEqual([]);
  });

  test("keys of Compose's and of ours are offered where they belong", async () => {
    const { uri } = await server.open(HERE, `${HEAD}services:\n  web:\n    image: nginx:1\n    \n`);
    const offered = await server.complete(uri, 4, 4);
    expect(offered).toEqual(expect.arrayContaining(["healthcheck", "depends_on", "ready", "processes", "rootfs", "x-stack"]));
    expect(offered).not.toContain("image");
  });

  test("keys inside our own are offered, and values of fixed sets", async () => {
    const { uri } = await server.open("examples/quickstart/own.yaml", `${HEAD}services:\n  web:\n    image: nginx:1\n    restart_policy:\n      \n    on_unhealthy:\n      action: \n`);
    expect(await server.complete(uri, 5, 6)).toEqual(expect.arrayContaining(["first_delay", "delay", "factor", "max_delay", "jitter", "reset_after"]));
    expect((await server.complete(uri, 7, 14)).map((label) => label.trim())).toEqual(expect.arrayContaining(["restart", "stop", "none"]));
  });

  test("hovering over a key shows what it does", async () => {
    const { uri } = await server.open("examples/quickstart/hover.yaml", `${HEAD}services:\n  web:\n    image: nginx:1\n    stop_grace_period: 5s\n    on_orphan_exit: log\n    healthcheck:\n      start_period: 5s\n`);
    const descriptions = JSON.parse(readFileSync(join(repository, "schemas/stack.schema.json"), "utf8")) as { readonly definitions: Readonly<Record<string, { readonly properties: Readonly<Record<string, { readonly description: string }>> }>> };
    const service = descriptions.definitions["service"]?.properties ?? {};
    const firstWords = (text: string | undefined): string => (text ?? "no description").split(" ").slice(0, 4).join(" ");
    expect(await server.hover(uri, 4, 8)).toContain(firstWords(service["stop_grace_period"]?.description));
    expect(await server.hover(uri, 5, 8)).toContain(firstWords(service["on_orphan_exit"]?.description));
    expect(await server.hover(uri, 7, 9)).toContain(firstWords(descriptions.definitions["healthcheck"]?.properties["start_period"]?.description));
  });

  test("a wrong key is marked at its place", async () => {
    const { problems } = await server.open("examples/quickstart/wrong.yaml", `${HEAD}services:\n  web:\n    image: nginx:1\n    healthchek: {}\n`);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ message: expect.stringContaining("healthchek"), range: { start: { line: 4, character: 4 } } });
  });
});
