import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { canonicalText, loadProject, toYaml } from "./index.ts";
import { loadText, projectOf } from "./load-text.test-support.ts";
import { memoryReader } from "./memory-reader.ts";

const goldens = join(dirname(fileURLToPath(import.meta.url)), "../../test/fixtures/compose/goldens");

describe("the canonical document", () => {
  // What `--no-interpolate` prints is no finished document.
  it.each(readdirSync(goldens).filter((f) => f !== "no-interpolate.json"))(
    "loads to itself: every golden of %s",
    { timeout: 60_000 },
    async (file) => {
      const { cases } = JSON.parse(readFileSync(join(goldens, file), "utf8")) as {
        cases: Record<string, { status: number; yaml?: string }>;
      };
      for (const [name, golden] of Object.entries(cases)) {
        // Compose doubles the dollar signs of keys too, though it never fills keys in; the two promises cannot both be kept.
        // What cannot be read again has its own topic (`one-way.yaml`), and is judged in differential.test.ts.
        if (file === "one-way.json" || golden.status !== 0 || golden.yaml === undefined || /^ *["']?\$[^ ]*: /m.test(golden.yaml)) continue;
        const load = (text: string) =>
          loadProject({
            env: {},
            cwd: "/tmp/stack-golden/demo",
            reader: memoryReader({ "/tmp/stack-golden/demo/compose.yaml": text }),
            profiles: ["*"],
          });
        const first = await load(golden.yaml);
        // Some documents refer to what Compose does not print (services whose profile is off).
        if (!first.ok) continue;
        const again = await load(canonicalText(first.project, "yaml"));
        expect(again.ok && canonicalText(again.project, "yaml"), `${file} ${name}`).toBe(canonicalText(first.project, "yaml"));
      }
    },
  );

  it("of our own keys loads to the same project", async () => {
    const stack = await projectOf(
      { "stack.yaml": readFileSync(join(goldens, "../../../../stack.yaml.example"), "utf8") },
      { profiles: ["*"] },
    );
    const compose = await projectOf({ "compose.yaml": canonicalText(stack, "yaml") }, { profiles: ["*"] });
    expect(canonicalText(compose, "yaml")).toBe(canonicalText(stack, "yaml"));
    expect(compose.services["app"]?.processes).toEqual(stack.services["app"]?.processes);
  });

  it("as YAML is read back as the same data, whatever the text", { timeout: 60_000 }, () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 30 }),
      fc.string({
        unit: fc.constantFrom(
          "a",
          " ",
          "\n",
          ":",
          "#",
          "-",
          "'",
          '"',
          "\t",
          "|",
          ">",
          "1",
          ".",
          "~",
          "é",
          "😀",
          "\u00a0",
          "{",
          "]",
          "&",
          "!",
          "%",
          "\\",
        ),
        maxLength: 20,
      }),
    );
    const value = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        text,
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie("value"), { maxLength: 4 }),
        fc.dictionary(
          fc.string({ unit: fc.constantFrom("a", "b", ":", " ", "#", "1", "-", "\n"), minLength: 1, maxLength: 6 }),
          tie("value"),
          { maxKeys: 4, noNullPrototype: true },
        ),
      ),
    })).value;
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom("k", "l", "m"), value, { noNullPrototype: true }), (data) => {
        expect(parse(toYaml(data), { version: "1.2", schema: "core", uniqueKeys: false })).toEqual(data);
      }),
      { numRuns: 500 },
    );
  });
});

describe("no input breaks the loader", () => {
  const extending = Array.from({ length: 2000 }, (_, i) => `  s${i}: {extends: base}\n`).join("");
  it.each<[string, Record<string, string>, string]>([
    [
      "port ranges without end",
      { "compose.yaml": `services: {a: {image: x, ports: [${"'1-60000:1-60000', ".repeat(50)}]}}\n` },
      "too-many-ports",
    ],
    [
      "a large base that many services extend",
      { "compose.yaml": `services:\n  base: {image: x, ports: ['1-20000:1-20000']}\n${extending}` },
      "extends-too-large",
    ],
    ["variables that double", { "compose.yaml": "services: {a: {image: x}}", ".env": `A=xxxxxxxx\n${"A=$A$A\n".repeat(60)}` }, "env-file"],
    ["a file of another size", { "compose.yaml": `x-a: ${"x".repeat(5_000_000)}` }, "file-too-large"],
    ["more values than anybody writes", { "compose.yaml": `x-a: [${"a,".repeat(500_000)}]` }, "file-too-large"],
  ])("%s", { timeout: 60_000 }, async (_name, files, rule) => {
    const { ok, diagnostics } = await loadText(files);
    expect(ok).toBe(false);
    expect(diagnostics.map((d) => d.rule)).toContain(rule);
  });

  const words = fc.constantFrom(
    ..."services: networks: volumes: web: image: a [ ] { } - : & * << ! !reset !override | > ' \" # $ ${ } ${A:-b} \n \n\n   \t , ? --- ... &x *x extends: depends_on: include: ports: 80:80 1 true null x-stack: ready: tcp: environment: deploy: build: . command: \u0000 \ufeff \r\n".split(
      " ",
    ),
  );
  it("made of pieces of stack files", { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(words, { maxLength: 40 }), async (pieces) => {
        const result = await loadText({ "stack.yaml": pieces.join("") });
        expect(result.ok || result.diagnostics.length > 0).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it("made of valid structure with arbitrary values", { timeout: 60_000 }, async () => {
    const value = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        fc.string({ maxLength: 8 }),
        fc.integer(),
        fc.double(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(
          fc.constantFrom(
            "source",
            "target",
            "type",
            "test",
            "context",
            "limits",
            "condition",
            "tcp",
            "http",
            "command",
            "path",
            "file",
            "x-a",
          ),
          tie("value"),
          { maxKeys: 4, noNullPrototype: true },
        ),
      ),
    })).value;
    const keys = fc.constantFrom(
      "image",
      "build",
      "ports",
      "volumes",
      "environment",
      "env_file",
      "depends_on",
      "networks",
      "deploy",
      "healthcheck",
      "secrets",
      "configs",
      "ulimits",
      "extends",
      "command",
      "extra_hosts",
      "logging",
      "gpus",
      "devices",
      "develop",
      "models",
      "provider",
      "links",
      "volumes_from",
      "network_mode",
      "x-stack",
      "labels",
      "tmpfs",
      "dns",
      "scale",
      "cpus",
      "mem_limit",
      "processes",
      "ready",
    );
    const service = fc.dictionary(keys, value, { maxKeys: 6, noNullPrototype: true });
    await fc.assert(
      fc.asyncProperty(service, service, value, async (a, b, top) => {
        const result = await loadText({
          "stack.yaml": JSON.stringify({ services: { a, b }, volumes: top }),
          "stack.override.yaml": JSON.stringify({ services: { a: b } }),
        });
        expect(result.ok || result.diagnostics.length > 0).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
