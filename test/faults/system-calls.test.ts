import { expect, test } from "vitest";
import { execution, life } from "../support/faults/scenes.ts";
import { sweep } from "../support/faults/sweep.ts";

test.each([
  { scene: life, after: false },
  { scene: execution, after: true },
])("each system call of $scene.name, with each error that it may have", async ({ scene, after }) => {
  const result = await sweep(scene, { whole: true, after });
  console.log(`${scene.name}: ${result.calls} calls, ${result.faults} faults, ${result.failed} failed starts, ${result.unreached} not reached`);
  expect(result.complaints).toEqual([]);
});
