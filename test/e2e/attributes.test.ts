import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";
import { scenes } from "./attributes/index.ts";
import { fileOf, refusals } from "./attributes/refused.ts";
import { World } from "./attributes/scene.ts";

const used = useMachine({ images: true });

describe.each(scenes)("$title", (scene) => {
  beforeAll(async () => {
    const machine = used.current;
    const files = typeof scene.files === "function" ? scene.files(machine) : scene.files;
    for (const [name, text] of Object.entries(files)) machine.write(name, text);
    await scene.before?.(machine);
    await machine.ok(...(scene.start ?? ["up", "-d"]));
  });

  afterAll(async () => {
    const machine = used.current;
    await machine.ok("down", "-v", "-t", "0", "--remove-orphans");
    await scene.after?.(machine);
    expect(await machine.remains({ volumes: true })).toEqual([]);
  });

  test.each(scene.checks.map((check) => ({ ...check, name: `${check.of.join(", ").replaceAll("services.*.", "")}: ${check.seen}` })))("$name", async ({ look }) => {
    await look(new World(used.current));
  });
});

describe("what is refused", () => {
  test.each(refusals.map((refusal) => ({ ...refusal, name: refusal.of.join(", ") })))("$name: says so, and starts nothing", async (refusal) => {
    const machine = used.current;
    machine.write("refused/compose.yaml", fileOf(refusal));
    const result = await machine.stack("-f", "refused/compose.yaml", "up", "-d");
    expect(result.code, result.output).not.toBe(0);
    expect(result.stderr).toMatch(refusal.says);
    expect(machine.containers.filter((c) => c.state?.status === "running")).toEqual([]);
    await machine.ok("-p", "refused", "down", "-v"); // by its name: the file may be what is refused
  });
});
