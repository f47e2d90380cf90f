import { expect, test } from "vitest";
import { exec, life, stop } from "../support/faults/scenes.ts";
import { sweep } from "../support/faults/sweep.ts";

test.each([life, stop, exec])("each system call of $name, with each error that it may have", async (scene) => {
  const result = await sweep(scene, { whole: true, after: scene !== life });
  console.log(`${scene.name}: ${result.calls} calls, ${result.faults} faults, ${result.failed} failed starts, ${result.unreached} not reached${result.complaints.map((line) => `\n  ${line}`).join("")}`);
  expect(result.complaints).toEqual([]);
});
