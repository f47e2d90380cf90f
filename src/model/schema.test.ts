import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { describe, expect, it } from "vitest";
import { OWN_SERVICE_KEYS } from "./own-keys.ts";
import { SECTIONS } from "./shapes.ts";
import { resolve, root, schema } from "./schema.test-support.ts";
import type { Schema } from "./schema.test-support.ts";
import type { Shape } from "./shapes.ts";
import { findings } from "./load-text.test-support.ts";

const properties = (s: Schema): Readonly<Record<string, Schema>> => (resolve(s)["properties"] ?? {}) as Readonly<Record<string, Schema>>;
const definition = (name: string): Schema => (schema["definitions"] as Readonly<Record<string, Schema>>)[name] ?? {};

/** Keys that the loader takes care of before anything is decoded. */
const NOT_DECODED = new Set(["services.x-stack", ...OWN_SERVICE_KEYS.map((k) => `services.${k}`)]);

function compare(path: string, shape: Shape, s: Schema, problems: string[]): void {
  const target = resolve(s);
  if (shape.kind === "list") compare(`${path}[]`, shape.item, (target["items"] ?? {}) as Schema, problems);
  else if (shape.kind === "map") {
    const patterns = Object.values((target["patternProperties"] ?? {}) as Readonly<Record<string, Schema>>);
    compare(
      `${path}.*`,
      shape.value,
      patterns.find((p) => p["$ref"] !== undefined || p["properties"] !== undefined) ?? (target["additionalProperties"] as Schema),
      problems,
    );
  } else if (shape.kind === "struct") {
    const known = properties(target);
    for (const [name, field] of shape.fields) {
      const sub = known[name];
      if (sub === undefined) problems.push(`${path}.${name} is decoded but not in the schema`);
      else compare(`${path}.${name}`, field, sub, problems);
    }
    for (const name of Object.keys(known))
      if (!shape.fields.some(([field]) => field === name) && !NOT_DECODED.has(`${path}.${name}`))
        problems.push(`${path}.${name} is in the schema but never decoded`);
  }
}

describe("schemas/stack.schema.json", () => {
  it("and the table of shapes know the same keys", () => {
    const problems: string[] = [];
    for (const [section, shape] of Object.entries(SECTIONS))
      compare(
        section,
        shape,
        definition(
          { services: "service", networks: "network", volumes: "volume", secrets: "secret", configs: "config", models: "model" }[section] ??
            "",
        ),
        problems,
      );
    // A secret has no content, a config no driver; both share one shape.
    expect(
      problems.filter(
        (p) =>
          !/^(secrets\.content|configs\.driver(_opts)?) is decoded/.test(p) &&
          !/\.gpus\[\]|\.devices\[\]\.\*/.test(p) &&
          !/(post_start|pre_stop|exec|watch\[\]\.exec)(\[\])?\.(image|per_replica) is decoded/.test(p) &&
          !/limits\.(devices|generic_resources) is decoded|reservations\.pids is decoded/.test(p),
      ),
    ).toEqual([]);
  });

  it("describes every key", () => {
    const missing: string[] = [];
    const visit = (path: string, s: unknown): void => {
      if (typeof s !== "object" || s === null) return;
      for (const [name, sub] of Object.entries(((s as Schema)["properties"] ?? {}) as Readonly<Record<string, Schema>>)) {
        const text = sub["description"] ?? resolve(sub)["description"];
        if (typeof text !== "string" || text.length < 4) missing.push(`${path}.${name}`);
        visit(`${path}.${name}`, sub);
      }
      const patterns = (s as Schema)["patternProperties"];
      for (const sub of [...Object.values(patterns ?? {}), (s as Schema)["items"], (s as Schema)["additionalProperties"]])
        visit(`${path}.*`, sub);
    };
    visit("", schema);
    for (const [name, s] of Object.entries(schema["definitions"] as object)) visit(name, s);
    expect(missing).toEqual([]);
  });

  it("gives examples for every key, and each of them is valid", () => {
    const ajv = new Ajv({ strict: false });
    ajv.addSchema(schema, "stack");
    const missing: string[] = [];
    const wrong: string[] = [];
    const visit = (pointer: string, s: unknown): void => {
      if (typeof s !== "object" || s === null || Array.isArray(s)) return;
      const { properties: members = {}, patternProperties: patterns = {} } = s as Readonly<Record<string, Readonly<Record<string, Schema>>>>;
      for (const [name, sub] of Object.entries(members)) {
        const examples = sub["examples"] ?? sub["enum"] ?? resolve(sub)["examples"] ?? resolve(sub)["enum"];
        if (!Array.isArray(examples) || examples.length === 0) missing.push(`${pointer}/${name}`);
        else {
          const validate = ajv.compile({ $ref: `stack#${pointer}/properties/${name}` });
          for (const example of examples) if (!validate(example)) wrong.push(`${pointer}/${name}: ${JSON.stringify(example)}: ${ajv.errorsText(validate.errors)}`);
        }
        visit(`${pointer}/properties/${name}`, sub);
      }
      for (const [pattern, sub] of Object.entries(patterns)) visit(`${pointer}/patternProperties/${encodeURIComponent(pattern)}`, sub);
      for (const key of ["items", "additionalProperties"]) visit(`${pointer}/${key}`, (s as Schema)[key]);
    };
    visit("", schema);
    for (const [name, s] of Object.entries(schema["definitions"] as object)) visit(`/definitions/${name}`, s);
    expect(missing).toEqual([]);
    expect(wrong).toEqual([]);
  });

  it("shows every key of ours in stack.yaml.example, which loads without a word", async () => {
    const example = readFileSync(join(root, "stack.yaml.example"), "utf8");
    expect(await findings({ "stack.yaml": example }, { profiles: ["*"], env: { VERSION: "1" } })).toEqual([]);
    const keys = [
      ...OWN_SERVICE_KEYS,
      ...Object.keys(properties(definition("ownProcess"))),
      ...Object.keys(properties(definition("ownTiming"))),
      ...Object.keys(properties(definition("ownProbe"))),
      ...Object.keys(properties(properties(definition("own"))["on_unhealthy"] ?? {})),
    ];
    expect(keys.filter((k) => !new RegExp(`\\b${k}\\b:`).test(example))).toEqual([]);
  });
});
