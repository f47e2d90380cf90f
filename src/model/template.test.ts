import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { substitute, variablesOf } from "./template.ts";

const values: Readonly<Record<string, string>> = { A: "a", EMPTY: "", D: "$A" };
const lookup = (name: string): string | undefined => values[name];

describe("variables in text", () => {
  it.each([
    ["$A", "a"],
    ["${A}", "a"],
    ["x$A-y", "xa-y"],
    ["$$A $${A}", "$A ${A}"],
    ["$1 $- a$", "$1 $- a$"],
    ["${EMPTY:-d}${EMPTY-d}", "d"],
    ["${NO:-d}${NO-e}", "de"],
    ["${A:+r}${EMPTY:+r}${EMPTY+s}${NO+t}", "rs"],
    ["${NO:-${ALSO:-$A}}", "a"],
    ['${NO:-{"a":{"b":1}}}', '{"a":{"b":1}}'],
    ["$D", "$A"],
  ])("%s becomes %s", (text, expected) => {
    expect(substitute(text, lookup)).toEqual({ value: expected, problems: [] });
  });

  it.each(["${", "${}", "${ A }", "${1}", "${A/b/c}", "${A", "${A:-${B}"])("%s is malformed, and says where", (text) => {
    expect(substitute(`ab${text}`, lookup).problems[0]).toMatchObject({ kind: "malformed" });
  });

  it("tells of unset variables with their position, but not of those in a default that is not used", () => {
    expect(substitute("xy$NO", lookup).problems).toEqual([{ kind: "unset", at: 2, name: "NO" }]);
    expect(substitute("${A:-$NO}", lookup).problems).toEqual([]);
  });

  it("gives the message of a required variable, filled in", () => {
    expect(substitute("${NO:?set $A first}", lookup).problems).toEqual([{ kind: "required", at: 0, name: "NO", reason: "set a first" }]);
  });

  it("names every variable, nested ones too", () => {
    expect(
      variablesOf("$A ${B:-${C:?x}}")
        .map((v) => v.name)
        .sort(),
    ).toEqual(["A", "B", "C"]);
  });

  it("leaves a text whose dollar signs are doubled as it was", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => substitute(text.replaceAll("$", "$$$$"), lookup).value === text));
  });

  it("ends and never throws, whatever the text", () => {
    const piece = fc.constantFrom("$", "{", "}", ":-", "?", "+", "A", "NO", "$$", "\n", "é", ":", "-");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        expect(typeof substitute(pieces.join(""), lookup).value).toBe("string");
      }),
    );
    expect(substitute("${A:-".repeat(100_000), lookup).problems.length).toBeGreaterThan(0);
  });
});
