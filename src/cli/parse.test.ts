import { describe, expect, test } from "vitest";
import { boolean, integer, list, text } from "./flags.ts";
import { parseFlags } from "./parse.ts";
import { nearest } from "./suggest.ts";

const flags = {
  detach: boolean("", { short: "d" }),
  renew: boolean("", { short: "V" }),
  noBuild: boolean(""),
  build: boolean(""),
  orphans: boolean("", { initial: true }),
  noTty: boolean("", { short: "T", long: "no-TTY", aliases: ["no-tty"] }),
  timeout: integer("", { short: "t" }),
  env: list("", { short: "e" }),
  format: text(""),
  pull: text("", { choices: ["always", "never"] }),
};
const parse = (argv: readonly string[], more: { interspersed?: boolean; positionals?: readonly string[] } = {}): { flags: Record<string, unknown>; positionals: readonly string[] } =>
  parseFlags({ name: "up", flags, interspersed: true, positionals: ["[services...]"], ...more }, argv);
const changed = (argv: readonly string[]): Record<string, unknown> => {
  const none = parse([]).flags;
  return Object.fromEntries(Object.entries(parse(argv).flags).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(none[key])));
};

describe("flags as Docker Compose takes them", () => {
  test.each<[readonly string[], Record<string, unknown>]>([
    [["-d"], { detach: true }],
    [["--detach"], { detach: true }],
    [["--detach=true"], { detach: true }],
    [["--detach=false"], {}],
    [["-d", "--detach=false"], {}],
    [["--detach=false", "-d"], { detach: true }],
    [["--orphans=false"], { orphans: false }],
    [["--orphans=0"], { orphans: false }],
    [["--no-build"], { noBuild: true }],
    [["--build"], { build: true }],
    [["--no-build", "--build"], { noBuild: true, build: true }],
    [["-d=true"], { detach: true }],
    [["-d=false"], {}],
    [["-d", "-d=false"], {}],
    [["-Vd=false"], { renew: true }],
    [["-dV"], { detach: true, renew: true }],
    [["-t", "5"], { timeout: 5 }],
    [["-t5"], { timeout: 5 }],
    [["-t=5"], { timeout: 5 }],
    [["--timeout=5"], { timeout: 5 }],
    [["-t", "-1"], { timeout: -1 }],
    [["-dt=5"], { detach: true, timeout: 5 }],
    [["-e", "A=1", "-eB=2", "-e=C=3", "--env", "D"], { env: ["A=1", "B=2", "C=3", "D"] }],
    [["-T"], { noTty: true }],
    [["--no-TTY"], { noTty: true }],
    [["--no-tty"], { noTty: true }],
    [["--format", "--weird"], { format: "--weird" }],
    [["--format="], { format: "" }],
    [["--pull", "always"], { pull: "always" }],
  ])("%j", (argv, expected) => {
    expect(changed(argv)).toEqual(expected);
  });

  test("flags and services may be mixed, and -- ends the flags", () => {
    expect(parse(["web", "-d", "db", "--", "-d"])).toMatchObject({ positionals: ["web", "db", "-d"], flags: { detach: true } });
  });

  test("where the rest is somebody else's command, nothing of it is taken", () => {
    const argv = ["-e", "A=1", "web", "sh", "-c", "echo", "-d", "--", "--env=x"];
    expect(parse(argv, { interspersed: false, positionals: ["<service>", "[args...]"] })).toMatchObject({
      positionals: ["web", "sh", "-c", "echo", "-d", "--", "--env=x"],
      flags: { env: ["A=1"], detach: false },
    });
  });

  test.each<[readonly string[], string, string | undefined]>([
    [["--detatch"], "unknown flag: --detatch", "Did you mean --detach?"],
    [["--xyz"], "unknown flag: --xyz", "See `stack up --help`."],
    [["-f", "x"], "unknown flag for up: -f", "-f belongs before the command: `stack -f … up`."],
    [["--timeout", "x"], 'invalid argument "x" for "-t, --timeout": not a whole number', undefined],
    [["-t"], "flag needs an argument: -t", "See `stack up --help`."],
    [["--detach=maybe"], 'invalid argument "maybe" for "--detach": neither true nor false', undefined],
    [["--pull", "often"], 'unsupported --pull value "often"', 'Use one of "always", "never".'],
  ])("%j is refused", (argv, message, hint) => {
    expect(() => parse(argv)).toThrow(expect.objectContaining({ code: "usage", message, hint, exitStatus: 1 }) as Error);
  });

  test("a missing argument is named", () => {
    expect(() => parse([], { positionals: ["<service>"] })).toThrow(/missing required argument 'service'/);
  });
});

test.each([
  ["upp", "up"],
  ["dwon", "down"],
  ["lgos", "logs"],
  ["restrat", "restart"],
  ["conf", "config"],
  ["xylophone", undefined],
  ["zz", undefined],
])("nearest to %s", (typed, expected) => {
  expect(nearest(typed, ["up", "down", "logs", "ps", "restart", "config"])).toBe(expected);
});
