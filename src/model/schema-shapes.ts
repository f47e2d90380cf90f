import type { Path } from "./tree.ts";

/** What the schema knows about a place, for messages. It is loaded only when there is something to say. */
export interface SchemaShapes {
  /** Keys that may stand in the mapping at this path; empty where the user chooses them. */
  keysAt(path: Path): readonly string[];
  /** What is expected at this path, where it can be said in a few words. */
  describe(path: Path): string | undefined;
  /** What may be written at this path, where the schema lists it. */
  choices(path: Path): readonly string[];
}

type Schema = Readonly<Record<string, unknown>>;

export async function loadShapes(): Promise<SchemaShapes> {
  const { default: root } = (await import("./generated/shapes.js")) as { default: Schema };
  return new Shapes(root);
}

class Shapes implements SchemaShapes {
  readonly #root: Schema;

  constructor(root: Schema) {
    this.#root = root;
  }

  keysAt(path: Path): readonly string[] {
    const properties = member(this.#at(path), "properties");
    return properties === undefined ? [] : Object.keys(properties).filter((k) => !k.startsWith("x-"));
  }

  describe(path: Path): string | undefined {
    const hint = this.#at(path)?.["hint"];
    return typeof hint === "string" ? hint : undefined;
  }

  choices(path: Path): readonly string[] {
    const listed = this.#at(path)?.["enum"];
    return Array.isArray(listed) ? listed.filter((v): v is string => typeof v === "string") : [];
  }

  #at(path: Path): Schema | undefined {
    let schema: Schema | undefined = this.#root;
    for (const part of path) {
      schema = this.#deref(schema);
      if (schema === undefined) return undefined;
      schema = part.startsWith("[") ? member(schema, "items") : this.#property(schema, part);
    }
    return this.#deref(schema);
  }

  #property(schema: Schema, name: string): Schema | undefined {
    const own = member(member(schema, "properties") ?? {}, name);
    if (own !== undefined) return own;
    for (const [pattern, sub] of Object.entries(member(schema, "patternProperties") ?? {}))
      if (pattern !== "^x-" && new RegExp(pattern).test(name)) return sub as Schema;
    return member(schema, "additionalProperties");
  }

  #deref(schema: Schema | undefined): Schema | undefined {
    const reference = schema?.["$ref"];
    if (typeof reference !== "string") return schema;
    let target: Schema | undefined = this.#root;
    for (const part of reference.split("/").slice(1)) target = target === undefined ? undefined : member(target, part);
    return this.#deref(target);
  }
}

function member(schema: Schema | undefined, key: string): Schema | undefined {
  const value = schema !== undefined && Object.hasOwn(schema, key) ? schema[key] : undefined;
  return typeof value === "object" && value !== null ? (value as Schema) : undefined;
}
