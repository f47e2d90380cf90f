import { describe, expect, it } from "vitest";
import { LIMITS, parseSource } from "./parse.ts";
import { Report } from "./report.ts";
import { resolvePlain } from "./scalar.ts";
import { makeSource, placeOf } from "./source.ts";
import { child, toPlain } from "./tree.ts";

async function parse(text: string) {
  const report = new Report();
  const documents = await parseSource(makeSource("/f.yaml", text), report);
  return { documents, plain: documents.map((d) => toPlain(d.root)), found: report.sorted([]) };
}

describe("reading YAML", () => {
  it("keeps the place of every key and value", async () => {
    const { documents } = await parse("a: 1\nbcd:\n  - x\n  - {y: zz}\n");
    const root = documents[0]!.root;
    const bcd = child(root, "bcd")!;
    expect(placeOf(bcd.keyAt!)).toMatchObject({ line: 2, column: 1, length: 3, text: "bcd:" });
    const zz = bcd.kind === "seq" ? child(bcd.items[1], "y")! : bcd;
    expect(placeOf(zz.at)).toMatchObject({ line: 4, column: 9, length: 2, text: "  - {y: zz}" });
  });

  it("merges `<<`, what is written beside it first, then the earlier of several", async () => {
    expect((await parse("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {z: 3, <<: [*a, *b]}\n")).plain).toEqual([
      { a: { x: 1, y: 1 }, b: { y: 2, z: 2 }, c: { z: 3, x: 1, y: 1 } },
    ]);
  });

  it("names both places of a value that came through an alias", async () => {
    const { documents } = await parse("a: &a {x: 1}\nb: *a\n");
    const b = child(documents[0]!.root, "b")!;
    expect(placeOf(b.at).line).toBe(1);
    expect(b.via?.map((v) => [v.note, placeOf(v.at).line])).toEqual([["through the alias *a", 2]]);
  });

  it("remembers what !reset and !override name", async () => {
    expect((await parse("a: !reset 1\nb: {c: !override [2]}\n")).documents[0]!.resets).toEqual([["a"], ["b", "c"]]);
  });

  it.each([
    ["a: 1\na: 2\n", "duplicate-key", 2, 1],
    ["a: {b: 1, b: 2}\n", "duplicate-key", 1, 11],
    ["a: *x\n", "yaml-alias", 1, 4],
    ["a: &a [*a]\n", "yaml-cycle", 1, 8],
    ["a: &a {b: {c: *a}}\n", "yaml-cycle", 1, 15],
    ["1: a\n", "non-string-key", 1, 1],
    ["? [a]\n: b\n", "non-string-key", 1, 3],
    ["a:\n\t- b\n", "yaml-syntax", 2, 1],
    ["a: b: c\n", "yaml-syntax", 1, 4],
    ["a: \0\n", "yaml-syntax", 1, 4],
    ["<<: 5\n", "yaml-merge", 1, 1],
  ])("finds the mistake in %j at its place", async (text, rule, line, column) => {
    expect((await parse(text)).found.map((d) => [d.rule, d.place?.line, d.place?.column])).toContainEqual([rule, line, column]);
  });

  it("reads byte order marks, CRLF and several documents", async () => {
    expect((await parse("\ufeffa: 1\r\n---\r\nb: |\r\n  x\r\n")).plain).toEqual([{ a: 1 }, { b: "x\n" }]);
  });

  it("stops at nesting that would end the process", async () => {
    for (const text of ["[".repeat(100_000), "a: ".repeat(50_000), "- ".repeat(100_000), "{a: ".repeat(50_000)]) {
      const { found } = await parse(text);
      expect(found.length).toBeGreaterThan(0);
    }
    expect((await parse("[".repeat(100_000))).found[0]?.rule).toBe("yaml-too-deep");
  });

  it("stops at aliases that explode", async () => {
    let text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
    for (let i = 1; i < 12; i++) text += `a${i}: &a${i} [${Array.from({ length: 9 }, () => `*a${i - 1}`).join(", ")}]\n`;
    expect((await parse(text)).found.map((d) => d.rule)).toContain("yaml-alias-bomb");
  });

  it("refuses files beyond the limit", async () => {
    expect((await parse(`a: ${"x".repeat(LIMITS.text)}`)).found[0]?.rule).toBe("file-too-large");
  });

  it.each<[string, unknown]>([
    ["", null],
    ["~", null],
    ["True", true],
    ["yes", "yes"],
    ["10", 10],
    ["010", 8],
    ["0o10", 8],
    ["0x1F", 31],
    ["0b11", 3],
    ["1_000", 1000],
    ["08", 8],
    ["1.50", 1.5],
    ["1e3", 1000],
    ["22:22", "22:22"],
    ["1.2.3", "1.2.3"],
    ["2024-01-01", "2024-01-01"],
    ["-", "-"],
    ["+1", 1],
  ])("takes %j without quotes for %j", (text, value) => {
    expect(resolvePlain(text).value).toEqual(value);
  });

  it("keeps the digits of numbers that do not fit", async () => {
    expect(resolvePlain("9223372036854775807").text).toBe("9223372036854775807");
  });
});
