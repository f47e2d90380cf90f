import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { scenes } from "../../test/e2e/attributes/index.ts";
import { refusals } from "../../test/e2e/attributes/refused.ts";
import { renderAttributes } from "./attributes.test-support.ts";
import { ATTRIBUTES } from "./attributes/index.ts";
import { resolve, root, schema } from "./schema.test-support.ts";
import type { Schema } from "./schema.test-support.ts";

/** Attribute → what is seen of it. */
const seen = new Map(scenes.flatMap((scene) => scene.checks.flatMap((check) => check.of.map((path) => [path, check.seen] as const))));

/** What common kernels do not have (real-time group scheduling, the BFQ scheduler), and what is read by others. */
const UNSEEN = /cpu_rt_|blkio_config\.weight/;

/** Every path of the schema. Our keys are listed once, bare; a list of probes is as one. */
function pathsOf(s: Schema, path: string, found: Set<string>): Set<string> {
  const target = resolve(s);
  const at = (name: string): string => (path === "" ? name : `${path}.${name}`);
  for (const [name, sub] of Object.entries((target["properties"] ?? {}) as Readonly<Record<string, Schema>>)) {
    found.add(at(name));
    if (name !== "x-stack") pathsOf(sub, at(name), found);
  }
  for (const [pattern, sub] of Object.entries((target["patternProperties"] ?? {}) as Readonly<Record<string, Schema>>))
    if (pattern !== "^x-") pathsOf(sub, at("*"), found);
  for (const [key, step] of [
    ["items", path.endsWith(".ready") ? path : at("[]")],
    ["additionalProperties", at("*")],
  ] as const)
    if (typeof target[key] === "object") pathsOf(target[key] as Schema, step, found);
  return found;
}

describe("the table of attributes", () => {
  it("names exactly the attributes of the schema", () => {
    const known = pathsOf(schema, "", new Set());
    expect([...known].filter((path) => !(path in ATTRIBUTES)), "in the schema, not in the table").toEqual([]);
    expect(Object.keys(ATTRIBUTES).filter((path) => !known.has(path)), "in the table, not in the schema").toEqual([]);
  });

  it("calls honoured only what a test of test/e2e/attributes sees in a running stack", () => {
    const state = (path: string): string => ATTRIBUTES[path]?.state ?? "unknown";
    expect(Object.keys(ATTRIBUTES).filter((path) => state(path) === "honoured" && !seen.has(path)), "honoured, and no test sees it").toEqual([]);
    expect(Object.keys(ATTRIBUTES).filter((path) => state(path) === "partly" && !seen.has(path) && !UNSEEN.test(path)), "partly, and no test sees the part").toEqual([]);
    expect([...seen.keys()].filter((path) => !["honoured", "partly"].includes(state(path))), "seen by a test, and the table says otherwise").toEqual([]);
  });

  it("calls refused only what a test of test/e2e/attributes sees refused", () => {
    const tested = new Set(refusals.flatMap((refusal) => refusal.of));
    const refusedBelow = (path: string): boolean => {
      for (let at = path.lastIndexOf("."); at > 0; at = path.lastIndexOf(".", at - 1)) if (ATTRIBUTES[path.slice(0, at)]?.state === "refused") return true;
      return false;
    };
    const outermost = Object.keys(ATTRIBUTES).filter((path) => ATTRIBUTES[path]?.state === "refused" && !refusedBelow(path));
    expect(outermost.filter((path) => !tested.has(path))).toEqual([]);
  });

  it("is what schemas/ATTRIBUTES.md shows (run with -u to write it anew)", async () => {
    await expect(renderAttributes(seen)).toMatchFileSnapshot(join(root, "schemas/ATTRIBUTES.md"));
  });
});
