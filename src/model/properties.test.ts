import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalText, loadProject } from "./index.ts";
import { memoryReader } from "./memory-reader.ts";

/** What holds for every stack file, on generated ones. JSON is YAML, so generated data is its own text. */
const word = fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/);
const value = fc.oneof(fc.stringMatching(/^[ -#%-~é😀]{0,8}$/u), fc.integer({ min: -9, max: 99 }), fc.boolean());
const few = <T>(item: fc.Arbitrary<T>, by?: (item: T) => unknown) => fc.uniqueArray(item, { maxLength: 3, ...(by === undefined ? {} : { selector: by }) });
const port = fc.nat({ max: 60_000 }).map((n) => `${n + 2}:${(n % 900) + 1}`);

const service = fc.record(
  {
    image: word,
    command: fc.oneof(few(word), word),
    environment: fc.oneof(fc.dictionary(word, value, { maxKeys: 3 }), few(word.map((w) => `${w}=1`))),
    labels: fc.dictionary(word, value, { maxKeys: 3 }),
    ports: few(port, (p) => p.split(":")[1]),
    expose: few(fc.integer({ min: 1, max: 65_535 }).map(String)),
    volumes: few(word.map((w) => `./${w}:/${w}`)),
    tmpfs: few(word.map((w) => `/tmp/${w}`)),
    networks: fc.oneof(few(fc.constantFrom("front", "back")), fc.constant({ front: { aliases: ["x"] } })),
    cap_add: few(fc.constantFrom("SYS_ADMIN", "NET_ADMIN", "KILL")),
    dns: few(fc.ipV4()),
    extra_hosts: fc.dictionary(word, fc.ipV4(), { maxKeys: 2 }),
    sysctls: fc.dictionary(word, fc.integer({ min: 1, max: 9 }), { maxKeys: 2 }),
    ulimits: fc.constantFrom({ nofile: 5 }, { nproc: { soft: 1, hard: 2 } }),
    healthcheck: fc.record({ test: fc.oneof(word, few(word).map((w) => ["CMD", ...w, "x"])), interval: fc.constantFrom("1s", "1m30s") }),
    deploy: fc.record({ labels: fc.dictionary(word, value, { maxKeys: 2 }), resources: fc.constant({ limits: { memory: "64m" } }) }),
    "x-more": fc.dictionary(word, value, { maxKeys: 2 }),
  },
  { requiredKeys: ["image"] },
);
const file = fc
  .dictionary(word, service, { minKeys: 1, maxKeys: 3 })
  .map((services) => ({ services, networks: { front: null, back: { internal: true } }, volumes: { data: {} } }));

async function loaded(files: readonly unknown[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const texts = Object.fromEntries(files.map((data, i) => [`/p/${i}.yaml`, JSON.stringify(data)]));
  const result = await loadProject({ env, cwd: "/p", files: Object.keys(texts), projectName: "demo", reader: memoryReader(texts) });
  if (!result.ok) throw new Error(result.diagnostics.map((d) => d.message).join("; "));
  return canonicalText(result.project, "yaml");
}

const dollars = (text: string): string => text.replaceAll("$", "$$$$");

/** The same data with the keys of every mapping in another order. */
function shuffled(data: unknown, next: () => number): unknown {
  if (Array.isArray(data)) return data.map((item) => shuffled(item, next));
  if (typeof data !== "object" || data === null) return data;
  const keys = Object.keys(data).map((key) => ({ key, rank: next() }));
  return Object.fromEntries(keys.sort((a, b) => a.rank - b.rank).map(({ key }) => [key, shuffled((data as Record<string, unknown>)[key], next)]));
}

describe("for every stack file", () => {
  it("loading twice says the same", () => fc.assert(fc.asyncProperty(file, async (data) => { expect(await loaded([data])).toBe(await loaded([data])); }), { numRuns: 60 }));

  it("the order of keys does not matter", () =>
    fc.assert(
      fc.asyncProperty(file, fc.infiniteStream(fc.nat()), async (data, ranks) => {
        expect(await loaded([shuffled(data, () => Number(ranks.next().value))])).toBe(await loaded([data]));
      }),
      { numRuns: 100 },
    ));

  it("what is not a variable stays as it is, and a doubled dollar is one", () =>
    fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[ -~é😀]{0,12}$/u), async (text) => {
        const written = { services: { a: { image: "a", labels: { l: text.replaceAll("$", "$$$$") } } } };
        const result = await loadProject({ env: {}, cwd: "/p", reader: memoryReader({ "/p/compose.yaml": JSON.stringify(written) }) });
        expect(result.ok && result.project.services["a"]?.labels).toEqual({ l: text });
      }),
      { numRuns: 200 },
    ));

  it("a default counts exactly where its variable is not set, or empty after a colon", () =>
    fc.assert(
      fc.asyncProperty(word, fc.option(fc.constantFrom("", "set"), { nil: undefined }), async (fallback, set) => {
        const labels = { a: `\${V-${fallback}}`, b: `\${V:-${fallback}}`, c: `\${V+${fallback}}`, d: `\${V:+${fallback}}`, e: "$V", f: `\${V:-\${W:-${fallback}}}` };
        const result = await loadProject({
          env: set === undefined ? {} : { V: set },
          cwd: "/p",
          reader: memoryReader({ "/p/compose.yaml": JSON.stringify({ services: { a: { image: "a", labels } } }) }),
        });
        const full = set !== undefined && set !== "";
        expect(result.ok && result.project.services["a"]?.labels).toEqual({
          a: set ?? fallback,
          b: full ? set : fallback,
          c: set === undefined ? "" : fallback,
          d: full ? fallback : "",
          e: set ?? "",
          f: full ? set : fallback,
        });
      }),
      { numRuns: 60 },
    ));

  it("what config prints loads to the same project", () =>
    fc.assert(
      fc.asyncProperty(file, async (data) => {
        const printed = await loaded([data]);
        const again = await loadProject({ env: {}, cwd: "/p", reader: memoryReader({ "/p/compose.yaml": printed }) });
        expect(again.ok && canonicalText(again.project, "yaml")).toBe(printed);
      }),
      { numRuns: 100 },
    ));

  it("merging it with itself changes nothing", () =>
    fc.assert(fc.asyncProperty(file, async (data) => { expect(await loaded([data, data])).toBe(await loaded([data])); }), { numRuns: 100 }));

  it("an empty file over it changes nothing", () =>
    fc.assert(fc.asyncProperty(file, async (data) => { expect(await loaded([data, { services: {} }])).toBe(await loaded([data])); }), { numRuns: 40 }));

  it("a dollar in a value survives config", () =>
    fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[a-z$ {}]{0,8}$/), async (text) => {
        expect(await loaded([{ services: { a: { image: "a", labels: { l: `x${dollars(text)}x` } } } }])).toContain(dollars(text));
      }),
      { numRuns: 60 },
    ));
});
