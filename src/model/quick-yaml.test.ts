import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readCorpus } from "../../test/fuzz/corpus.ts";
import { caseOf } from "../../test/fuzz/run.ts";
import { parseFully } from "./full-yaml.ts";
import { readQuickly } from "./quick-yaml.ts";
import { Report } from "./report.ts";
import { makeSource } from "./source.ts";

const corpus = readCorpus(join(dirname(fileURLToPath(import.meta.url)), "../../test/fixtures"));

/** 1: both read the same. 0: left to the full parser. */
function compare(text: string): number {
  const source = makeSource("/p/compose.yaml", text);
  const quick = readQuickly(source);
  if (quick === undefined) return 0;
  const report = new Report();
  const full = parseFully(source, report);
  const context = `${JSON.stringify(text)}\n${report.sorted([]).map((d) => d.message).join("\n")}`;
  expect(full.length, context).toBe(1);
  expect(report.sorted([]), context).toEqual([]);
  expect(full[0]?.resets, context).toEqual([]);
  expect(quick, context).toEqual(full[0]?.root);
  return 1;
}

const yaml = (files: Readonly<Record<string, string>>): string[] => Object.entries(files).flatMap(([name, text]) => (/\.ya?ml$/.test(name) ? [text] : []));

describe("the quick reader", () => {
  for (const [what, text] of Object.entries({
    "nested mappings": "a:\n  b:\n    c: 1\n  d: x # y\n\n# z\ne:\n",
    "lists in lists, and mappings in lists": "a:\n- b: 1\n  c: 2\n- - d\n  - e\n-   f: g\n    h: i\n",
    "quotes": "a: \"x: y # z\"\nb: 'it''s'\n\"c d\": ''\n",
    "flow collections over lines": "a: {b: [c, d,\n    e], f: {g: 'h', \"i\": 1}}\nj: [\n  k,\n\n  l\n ]\n",
    "anchors, aliases and merge keys": "x: &x {a: 1}\ny: &y\n  <<: *x\n  b: &z [1]\nz:\n  <<: [*x, *y]\n  c: *z\n  a: 2\n",
    "texts in blocks": "a: |\n  x\n    y\n\n  z\n\nb: >-\n  p\n  q\n\n  r\nc:\n  - |-\n   l\n  - d\n",
    "numbers as written": "a: 0777\nb: 1_000\nc: 123456789012345678901\nd: 9007199254740993\ne: -1\nf: .5\n",
    "a mark of the document's begin, and no line break at its end": "---\na: b",
  }))
    it(`reads ${what}`, () => {
      expect(compare(text)).toBe(1);
    });

  it("reads what the full parser reads, places included, and most of what people write", { timeout: 60_000 }, () => {
    const texts = corpus.flatMap(({ files }) => yaml(files));
    let read = 0;
    for (const text of texts) read += compare(text);
    expect(read / texts.length).toBeGreaterThan(0.6);
  });

  it("leaves everything to the full parser that this one refuses", { timeout: 60_000 }, () => {
    let read = 0;
    for (let i = 0; i < 800; i++) for (const text of yaml(caseOf(7, i, corpus).files)) read += compare(text);
    expect(read).toBeGreaterThan(150);
  });
});
