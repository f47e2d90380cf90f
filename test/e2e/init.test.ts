import { expect, test } from "vitest";
import { useMachine } from "../support/machine.ts";

const used = useMachine();

test("what init writes where nothing is recognised lints clean, starts and stops; and init leaves it as it is", async () => {
  const machine = used.current;
  await machine.ok("init");
  expect((await machine.stack("lint", "--strict")).output).toBe("");
  await machine.ok("up", "-d");
  await machine.ok("down", "-t", "1");
  const again = await machine.stack("init");
  expect(again.code).toBe(1);
  expect(again.output).toContain("stack.yaml is there already");
  expect(await machine.remains()).toEqual([]);
});
