import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseDotenv, parseRawEnv } from "./dotenv.ts";

const inherit = (name: string): string | undefined => (name === "HOME" ? "/root" : undefined);
const values = (text: string): Record<string, string> => Object.fromEntries(parseDotenv(text, inherit).values);

describe("environment files", () => {
  it.each<[string, Record<string, string>]>([
    ["A=1\nB=2\n", { A: "1", B: "2" }],
    ["\ufeffexport A = x # comment\n", { A: "x" }],
    ["A: yaml style\n", { A: "yaml style" }],
    ["A='lit $HOME \\n'\nB=\"exp $HOME\\n\"\n", { A: "lit $HOME \\n", B: "exp /root\n" }],
    ['A="two\nlines"\nB=1', { A: "two\nlines", B: "1" }],
    ["HOME\nNOPE\nA=1\n", { HOME: "/root", A: "1" }],
    ["A=1\nB=${A}2\nC=${NOPE:-d}\n", { A: "1", B: "12", C: "d" }],
    ['A="\\$HOME"\nB=$$HOME\n', { A: "$HOME", B: "$HOME" }],
    ["A=x#y\n# whole line\n\n", { A: "x#y" }],
  ])("reads %j", (text, expected) => {
    expect(parseDotenv(text, inherit).problems).toEqual([]);
    expect(values(text)).toEqual(expected);
  });

  it.each([
    ["A=1\nB B=2\n", 4],
    ['A=1\nB="x\n', 6],
    ["A%=1\n", 1],
    ["=1\n", 0],
  ])("finds the mistake in %j at its place", (text, at) => {
    expect(parseDotenv(text, inherit).problems.map((p) => p.at)).toEqual([at]);
  });

  it("sees earlier files, and the environment before them", () => {
    expect(
      Object.fromEntries(
        parseDotenv(
          "X=$A$HOME\n",
          inherit,
          new Map([
            ["A", "1"],
            ["HOME", "no"],
          ]),
        ).values,
      ),
    ).toEqual({ X: "1/root" });
  });

  it("takes raw files literally", () => {
    expect(Object.fromEntries(parseRawEnv("A='x' # c\nB=$HOME\n# no\nHOME\n", inherit).values)).toEqual({
      A: "'x' # c",
      B: "$HOME",
      HOME: "/root",
    });
  });

  it("ends and never throws, whatever the file", () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom("A", "=", '"', "'", "\\", "\n", " ", "#", "$", "{", "}", ":", "export ", "\r", "\0", "é"),
          maxLength: 80,
        }),
        (text) => {
          parseDotenv(text, inherit);
          parseRawEnv(text, inherit);
        },
      ),
    );
  });

  it("reads in linear time", () => {
    const text = 'A="x\ny" # z\n'.repeat(20_000) + "#".repeat(100_000);
    const start = process.cpuUsage();
    parseDotenv(text, inherit);
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(3000);
  });
});
