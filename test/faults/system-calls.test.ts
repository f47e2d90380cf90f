import { expect, test } from "vitest";
import { life } from "../support/faults/scenes.ts";
import { sweep } from "../support/faults/sweep.ts";

test("each system call of a container's life, with each error that it may have", async () => {
  const result = await sweep(life, { whole: true });
  console.log(`${result.calls} calls, ${result.faults} faults, ${result.failed} failed starts, ${result.unreached} not reached`);
  expect(result.complaints).toEqual([]);
});
