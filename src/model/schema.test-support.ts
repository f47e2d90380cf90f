import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export type Schema = Readonly<Record<string, unknown>>;

/** Of the repository. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const schema = JSON.parse(readFileSync(join(root, "schemas/stack.schema.json"), "utf8")) as Schema;

/** What a place of the schema refers to, also where a description of its own stands around the reference. */
export function resolve(s: Schema): Schema {
  const reference = s["$ref"] ?? (s["allOf"] as readonly Schema[] | undefined)?.[0]?.["$ref"];
  if (typeof reference !== "string") return s;
  let target: unknown = schema;
  for (const part of reference.split("/").slice(1)) target = (target as Schema)[part];
  return resolve(target as Schema);
}
