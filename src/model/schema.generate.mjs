// Compiles schemas/stack.schema.json into a validator of plain code, so that no command pays for (or ships) ajv's
// compiler. Writes src/model/generated/, which is not kept in the repository. Run by build.mjs.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const schemaFile = join(here, "../../schemas/stack.schema.json");
const target = join(here, "generated");

/** Descriptions and examples are for editors; the validator and its messages need the shapes alone. */
function strip(value) {
  if (Array.isArray(value)) return value.map(strip);
  if (typeof value !== "object" || value === null) return value;
  const result = {};
  for (const [key, member] of Object.entries(value)) {
    if ((key === "description" && typeof member === "string") || (key === "examples" && Array.isArray(member)) || key === "deprecated")
      continue;
    // Comparing every item with every other is for small lists; validate.ts looks for doubles itself.
    if (key === "uniqueItems") continue;
    // `{allOf: [{$ref}]}` is there to give a reference a description of its own.
    if (key === "allOf" && member.length === 1) Object.assign(result, strip(member[0]));
    else result[key] = strip(member);
  }
  return result;
}

/** `properties` holds names, which may be `description`. */
function stripSchema(schema) {
  if (Array.isArray(schema)) return schema.map(stripSchema);
  if (typeof schema !== "object" || schema === null) return schema;
  const result = {};
  for (const [key, member] of Object.entries(schema)) {
    if (key === "properties" || key === "patternProperties" || key === "definitions")
      result[key] = Object.fromEntries(Object.entries(member).map(([name, sub]) => [name, stripSchema(sub)]));
    else if (key === "items" || key === "additionalProperties") result[key] = stripSchema(member);
    else Object.assign(result, strip({ [key]: member }));
  }
  return result;
}

const DECLARATION = `export interface SchemaError {
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly keyword: string;
  readonly params: Readonly<Record<string, unknown>>;
}
export interface Validate {
  (data: unknown): boolean;
  errors?: readonly SchemaError[] | null;
}
declare const validate: Validate;
export default validate;
`;

export async function generate() {
  const [{ Ajv }, { default: standalone }, { build }] = await Promise.all([
    import("ajv"),
    import("ajv/dist/standalone/index.js"),
    import("esbuild"),
  ]);
  const schema = stripSchema(JSON.parse(readFileSync(schemaFile, "utf8")));
  const ajv = new Ajv({
    allErrors: true,
    strict: true,
    allowUnionTypes: true,
    strictTypes: false,
    strictRequired: false,
    allowMatchingProperties: true,
    messages: false,
    inlineRefs: false,
    code: { source: true, esm: true, lines: false },
  });
  const code = (standalone.default ?? standalone)(ajv, ajv.compile(schema));
  const bundled = await build({
    stdin: { contents: code, resolveDir: here, loader: "js" },
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node20.19",
    minify: true,
    legalComments: "none",
  });
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, "validate.js"), bundled.outputFiles[0].text);
  writeFileSync(join(target, "validate.d.ts"), DECLARATION);
  writeFileSync(join(target, "shapes.js"), `export default ${JSON.stringify(schema)};\n`);
  writeFileSync(join(target, "shapes.d.ts"), "declare const schema: unknown;\nexport default schema;\n");
}
