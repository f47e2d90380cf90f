import { describe, expect, it } from "vitest";
import { canonicalText, loadProject } from "./index.ts";
import { memoryReader } from "./memory-reader.ts";
import { schema } from "./schema.test-support.ts";
import { START_RULES } from "./start-rules.ts";

const load = (files: Readonly<Record<string, string>>, more: { readonly tolerant?: boolean; readonly profiles?: readonly string[] } = {}) =>
  loadProject({ env: {}, cwd: "/p", reader: memoryReader(files), ...more });

describe("a value that Docker Compose lets through and its engine refuses", () => {
  const misspelt = { "/p/compose.yaml": "services:\n  web:\n    image: a\n    restart: allways\n" };

  it("is an error for whoever makes containers", async () => {
    const result = await load(misspelt);
    expect(result.ok).toBe(false);
    expect(result.diagnostics).toMatchObject([
      { severity: "error", rule: "invalid-value", place: { line: 4, column: 14 }, message: 'services.web.restart: "allways" is not a valid value', hint: expect.stringContaining("Did you mean `always`?") as string },
    ]);
  });

  it("is the same as a warning for whoever only reads, and is printed as it was written", async () => {
    const strict = await load(misspelt);
    const result = await load(misspelt, { tolerant: true });
    expect(result.diagnostics).toEqual(strict.diagnostics.map((d) => ({ ...d, severity: "warning" })));
    expect(result.ok && canonicalText(result.project, "yaml")).toContain("    restart: allways\n");
  });

  it("is nothing where a later file puts it right, or its service does not run", async () => {
    const over = await load({ ...misspelt, "/p/compose.override.yaml": "services: {web: {restart: always}}\n" });
    expect(over).toMatchObject({ ok: true, diagnostics: [] });
    const idle = await load({ "/p/compose.yaml": "services:\n  web: {image: a}\n  b: {image: b, restart: allways, profiles: [x]}\n" });
    expect(idle).toMatchObject({ ok: true, diagnostics: [] });
  });

  it("is refused by both where Docker Compose refuses it too", async () => {
    const result = await load({ "/p/compose.yaml": "services: {web: {image: a, container_name: '!!'}}\n" }, { tolerant: true });
    expect(result.ok).toBe(false);
  });

  it("may stand in a list", async () => {
    const ports = { "/p/compose.yaml": "services:\n  web:\n    image: a\n    ports:\n      - {target: 80, protocol: UDP}\n" };
    expect((await load(ports)).diagnostics).toMatchObject([{ severity: "error", rule: "invalid-value", place: { line: 5, column: 32 } }]);
    const result = await load(ports, { tolerant: true });
    expect(result.diagnostics).toMatchObject([{ severity: "warning", place: { line: 5, column: 32 } }]);
    expect(result.ok && canonicalText(result.project, "yaml")).toContain("        protocol: UDP\n");
  });

  it.each([
    ['command: ["x\\0y"]', "services.web.command[0]"],
    ['working_dir: "/a\\0"', "services.web.working_dir"],
    ['environment: {"A\\0": b}', "services.web.environment.A\0"],
    ['volumes: [{type: bind, source: "/etc\\0/x", target: /b}]', "services.web.volumes[0].source"],
  ])("is no container's where a NUL ends it: %s", async (line, path) => {
    const files = { "/p/compose.yaml": `services:\n  web:\n    image: a\n    ${line}\n` };
    const message = `${path}: no container can be given the character NUL`;
    expect((await load(files)).diagnostics).toMatchObject([{ severity: "error", message }]);
    expect((await load(files, { tolerant: true })).diagnostics).toMatchObject([{ severity: "warning", message }]);
  });

  it("is judged by what the schema says", () => {
    const written: Readonly<Record<string, string | undefined>> = {
      restart: properties("service")["restart"]?.pattern,
      container_name: properties("service")["container_name"]?.pattern,
      "ports.[].protocol": `^(${properties("port")["protocol"]?.enum?.join("|") ?? ""})$`,
    };
    const patterns = Object.entries(START_RULES).map(([key, rule]) => [key, rule.valid.source.replaceAll("\\/", "/")]);
    expect(Object.fromEntries(patterns)).toEqual(written);
  });
});

interface Said {
  readonly pattern?: string;
  readonly enum?: readonly string[];
}

function properties(definition: string): Readonly<Record<string, Said>> {
  const definitions = schema["definitions"] as Readonly<Record<string, { readonly properties: Readonly<Record<string, Said>> }>>;
  return definitions[definition]?.properties ?? {};
}
