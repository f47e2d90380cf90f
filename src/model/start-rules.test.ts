import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { canonicalText, loadProject } from "./index.ts";
import { memoryReader } from "./memory-reader.ts";
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

  it("is judged by the schema's own patterns", () => {
    const schema = JSON.parse(readFileSync(new URL("../../schemas/stack.schema.json", import.meta.url), "utf8")) as {
      readonly definitions: { readonly service: { readonly properties: Readonly<Record<string, { readonly pattern?: string }>> } };
    };
    const same = (pattern: RegExp): string => pattern.source.replaceAll("\\/", "/");
    for (const [key, rule] of Object.entries(START_RULES)) expect(same(rule.valid)).toBe(schema.definitions.service.properties[key]?.pattern);
  });
});
