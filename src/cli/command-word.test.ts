import { describe, expect, it } from "vitest";
import { commandOf, needsAgent } from "./command-word.ts";
import { commands } from "./registry.ts";

describe("the command of a command line", () => {
  it.each([
    ["up -d", "up"],
    ["-f a.yaml -p x up", "up"],
    ["--file=a.yaml --profile p --ansi never down -v", "down"],
    ["--workdir up down", "down"],
    ["-v", undefined],
    ["", undefined],
    ["-f", undefined],
  ])("of `stack %s` is %s", (line, command) => {
    expect(commandOf(line.split(" ").filter((word) => word !== ""))).toBe(command);
  });

  it("boots an agent where one will carry it out, and for nothing that only tells", () => {
    const needs = (line: string): boolean => needsAgent(commandOf(line.split(" ")), line.split(" "));
    for (const line of ["up", "-p x down", "run --rm web true", "restart"]) expect(needs(line)).toBe(true);
    for (const line of ["ps", "logs up", "up --help", "up --dry-run", "--dry-run up", "plan", "exec up true", "frobnicate"]) expect(needs(line)).toBe(false);
  });

  it("names commands that there are", () => {
    const known = new Set(commands.map((command) => command.name));
    for (const name of ["up", "create", "run", "start", "restart", "scale", "stop", "down", "kill", "rm"]) {
      expect(known.has(name)).toBe(true);
      expect(needsAgent(name, [name])).toBe(true);
    }
  });
});
